"""The plan of a load: which tensors of the files become which of the model, and what is left over or not there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from xf.checkpoint.formats import TensorSource
from xf.checkpoint.report import LoadReport
from xf.checkpoint.rules import Conversion, conversions, rename

#: last parts of names that older files use, and what they are called now
_OLD_NAMES = {
    "gamma": "weight",  # layer norms of TensorFlow checkpoints
    "beta": "bias",
    "weight_g": "parametrizations.weight.original0",  # torch.nn.utils.weight_norm before it was a parametrization
    "weight_v": "parametrizations.weight.original1",
}


@dataclass
class Plan:
    """Which names become which: `levels` (see there), `expected` (the model's tensors by name), `direct` {name in the
    model: name in the files}, `converted` (tensors made of others) and `ties` {tied name: the name it shares}.
    """

    levels: list[tuple[str, Any]]
    expected: dict[str, torch.Tensor]
    direct: dict[str, str] = field(default_factory=dict)
    converted: list[Conversion] = field(default_factory=list)
    ties: dict[str, str] = field(default_factory=dict)

    def provided(self) -> set[str]:
        """All names of the model that the files provide."""
        return {*self.direct, *(name for conversion in self.converted for name in conversion.targets)}


def levels(model: nn.Module) -> list[tuple[str, Any]]:
    """(prefix, model) of the model and the models inside it that state rules, outermost first."""
    models = ((name, module) for name, module in model.named_modules() if hasattr(module, "key_rules"))
    return [(f"{name}." if name else "", module) for name, module in models]


def make_plan(
    model: nn.Module,
    source: TensorSource,
    report: LoadReport,
    *,
    key_mapping: Mapping[str, str] | None = None,
    ignore_unexpected: Sequence[str] = (),
) -> Plan:
    """Match names, fill in `used`, `renamed`, `tied`, `unexpected` and `ignored` of the report. Reads no data."""
    plan = Plan(levels(model), dict(model.state_dict(keep_vars=True)))
    current = {name: _mapped(name, key_mapping or {}) for name in source.names()}
    current = _adapt_prefix(model, current)
    for prefix, part in plan.levels:
        names = {now: file for file, now in current.items()}
        for use in conversions(names, part.key_rules, getattr(part, "config", None), prefix):
            files = tuple(names[name] for name in use.sources)
            plan.converted.append(Conversion(files, use.targets, use.function, use.config))
            for name in use.sources:
                del current[names[name]]
        current = {
            file: prefix + rename(now[len(prefix) :], part.key_rules) if now.startswith(prefix) else now
            for file, now in current.items()
        }
    spare = _place_names(plan, current)
    _resolve_ties(model, plan, report)
    report.used = sorted(plan.provided())
    report.renamed = {file: name for name, file in plan.direct.items() if file != name}
    patterns = [*ignore_unexpected, *_declared(plan, "ignore_unexpected")]
    report.ignored = sorted(name for name in spare if matches(current[name], patterns) or matches(name, patterns))
    report.unexpected = sorted(set(spare) - set(report.ignored))
    report.read_as = {name: current[name] for name in report.unexpected if current[name] != name}
    return plan


def _mapped(name: str, mapping: Mapping[str, str]) -> str:
    """The caller's key_mapping: {regular expression: replacement}, the first that fits."""
    for pattern, replacement in mapping.items():
        name, changed = re.subn(pattern, replacement, name)
        if changed:
            break
    return name


def _adapt_prefix(model: nn.Module, current: dict[str, str]) -> dict[str, str]:
    """Files of a base model for a model with a head, and the reverse: add or take off the base model's prefix."""
    base = getattr(model, "base_model_prefix", "")
    if not base:
        return current
    rules = getattr(model, "key_rules", ())
    renamed = {file: rename(now, rules) for file, now in current.items()}
    prefixed = any(now.startswith(f"{base}.") for now in renamed.values())
    if hasattr(model, base) and not prefixed:
        children = {_unit(name) for name in model.state_dict() if not name.startswith(f"{base}.")}
        inner = {_unit(name) for name in getattr(model, base).state_dict()}
        head = children - inner
        return {file: now if _unit(now) in head else f"{base}.{now}" for file, now in current.items()}
    if not hasattr(model, base) and prefixed:
        return {file: now.removeprefix(f"{base}.") for file, now in current.items()}
    return current


def _place_names(plan: Plan, current: dict[str, str]) -> list[str]:
    """Fill `plan.direct`; returns the file names that fit nothing. A name that fits as it is comes first."""
    made = {name for conversion in plan.converted for name in conversion.targets}
    spare: list[str] = []
    for file, now in sorted(current.items(), key=lambda item: item[0] != item[1]):
        target = now if now in plan.expected else _old_name(now)
        if target in plan.expected and target not in plan.direct and target not in made:
            plan.direct[target] = file
        else:
            spare.append(file)
    return spare


def _old_name(name: str) -> str:
    path, _, last = name.rpartition(".")
    return f"{path}.{_OLD_NAMES.get(last, last)}"


def _resolve_ties(model: nn.Module, plan: Plan, report: LoadReport) -> None:
    """Tied names need one tensor between them: the source's, or what the file calls one of its twins."""
    active: dict[str, str] = getattr(model, "active_ties", dict)()
    for target in active:
        root = active[target]
        while root in active:
            root = active[root]
        if target not in plan.expected and root not in plan.expected:
            continue
        plan.ties[target] = root
        if target in plan.direct:
            if root not in plan.provided():
                plan.direct[root] = plan.direct[target]
            del plan.direct[target]
    report.tied = dict(plan.ties)


def missing_names(plan: Plan, placed: set[str]) -> list[str]:
    """Parameters and persistent buffers that got no tensor, in the model's order; a tied name goes with its source."""
    return [name for name in plan.expected if name not in placed and name not in plan.ties]


def classify_missing(
    model: nn.Module, plan: Plan, names: Sequence[str], report: LoadReport, allow: Sequence[str]
) -> None:
    """Sort missing names into `computed`, `allowed`, `newly_initialised` (random) and `missing` (an error).

    A head is a direct child of the model beside its base model (or a parameter of its own); it is new as a whole or
    not at all: where some of its tensors were found, the others are missing.
    """
    base = getattr(model, "base_model_prefix", "")
    has_head = bool(base) and isinstance(getattr(model, base, None), nn.Module)
    provided = plan.provided()  # without tied names: an output layer that shares the embedding is no part of a head
    base_found = any(name.startswith(f"{base}.") for name in provided)
    found_units = {_unit(name) for name in provided}
    declared = _declared(plan, "allow_missing")
    for name in names:
        tensor = plan.expected[name]
        if not isinstance(tensor, nn.Parameter) and not tensor.is_floating_point() and not tensor.is_meta:
            report.computed.append(name)
        elif matches(name, declared) and not tensor.is_meta:
            report.allowed.append(name)
        elif matches(name, [*declared, *allow]):
            report.newly_initialised.append(name)
        elif has_head and base_found and not name.startswith(f"{base}.") and _unit(name) not in found_units:
            report.newly_initialised.append(name)
        else:
            report.missing.append(name)


def _unit(name: str) -> str:
    return name.partition(".")[0]


def _declared(plan: Plan, attribute: str) -> list[str]:
    """The patterns that the model and the models inside it declare, as full names."""
    return [prefix + pattern for prefix, part in plan.levels for pattern in getattr(part, attribute, ())]


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern with * fits the name; a pattern of an inner model may also begin with * itself."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
