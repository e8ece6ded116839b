"""Comparison with the reference implementation, which is run as a black box in an environment of its own.

A *case* says which classes to build, from which config, with which inputs; `run_case` lets the reference answer it in
a subprocess and returns plain tensors. Answers that CI needs are recorded once (`record`) and committed as goldens;
`load_golden` reads them back. Case keys:

    config_class, config     the class name and its keyword arguments
    model_class              the class name; built from the config, then filled by `xf_testing.tiny.fill_weights`
    checkpoint               instead of config: a folder to load with model_class.from_pretrained
    seed                     of the weights, default 0
    inputs                   {name: tensor}
    call                     further arguments of forward, e.g. {"output_hidden_states": True}
    gradients                True: also the gradient of the loss (or of the sum of the first output) of every parameter
    generate                 arguments of generate; the result is "sequences"
    save                     a folder: the reference saves the filled model there
    attn_implementation      default "eager"
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

VERSIONS = ("4.55.4", "5.23.0")
_TIMEOUT_S = 600


def reference_python(version: str = "4.55.4") -> Path | None:
    """The interpreter of the reference: XF_REFERENCE_PYTHON[_5], else .reference/<version> above the working folder.

    XF_REFERENCE_PYTHON names the environment of 4.55.4, XF_REFERENCE_PYTHON_5 that of 5.23.0.
    """
    variable = "XF_REFERENCE_PYTHON_5" if version.startswith("5") else "XF_REFERENCE_PYTHON"
    if named := os.environ.get(variable):
        if not Path(named).exists():
            raise FileNotFoundError(f"{variable} is {named}, which does not exist")
        return Path(named)
    for folder in (Path.cwd(), *Path.cwd().parents):
        python = folder / ".reference" / version / "bin" / "python"
        if python.exists():
            return python
    return None


def run_reference(script: str | Path, *arguments: str, version: str = "4.55.4", timeout: float = _TIMEOUT_S) -> str:
    """Run a script in the reference environment, offline; returns what it printed.

    Raises: FileNotFoundError when there is no reference environment; RuntimeError with its errors when it fails.
    """
    python = reference_python(version)
    if python is None:
        raise FileNotFoundError(f"there is no reference {version} here: `make reference` builds it in .reference/")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(python), str(script), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"the reference failed on {Path(script).name} {' '.join(arguments)}:\n{done.stderr[-3000:]}")
    return done.stdout


def run_case(case: Mapping[str, Any], *, version: str = "4.55.4") -> dict[str, Tensor]:
    """The reference's answer to `case`: tensors by path ("logits", "hidden_states.0", "grad.<parameter>", ...)."""
    return run_cases({"case": case}, version=version)["case"]


def run_cases(cases: Mapping[str, Mapping[str, Any]], *, version: str = "4.55.4") -> dict[str, dict[str, Tensor]]:
    """The reference's answers to `cases` by their names, from one subprocess: its start costs more than many cases."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        parts = {name: Path(folder) / str(number) for number, name in enumerate(cases)}
        for name, part in parts.items():
            part.mkdir()
            write_case(cases[name], part)
        worker = Path(__file__).with_name("reference_worker.py")
        run_reference(worker, *map(str, parts.values()), version=version)
        return {name: load_file(part / "outputs.safetensors") for name, part in parts.items()}


def write_case(case: Mapping[str, Any], folder: Path) -> None:
    """Lay a case out for the worker: case.json and inputs.safetensors."""
    from safetensors.torch import save_file

    plain = {k: v for k, v in case.items() if k != "inputs"}
    (folder / "case.json").write_text(json.dumps(plain), encoding="utf-8")
    save_file({k: v.contiguous() for k, v in case.get("inputs", {}).items()}, folder / "inputs.safetensors")


def record(path: str | Path, case: Mapping[str, Any], *, version: str = "4.55.4", keep: tuple[str, ...] = ()) -> None:
    """Record the reference's answer to `case` in a golden file: inputs, outputs and the case itself as metadata.

    keep: prefixes of the outputs to keep (default: all). Inputs are stored under "inputs.".
    """
    _write_golden(Path(path), case, run_case(case, version=version), version, keep)


def record_all(
    folder: str | Path,
    prefix: str,
    cases: Mapping[str, Mapping[str, Any]],
    *,
    version: str = "4.55.4",
    keep: tuple[str, ...] = (),
) -> None:
    """`record` each case as folder/<prefix>_<name>.safetensors."""
    for name, outputs in run_cases(cases, version=version).items():
        _write_golden(Path(folder) / f"{prefix}_{name}.safetensors", cases[name], outputs, version, keep)


def _write_golden(
    path: Path, case: Mapping[str, Any], outputs: Mapping[str, Tensor], version: str, keep: tuple[str, ...]
) -> None:
    from safetensors.torch import save_file

    kept = {k: v for k, v in outputs.items() if not keep or k.startswith(keep)}
    inputs = {f"inputs.{k}": v.contiguous() for k, v in case.get("inputs", {}).items()}
    plain = {k: v for k, v in case.items() if k not in ("inputs", "save")}
    metadata = {"case": json.dumps(plain, sort_keys=True), "reference": version}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({**inputs, **kept}, path, metadata=metadata)


def load_golden(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """(case, inputs, outputs) of a golden file that `record` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        case = json.loads(file.metadata()["case"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    inputs = {k.removeprefix("inputs."): v for k, v in tensors.items() if k.startswith("inputs.")}
    return case, inputs, {k: v for k, v in tensors.items() if not k.startswith("inputs.")}


def flatten_outputs(outputs: Any, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a nested result by its path; caches and other objects are left out."""
    if isinstance(outputs, Tensor):
        return {prefix or "output": outputs.detach().contiguous().clone()}
    found: dict[str, Tensor] = {}
    if isinstance(outputs, Mapping):
        items = list(outputs.items())
    elif isinstance(outputs, (list, tuple)):
        items = list(enumerate(outputs))
    else:
        return {}
    for key, value in items:
        found |= flatten_outputs(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def answer_case(case: Mapping[str, Any], *, library: Any) -> dict[str, Tensor]:
    """Answer `case` with `library`, a module that offers the public classes by name (ours is `xf`)."""
    from .tiny import fill_weights

    model_class = getattr(library, case["model_class"])
    attention = case.get("attn_implementation", "eager")
    if "checkpoint" in case:
        model = model_class.from_pretrained(case["checkpoint"], attn_implementation=attention)
    else:
        config = getattr(library, case["config_class"])(**case["config"])
        config._attn_implementation = attention
        model = model_class(config)
        fill_weights(model, case.get("seed", 0))
        model.tie_weights()
    model.eval()
    if "save" in case:
        model.save_pretrained(case["save"])
    inputs, call = dict(case.get("inputs", {})), dict(case.get("call", {}))
    found: dict[str, Tensor] = {}
    if "generate" in case:
        with torch.no_grad():
            found["sequences"] = model.generate(**inputs, **case["generate"])
    elif inputs:
        with torch.set_grad_enabled(bool(case.get("gradients"))):
            outputs = model(**inputs, **call, return_dict=True)
        found |= flatten_outputs(outputs)
        if case.get("gradients"):
            loss = outputs.get("loss")
            (next(iter(flatten_live(outputs))) if loss is None else loss).sum().backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    found[f"grad.{name}"] = parameter.grad.clone()
    return found


def flatten_live(outputs: Any) -> list[Tensor]:
    """The floating point tensors of a result that carry gradients, in order."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.requires_grad else []
    values = outputs.values() if isinstance(outputs, Mapping) else outputs if isinstance(outputs, (list, tuple)) else ()
    return [tensor for value in values for tensor in flatten_live(value)]


def assert_same_outputs(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, atol: float = 1e-5, rtol: float = 1e-5
) -> None:
    """Every tensor of `theirs` is in `ours`, of its shape, within atol + rtol * |value|; integers exactly.

    Raises: AssertionError that lists each difference with its size.
    """
    problems = []
    for name, expected in theirs.items():
        if name not in ours:
            problems.append(f"{name}: missing")
        elif ours[name].shape != expected.shape:
            problems.append(f"{name}: shape {tuple(ours[name].shape)}, expected {tuple(expected.shape)}")
        elif expected.is_floating_point():
            if not torch.allclose(ours[name].float(), expected.float(), atol=atol, rtol=rtol, equal_nan=True):
                gap = (ours[name].float() - expected.float()).abs().max().item()
                problems.append(f"{name}: differs by up to {gap:.3g}")
        elif not torch.equal(ours[name].long(), expected.long()):
            problems.append(f"{name}: differs")
    if problems:
        raise AssertionError(f"{len(problems)} of {len(theirs)} tensors differ:\n  " + "\n  ".join(problems[:40]))
