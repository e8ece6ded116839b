"""from_pretrained of a model: find, plan, place, account.

The promise is proof of load: every tensor of the files and every parameter of the model is in the report, and what is
missing is an error unless it was allowed. See `xf.checkpoint.report` and `plan.classify_missing`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xf import logging
from xf.checkpoint.build import assign, build_empty, build_from_config
from xf.checkpoint.dtypes import choose_dtypes, pop_dtype
from xf.checkpoint.errors import CheckpointError, LoadError
from xf.checkpoint.formats import TensorSource
from xf.checkpoint.plan import Plan, classify_missing, levels, make_plan, missing_names
from xf.checkpoint.read import DictSource, Weights, open_weights
from xf.checkpoint.report import LoadReport, shorten
from xf.checkpoint.rules import Conversion
from xf.checkpoint.source import Checkpoint, pop_source_options, resolve
from xf.hub import refuse_remote_code

__all__ = ["build_from_config", "load_pretrained"]

logger = logging.get_logger(__name__)

#: rows compared when a file holds both of two tied tensors: enough to see that they differ, without reading all
_TIE_SAMPLE = 64
#: arguments that an accelerate plugin would take
_PLACEMENT = tuple("max_memory offload_folder offload_state_dict offload_buffers tp_plan tp_size device_mesh".split())
#: arguments of older releases that change nothing here: loading is always by mapping, and never runs code
_WITHOUT_EFFECT = tuple("low_cpu_mem_usage weights_only _fast_init mirror adapter_kwargs from_tf from_flax".split())


def load_pretrained(cls: Any, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
    """Load a model of class `cls`; the documented from_pretrained.

    Where from: `pretrained_model_name_or_path` (see `xf.checkpoint.resolve`), revision, subfolder, token, cache_dir,
    local_files_only, force_download; variant, use_safetensors, gguf_file (see `xf.checkpoint.read.open_weights`); or
    state_dict= (then the name may be None and config= is needed).
    How: config (object, or where it lies), torch_dtype or dtype (None is float32, "auto", a dtype, a dict by
    sub-config), device_map (one device) or device, attn_implementation, quantization_config; other keyword arguments
    are config fields, or go to the constructor.
    What may be different: ignore_mismatched_sizes, allow_missing and ignore_unexpected (patterns with *), key_mapping,
    strict=True (nothing may). output_loading_info=True returns (model, dict of lists of names).

    The model is in eval mode; `model.load_report` accounts for every tensor. Tensors of safetensors files are views of
    the mapped file where the dtype is the same.

    Raises: CheckpointError when there is nothing to load or it is damaged; LoadError (a ValueError and a RuntimeError)
    when it does not fit, with the report as `error.report`; a plugin error for a missing quantizer or attention.
    """
    options = _Options(kwargs)
    checkpoint = None
    if pretrained_model_name_or_path is not None:
        checkpoint = resolve(pretrained_model_name_or_path, **options.source)
    config, kwargs = _config(cls, checkpoint, options, kwargs)
    weights = _weights(checkpoint, options)
    quantizer = _quantizer(config, options.quantization)
    asked = quantizer.update_dtype(options.dtype) if quantizer else options.dtype
    dtype, by_key = choose_dtypes(asked, config, weights.source)
    if quantizer:
        quantizer.validate(dtype=dtype, device=options.device)
    model: Any = build_empty(cls, config, model_args, kwargs, dtype)
    _cast(model, dtype, by_key)
    if quantizer:
        quantizer.prepare(model)
        model.quantizer = quantizer
        _hook("xf_dispatch_chosen", model=model, what="quantizer", name=quantizer.quantization_config.quant_method)
    _hook("xf_before_load", model=model, checkpoint=checkpoint)
    name = checkpoint.name if checkpoint else "state_dict"
    files = tuple(str(path) for path in weights.files)
    report = LoadReport(cls.__name__, name, weights.format, files, str(dtype).removeprefix("torch."))
    _load(model, weights.source, report, options, quantizer)
    model.load_report = report
    model.eval()
    if checkpoint is not None:
        model._load_companions(checkpoint)
    if options.device_map is not None:
        model.hf_device_map = {"": options.device_map}
    _hook("xf_after_load", model=model, report=report)
    return (model, report.info()) if options.output_loading_info else model


class _Options:
    """The arguments of from_pretrained that are about loading, taken out of `kwargs` and checked."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        refuse_remote_code(kwargs)
        for name in ("_from_auto", "_from_pipeline"):
            kwargs.pop(name, None)
        self.source = pop_source_options(kwargs)
        self.format = {name: kwargs.pop(name, None) for name in ("variant", "use_safetensors")}
        self.format |= {name: kwargs.pop(name) for name in list(kwargs) if name.endswith("_file") and kwargs[name]}
        self.dtype = pop_dtype(kwargs)
        self.config = kwargs.pop("config", None)
        self.state_dict: Mapping[str, torch.Tensor] | None = kwargs.pop("state_dict", None)
        self.quantization = kwargs.pop("quantization_config", None)
        self.attention = kwargs.pop("attn_implementation", None)
        self.output_loading_info = bool(kwargs.pop("output_loading_info", False))
        self.ignore_mismatched_sizes = bool(kwargs.pop("ignore_mismatched_sizes", False))
        self.strict = bool(kwargs.pop("strict", False))
        self.allow_missing = _patterns(kwargs.pop("allow_missing", ()))
        self.ignore_unexpected = _patterns(kwargs.pop("ignore_unexpected", ()))
        self.key_mapping = kwargs.pop("key_mapping", None)
        for name in _WITHOUT_EFFECT:
            if name.startswith("from_") and kwargs.get(name):
                raise ValueError(f"{name}=True: weights of other frameworks are not read; convert them to safetensors")
            kwargs.pop(name, None)
        self.device_map = kwargs.pop("device_map", None)
        self.device = _device(self.device_map, kwargs.pop("device", None))
        placement = [name for name in _PLACEMENT if kwargs.pop(name, None)]
        if placement:
            raise ValueError(f"{placement} need a plugin that spreads a model over devices; none is installed")


def _patterns(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _device(device_map: Any, device: Any) -> torch.device:
    """The one device to load to.

    Raises: ValueError for a device_map over several devices.
    """
    if isinstance(device_map, dict) and set(device_map) == {""}:
        device_map = device_map[""]
    if isinstance(device_map, dict) or device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        raise ValueError(
            f"device_map={device_map!r} spreads a model over devices, which needs a plugin (accelerate) that is not "
            'installed; give one device, such as device_map="cpu" or {"": "cuda:0"}'
        )
    wanted = device if device_map is None else device_map
    try:
        return torch.get_default_device() if wanted is None else torch.device(wanted)
    except (RuntimeError, TypeError):
        raise ValueError(f"{wanted!r} is not a device; use 'cpu', 'cuda', 'cuda:0', ...") from None


def _config(cls: Any, checkpoint: Checkpoint | None, options: _Options, kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """(a config of the model's own, the keyword arguments for its constructor)."""
    from xf.interfaces.config import PretrainedConfig

    if isinstance(options.config, PretrainedConfig):
        config = copy.deepcopy(options.config)
    else:
        where = checkpoint if options.config is None else options.config
        if where is None:
            raise ValueError(f"{cls.__name__}.from_pretrained(None, ...) needs config= and state_dict=")
        files = {name: value for name, value in options.format.items() if name.endswith("_file")}
        source = {} if isinstance(where, Checkpoint) else options.source
        config, kwargs = cls.config_class.from_pretrained(where, return_unused_kwargs=True, **source, **files, **kwargs)
        kwargs.pop("dtype", None)
        kwargs.pop("torch_dtype", None)
    if options.attention is not None:
        config._attn_implementation = options.attention
    if checkpoint is not None:
        config.name_or_path = checkpoint.name
        config._commit_hash = checkpoint.revision
    return config, kwargs


def _weights(checkpoint: Checkpoint | None, options: _Options) -> Weights:
    if options.state_dict is not None:
        # a copy: the model must not share memory with tensors that the caller goes on using
        copies = {name: tensor.detach().clone() for name, tensor in options.state_dict.items()}
        return Weights(DictSource(copies), "state_dict")
    if checkpoint is None:
        raise ValueError("there is nothing to load: name a checkpoint, or give state_dict=")
    return open_weights(checkpoint, options.format)


def _quantizer(config: Any, asked: Any) -> Any:
    """The quantizer that the config names, or that the caller asks for; None without either."""
    stored = getattr(config, "quantization_config", None)
    if stored is None and asked is None:
        return None
    from xf.interfaces.quantizer import quantizer_for

    quantizer = quantizer_for(stored or asked, pre_quantized=stored is not None, user_config=asked)
    config.quantization_config = quantizer.quantization_config
    return quantizer


def _cast(model: Any, dtype: torch.dtype, by_key: Mapping[str, torch.dtype]) -> None:
    """Give parts with a dtype of their own that dtype: sub-models by config, and what the model keeps in float32."""
    for key, part_dtype in by_key.items():
        part_config = getattr(model.config, key, None)
        for _, module in levels(model):
            if module is not model and getattr(module, "config", None) is part_config:
                _cast_floats(module, dtype, part_dtype)
    kept = {part for _, module in levels(model) for part in getattr(module, "keep_in_fp32", ())}
    if dtype == torch.float16 and kept:
        for name, module in model.named_modules():
            if any(f".{part}." in f".{name}." for part in kept):
                _cast_floats(module, dtype, torch.float32)


def _cast_floats(module: nn.Module, old: torch.dtype, new: torch.dtype) -> None:
    """What files hold, on meta still; tables that the constructor computed keep their precision."""
    for tensor in module.state_dict(keep_vars=True).values():
        if tensor.dtype == old:
            tensor.data = tensor.data.to(new)


def _load(model: Any, source: TensorSource, report: LoadReport, options: _Options, quantizer: Any) -> None:
    """Plan, check, place, account; the model is complete afterwards or LoadError is raised."""
    plan = make_plan(
        model, source, report, key_mapping=options.key_mapping, ignore_unexpected=options.ignore_unexpected
    )
    report.digest = _digest(source)
    if quantizer is None:  # else the files' shapes need not be the model's, and what is made is known only afterwards
        _check_shapes(plan, source, report)
        _account(model, plan, plan.provided(), report, options)
    placed = _place(model, plan, source, report, options.device, quantizer)
    if quantizer is not None:
        _account(model, plan, placed, report, options)
    _complete(model, report, options.device)
    if quantizer is not None:
        quantizer.finish(model)
    _say(report)


def _check_shapes(plan: Plan, source: TensorSource, report: LoadReport) -> None:
    """Take tensors of another shape out of the plan."""
    for name, file in list(plan.direct.items()):
        have, want = source.shape(file), tuple(plan.expected[name].shape)
        if have != want:
            report.mismatched.append((name, have, want))
            del plan.direct[name]


def _account(model: Any, plan: Plan, placed: set[str], report: LoadReport, options: _Options) -> None:
    """Sort what got no tensor, and raise LoadError with the whole report if something must not be."""
    wrong = {name for name, _, _ in report.mismatched}
    report.used = [name for name in report.used if name not in wrong]
    if not options.ignore_mismatched_sizes:
        found = report.mismatched
        report.errors += [f"size mismatch for {n}: {have} in the file, {want} in the model" for n, have, want in found]
    absent = missing_names(plan, placed)
    classify_missing(model, plan, [name for name in absent if name not in wrong], report, options.allow_missing)
    report.newly_initialised = sorted([*report.newly_initialised, *(name for name in absent if name in wrong)])
    if plan.expected and not placed:
        report.errors.append("no tensor of the files fits the model: it is a checkpoint of another architecture")
    if report.missing:
        report.errors.append(f"missing in the files: {shorten(report.missing)}")
    if options.strict and report.newly_initialised:
        report.errors.append(f"strict=True, and these would be new: {shorten(report.newly_initialised)}")
    if options.strict and report.unexpected:
        report.errors.append(f"strict=True, and the model has no place for: {shorten(report.unexpected)}")
    if report.errors:
        raise LoadError(
            f"{report.model} cannot be loaded from {report.name}:\n  " + "\n  ".join(report.errors) + "\n"
            "If the config is right, the files are of another model or incomplete. To go on all the same: "
            "allow_missing=[patterns], ignore_mismatched_sizes=True.\n" + str(report),
            report,
        )


def _place(
    model: Any, plan: Plan, source: TensorSource, report: LoadReport, device: torch.device, quantizer: Any
) -> set[str]:
    """Put every planned tensor into its module; returns the names that were filled."""
    placed: set[str] = set()
    modules = dict(model.named_modules())

    def put(name: str, tensor: torch.Tensor) -> None:
        made = quantizer.convert(model, name, tensor) if quantizer else {name: tensor}
        for target, value in made.items():
            if target == name and value is tensor:
                have, want = tuple(value.shape), tuple(plan.expected[name].shape)
                if have != want:
                    report.mismatched.append((name, have, want))
                    continue
                value = _as_expected(name, value, plan.expected[name], report)
            assign(modules, target, value.to(device))
            placed.add(target)

    _compare_ties(plan, source, report)
    for name, file in plan.direct.items():
        put(name, source.get(file))
    for conversion in plan.converted:
        for name, tensor in zip(conversion.targets, _converted(conversion, plan, source), strict=True):
            put(name, tensor)
    model.tie_weights()
    return placed


def _converted(conversion: Conversion, plan: Plan, source: TensorSource) -> Sequence[torch.Tensor]:
    """The tensors that a rule makes, checked against the shapes of the model."""
    shapes = [tuple(plan.expected[name].shape) for name in conversion.targets]
    tensors = conversion.function([source.get(name) for name in conversion.sources], conversion.config, shapes)
    have = [tuple(tensor.shape) for tensor in tensors]
    if have != shapes:
        raise CheckpointError(f"{conversion.sources} make {conversion.targets} of shape {have}; the model has {shapes}")
    return tensors


def _as_expected(name: str, tensor: torch.Tensor, expected: torch.Tensor, report: LoadReport) -> torch.Tensor:
    """In the dtype that the model has there; kinds are not mixed."""
    if tensor.dtype == expected.dtype:
        return tensor
    if tensor.is_floating_point() != expected.is_floating_point():
        raise CheckpointError(
            f"{name} is {tensor.dtype} in the file and {expected.dtype} in the model: the file is quantized by a "
            "method that its config does not name, or it is of another model"
        )
    report.converted[name] = f"{tensor.dtype} -> {expected.dtype}".replace("torch.", "")
    return tensor.to(expected.dtype)


def _compare_ties(plan: Plan, source: TensorSource, report: LoadReport) -> None:
    """Warn where a file holds two different tensors for names that the config ties: the second is not used."""
    held = set(source.names())
    for target, root in plan.ties.items():
        file = plan.direct.get(root)
        if target in held and file not in (None, target) and source.shape(target) == source.shape(str(file)):
            one, other = source.get(target), source.get(str(file))
            step = max(1, len(one) // _TIE_SAMPLE) if one.ndim else 1
            if one.ndim and not torch.equal(one[::step], other[::step]):
                report.warnings.append(
                    f"{target} differs from {root} in the files, but the config ties them: {root} is used for both. "
                    "If the checkpoint means two tensors, load it with tie_word_embeddings=False."
                )


def _complete(model: Any, report: LoadReport, device: torch.device) -> None:
    """Random start for what is new, values for what is allowed to be absent, and the device for all buffers."""
    new = {*report.newly_initialised, *report.allowed}
    modules = dict(model.named_modules())
    held = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in held:
        if name in new and tensor.is_meta:
            assign(modules, name, torch.zeros_like(tensor, device=device))
        elif tensor.device != device and not tensor.is_meta:  # constructed, not loaded
            assign(modules, name, tensor.detach().to(device))
    if new:
        model.initialize_missing(new)
    model.tie_weights()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    empty = [name for name, tensor in tensors if tensor.is_meta] if device.type != "meta" else []
    assert not empty, f"{report.model}: {empty} have no values after loading; constructors must give buffers theirs"


def _say(report: LoadReport) -> None:
    if report.newly_initialised:
        logger.warning(
            f"{report.model}: not in {report.name}, so new and random: {shorten(report.newly_initialised)}. "
            "Train these parts before you use the model's results."
        )
    for warning in report.warnings:
        logger.warning(warning)
    if report.unexpected:
        logger.warning(f"{report.model}: in {report.name}, but not used: {shorten(report.unexpected)}.")
    logger.info(str(report))


def _digest(source: TensorSource) -> str:
    """sha256 over name, dtype and shape of every tensor: which checkpoint layout this was, without reading the data."""
    lines = (f"{name} {source.dtype(name)} {source.shape(name)}\n" for name in sorted(source.names()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hook(hook: str, /, **arguments: Any) -> None:
    from xf.plugins.hooks import hooks

    getattr(hooks(), hook)(**arguments)
