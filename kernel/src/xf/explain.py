"""What was chosen for a model, from where, and why not the others: `model.explain()` and `xf explain CHECKPOINT`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ._version import VERSION
from .plugins import find_attribute, registry
from .plugins.index import KERNEL, Record, index


@dataclass(frozen=True)
class Choice:
    """One decision."""

    what: str  # "attention", "mask", "cache", "quantizer", "tokenizer", "dtype", "config", "model", ...
    name: str
    distribution: str = ""
    version: str = ""
    reason: str = ""
    rejected: dict[str, str] = field(default_factory=dict)  # other candidates, with why they were passed over


@dataclass
class Explanation:
    """All decisions about one model or checkpoint; `str()` gives a table, `to_dict()` data."""

    subject: str
    choices: list[Choice] = field(default_factory=list)

    def __getitem__(self, what: str) -> Choice:
        """The decision about `what`. Raises KeyError where there was none."""
        for choice in self.choices:
            if choice.what == what:
                return choice
        raise KeyError(f"{what!r}; there are: {', '.join(choice.what for choice in self.choices)}")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        rows = [(c.what, c.name, f"{c.distribution} {c.version}".strip(), c.reason) for c in self.choices]
        widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
        lines = [self.subject]
        for row, choice in zip(rows, self.choices, strict=True):
            lines.append("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            lines += [f"  {'':<{widths[0]}}  not {name}: {why}" for name, why in choice.rejected.items()]
        return "\n".join(lines)


def explain_model(model: Any, origin: str = "built in memory") -> Explanation:
    """The decisions about a model as it is in memory; `origin` says where its dtype comes from if it was not loaded."""
    config = model.config
    found = Explanation(type(model).__name__)
    where = getattr(config, "name_or_path", None) or getattr(config, "_name_or_path", None)
    if where:
        found.subject += f" from {where}"
    found.choices.append(_of_class("config", type(config), f"model_type {getattr(config, 'model_type', '')!r}"))
    found.choices.append(_of_class("model", type(model)))
    found.choices += _attention(model)
    if getattr(model, "can_generate", lambda: False)():
        found.choices.append(_cache(model))
    found.choices.append(_quantizer(model))
    report = getattr(model, "load_report", None)
    source = "as the checkpoint or the user says" if report is not None else origin
    found.choices.append(Choice("dtype", str(model.dtype).removeprefix("torch."), reason=source))
    if report is not None:
        made_up = len(report.newly_initialised)
        text = f"{len(report.used)} tensors used, {made_up} newly initialised, {len(report.unexpected)} not used"
        found.choices.append(Choice("weights", report.format or "?", reason=text))
    return found


def explain_checkpoint(name: str, **options: Any) -> Explanation:
    """The decisions that loading `name` would take, without reading a weight. Options as of `resolve`.

    A part that cannot be used stands in the table with its error as the reason; the others are explained all the same.
    Raises: ValueError where there is no such checkpoint or it has no readable config.
    """
    from .checkpoint import resolve

    checkpoint = resolve(name, **options)
    data = checkpoint.read_json("config.json")
    if data is None:
        raise ValueError(f"{name} has no config.json, so nothing tells what it is.")
    model_type, architectures = str(data.get("model_type", "")), data.get("architectures") or []
    found = Explanation(f"{name} ({checkpoint.origin})")
    try:
        model = _empty_model(checkpoint, architectures, model_type)
    except Exception as error:
        found.choices.append(_of_record("config", model_type, registry("config").find(model_type)))
        record = find_attribute(architectures[0]) if architectures else None
        found.choices.append(_of_record("model", ", ".join(architectures) or "not named", record))
        found.choices.append(Choice("loading", "fails", reason=f"{type(error).__name__}: {error}"))
    else:
        found.choices += explain_model(model, "torch_dtype of the config; float32 where it has none").choices
    for part, loader in (("tokenizer", "AutoTokenizer"), ("processor", "AutoProcessor")):
        choice = _part(part, loader, checkpoint, model_type)
        if choice is not None:
            found.choices.append(choice)
    return found


def _empty_model(checkpoint: Any, architectures: list[str], model_type: str) -> Any:
    from .auto import AutoConfig
    from .checkpoint.build import build_empty
    from .checkpoint.dtypes import as_dtype
    from .plugins.registry import load_attribute

    config = AutoConfig.from_pretrained(checkpoint)
    model_class = load_attribute(architectures[0]) if architectures else registry("model.base").get(model_type)
    dtype = getattr(config, "torch_dtype", None)
    return build_empty(model_class, config, (), {}, as_dtype(dtype if dtype is not None else "float32"))


def _attention(model: Any) -> list[Choice]:
    """The attention of the model, and of the parts of it that have another one."""
    from .interfaces.attention import attention_backend

    found: list[Choice] = []
    for path, module in model.named_modules():
        choice = getattr(module, "attention_choice", None)
        if choice is None or any(choice.name == other.name for other in found):
            continue
        rejected = dict(choice.rejected)
        for record in registry("attention").records():
            if record.name != choice.name and record.name not in rejected:
                why = record.reason or f"not asked for with attn_implementation={record.name!r}"
                rejected[record.name] = why if record.status == "ok" else f"{record.status}: {why}"
        reason = "asked for" if choice.explicit else "the first that can do what the model needs"
        where = f"attention ({path})" if path else "attention"
        record_ = registry("attention").find(choice.name)
        found.append(_of_record(where, choice.name, record_, reason, rejected))
        builder = attention_backend(choice.name).mask
        mask_record = registry("mask").find(choice.name) or record_
        name = getattr(builder, "__name__", type(builder).__name__)
        found.append(_of_record(where.replace("attention", "mask"), name, mask_record, f"belongs to {choice.name}"))
    return found


def _cache(model: Any) -> Choice:
    from .interfaces.cache import layer_kinds

    asked = getattr(getattr(model, "generation_config", None), "cache_implementation", None)
    kinds = layer_kinds(model.config.get_text_config(decoder=True))
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    others = {n: f"not asked for with cache_implementation={n!r}" for n in registry("cache").names() if n != asked}
    if asked is None:
        return Choice("cache", "dynamic", KERNEL, VERSION, f"the default; layers: {counted}", others)
    return _of_record("cache", asked, registry("cache").find(asked), f"the generation config; {counted}", others)


def _quantizer(model: Any) -> Choice:
    quantizer = getattr(model, "quantizer", None)
    if quantizer is None:
        return Choice("quantizer", "none", reason="neither the config nor the user asks for one")
    method = str(quantizer.config_class.quant_method or getattr(quantizer.config, "quant_method", ""))
    source = "the checkpoint is quantized" if quantizer.pre_quantized else "asked for"
    return _of_record("quantizer", method, registry("quantizer").find(method), source)


def _part(part: str, loader: str, checkpoint: Any, model_type: str) -> Choice | None:
    """The class that would prepare the model's inputs; None where the checkpoint has no such part."""
    from . import auto

    files = {"tokenizer": ("tokenizer.json", "tokenizer_config.json"), "processor": ("preprocessor_config.json",)}
    if not any(checkpoint.path(name) is not None for name in files[part]):
        return None
    try:
        chosen = getattr(auto, loader)._class_for(checkpoint, {})
    except Exception as error:
        return Choice(part, "none", reason=f"{type(error).__name__}: {error}")
    reason = ""
    if part == "tokenizer":
        from importlib_metadata import version

        fast = any(base.__name__ == "PreTrainedTokenizerFast" for base in chosen.__mro__)
        reason = f"backend: tokenizers {version('tokenizers')}" if fast else "backend: Python"
    return _of_class(part, chosen, reason)


def _of_class(what: str, found: type, reason: str = "") -> Choice:
    """A choice of a class: its distribution is the one that declares it, else the one that its package belongs to."""
    record = find_attribute(found.__name__)
    package = found.__module__.partition(".")[0]
    if record is None or record.module.partition(".")[0] != package:
        record = next((r for r in index().rows if r.module.partition(".")[0] == package), None)
    if record is None:
        ours = package == "xf"
        return Choice(what, found.__name__, KERNEL if ours else package, VERSION if ours else "", reason)
    return Choice(what, found.__name__, record.distribution, record.version, reason)


def _of_record(
    what: str, name: str, record: Record | None, reason: str = "", rejected: dict[str, str] | None = None
) -> Choice:
    if record is None:
        return Choice(what, name, reason=reason or "no installed plugin declares it", rejected=rejected or {})
    text = "; ".join(part for part in (reason, record.reason) if part)
    return Choice(what, name, record.distribution, record.version, text, rejected or {})
