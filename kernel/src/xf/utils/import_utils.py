"""Optional packages: whether they are there, and objects that need them (spec: internal/import_utils.md)."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

# backend name = module to look for @ distribution to install, where they differ from the name
_BACKENDS = """
    accelerate apex aqlm auto_awq=awq@autoawq auto_gptq@auto-gptq auto_round@auto-round av bitsandbytes
    bs4@beautifulsoup4 compressed_tensors@compressed-tensors cv2@opencv-python cython=Cython@cython datasets decord
    detectron2 eetq essentia faiss@faiss-cpu fbgemm_gpu@fbgemm-gpu flash_attn_2=flash_attn@flash-attn
    flash_attn_3=flash_attn_interface@flash-attn-3 flax flute fp_quant@fp-quant ftfy g2p_en@g2p-en
    galore_torch@galore-torch gguf gptqmodel grokadamw hqq jax jieba jinja=jinja2 kenlm kernels
    levenshtein=Levenshtein@levenshtein librosa liger_kernel@liger-kernel lomo=lomo_optim@lomo-optim matplotlib
    mistral_common@mistral-common mlx natten ninja nltk num2words numpy onnx onnxruntime openai optimum
    optimum_quanto=optimum.quanto@optimum-quanto pandas peft phonemizer pretty_midi@pretty-midi
    protobuf=google.protobuf@protobuf psutil pyctcdecode pytesseract pytest quark@amd-quark rich rjieba sacremoses
    safetensors schedulefree scipy sentencepiece seqio sklearn@scikit-learn soundfile spacy speech=torchaudio
    spqr=spqr_quant@spqr-quant sudachi=sudachipy@sudachipy tensorboard tf=tensorflow tiktoken timm tokenizers torch
    torchao torchaudio torchcodec torchvision triton uroman vision=PIL@pillow vptq wandb xlstm yt_dlp@yt-dlp
"""


def _table() -> dict[str, tuple[str, str]]:
    found = {}
    for entry in _BACKENDS.split():
        name, _, distribution = entry.partition("@")
        name, _, module = name.partition("=")
        found[name] = (module or name, distribution or module or name)
    return found


BACKENDS = _table()  # name -> (module, distribution)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def _parse(backend: str) -> tuple[str, str, str]:
    """ "torch>=2.6" -> ("torch", ">=", "2.6"). Raises ValueError for an unknown backend or operator."""
    name = re.match(r"\w*", backend)[0]  # type: ignore[index]
    rest = backend[len(name) :].strip()
    symbol = next((symbol for symbol in ("==", "!=", ">=", "<=", ">", "<") if rest.startswith(symbol)), "")
    version = rest[len(symbol) :].strip()
    if name not in BACKENDS:
        raise ValueError(f"Unknown backend {name!r} in {backend!r}; backends: {', '.join(BACKENDS)}.")
    if bool(symbol) != bool(version) or rest and not symbol or not re.fullmatch(r"[\w.+!-]*", version):
        raise ValueError(f"{backend!r} is not a backend with a version; operators: {', '.join(_OPERATORS)}.")
    return name, symbol, version


def is_backend_available(backend: str) -> bool:
    """Whether a backend, with a version where one is asked for ("torch>=2.6"), is installed. It is not imported."""
    name, symbol, wanted = _parse(backend)
    module, distribution = BACKENDS[name]
    try:
        if importlib.util.find_spec(module) is None:
            return False
    except (ModuleNotFoundError, ValueError):  # a parent is missing; a module without a spec
        return False
    if not symbol:
        return True
    from importlib_metadata import PackageNotFoundError, version
    from packaging.version import Version

    for candidate in (distribution, module):
        try:
            return _OPERATORS[symbol](Version(version(candidate)), Version(wanted))
        except PackageNotFoundError:
            continue
    return False


def __getattr__(name: str) -> Any:
    """`is_<backend>_available(min_version=None)` for every backend; other documented names are in xf-compat."""
    match = re.fullmatch(r"is_(\w+)_available", name)
    if match is None and not name.startswith("_"):
        return getattr(importlib.import_module("xf"), name)
    if match is None or match[1] not in BACKENDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    backend = match[1]

    def is_available(min_version: str | None = None) -> bool:
        return is_backend_available(f"{backend}>={min_version}" if min_version else backend)

    is_available.__name__ = is_available.__qualname__ = name
    is_available.__doc__ = f"Whether {BACKENDS[backend][1]} is installed, at least `min_version` where that is given."
    return is_available


def is_torch_cuda_available() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def is_torch_mps_available() -> bool:
    """Whether torch sees an Apple GPU."""
    import torch

    return torch.backends.mps.is_available()


def is_torch_xpu_available() -> bool:
    """Whether torch sees an Intel GPU."""
    import torch

    return torch.xpu.is_available()


def requires_backends(obj: Any, backends: str | Iterable[str]) -> None:
    """Raise ImportError, with what to install, unless all `backends` are there."""
    name = obj.__name__ if hasattr(obj, "__name__") else type(obj).__name__
    missing = [b for b in ([backends] if isinstance(backends, str) else backends) if not is_backend_available(b)]
    if missing:
        parsed = [_parse(backend) for backend in missing]
        packages = " ".join(f'"{BACKENDS[n][1]}{sign}{v}"' if sign else BACKENDS[n][1] for n, sign, v in parsed)
        raise ImportError(f"{name} requires {', '.join(missing)}, which is not installed. Run: pip install {packages}")


class DummyObject(type):
    """The class of a class whose requirements are missing: it can be imported and shown, and raises when it is used."""

    _backends: tuple[str, ...]

    def __getattribute__(cls, name: str) -> Any:
        if name.startswith("_") or name == "mro":
            return super().__getattribute__(name)
        return requires_backends(cls, cls._backends)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        requires_backends(cls, cls._backends)


def make_dummy(name: str, module: str, backends: Iterable[str]) -> type:
    """A class `name` that tells what is missing when any of it is used."""
    return DummyObject(name, (), {"_backends": tuple(backends), "__module__": module})


def requires(*, backends: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """State what a class or function needs: names, or names with versions ("torch>=2.6").

    Where it is there, the object is returned as it is, with the list as `__backends`. Where it is not, the object can
    still be imported, and any use of it is an ImportError that says what to install.

    Raises: TypeError unless `backends` is a tuple; ValueError for an unknown backend or operator.
    """
    if not isinstance(backends, tuple):
        raise TypeError(f"backends must be a tuple, not {backends!r}.")
    for backend in backends:
        _parse(backend)

    def decorate(obj: Any) -> Any:
        if all(is_backend_available(backend) for backend in backends):
            result = obj
        elif inspect.isclass(obj):
            result = make_dummy(obj.__name__, obj.__module__, backends)
            result.__qualname__, result.__doc__ = obj.__qualname__, obj.__doc__
        else:

            @functools.wraps(obj)
            def result(*args: Any, **kwargs: Any) -> Any:
                return requires_backends(obj, backends)

        setattr(result, "__backends", list(backends))
        return result

    return decorate
