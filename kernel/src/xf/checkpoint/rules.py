"""Key rules: how the names in a family's files differ from the names of its modules, as data that runs both ways.

A pattern is a whole dotted name in which ``{}`` stands for one part between dots and ``*`` (once at most) for all::

    KeyRule("encoder.layer.{}.attention.self.*", "encoder.layers.{}.attn.*")
    split_rule("h.{}.qkv.weight", ("h.{}.q.weight", "h.{}.k.weight", "h.{}.v.weight"))

Rules of a model are relative to it: a model inside another one (the base inside a head, the text model inside a
composite) brings its own. The outer model's rules run first while loading and last while saving.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, cat, stack

#: longer names in a file are not names
MAX_NAME = 1000
#: several tensors in, several out; with the config and, while loading, the shapes that the modules have
TensorMap = Callable[[Sequence[Tensor], Any, Sequence[tuple[int, ...]]], Sequence[Tensor]]


@dataclass(frozen=True)
class KeyRule:
    """A tensor called `file` in files and `module` in the model. load_only: an old name that is never written."""

    file: str
    module: str
    load_only: bool = False


@dataclass(frozen=True)
class TensorRule:
    """Tensors `files` that become tensors `modules`: `load` makes one of the other, `save` the reverse.

    `#` in a name stands for 0, 1, 2, ...: all tensors of that numbering, in order. All patterns of a side have the same
    other placeholders. `save` is None where a file of that layout is never written.
    """

    files: tuple[str, ...]
    modules: tuple[str, ...]
    load: TensorMap
    save: TensorMap | None


def split_rule(file: str, modules: tuple[str, ...], dim: int = 0) -> TensorRule:
    """One tensor in the file (fused qkv), several in the model; the parts' sizes are those of the modules."""
    return TensorRule((file,), modules, lambda t, _, shapes: _split(t[0], [s[dim] for s in shapes], dim), _cat(dim))


def merge_rule(
    files: tuple[str, ...], module: str, dim: int = 0, sizes: Callable[[Any], Sequence[int]] | None = None
) -> TensorRule:
    """Several tensors in the file, one in the model. `sizes` of the parts from the config; equal parts without it."""

    def save(tensors: Sequence[Tensor], config: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Tensor]:
        whole = tensors[0]
        parts = sizes(config) if sizes else [whole.shape[dim] // len(files)] * len(files)
        return _split(whole, parts, dim)

    return TensorRule(files, (module,), _cat(dim), save)


def stack_rule(file: str, module: str) -> TensorRule:
    """Numbered tensors in the file (experts.#.w1.weight), one tensor with a new first dimension in the model."""
    return TensorRule((file,), (module,), lambda t, c, s: [stack(list(t))], lambda t, c, s: list(t[0].unbind(0)))


def transpose_rule(file: str, module: str, dims: tuple[int, int] = (0, 1)) -> TensorRule:
    """A tensor whose dimensions `dims` are exchanged (linear layers stored the other way round)."""

    def swap(tensors: Sequence[Tensor], config: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Tensor]:
        return [tensors[0].transpose(*dims).contiguous()]

    return TensorRule((file,), (module,), swap, swap)


def _cat(dim: int) -> TensorMap:
    return lambda tensors, config, shapes: [cat(list(tensors), dim)]


def _split(tensor: Tensor, sizes: Sequence[int], dim: int) -> Sequence[Tensor]:
    if sum(sizes) != tensor.shape[dim]:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} cannot be split into {list(sizes)} along {dim}")
    return [part.contiguous() for part in torch.split(tensor, list(sizes), dim)]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # at most one .* and parts that cannot contain dots: matching takes linear time on any name
    assert pattern.count("*") <= 1, f"{pattern}: one * at most"
    parts = re.split(r"(\{\}|\*|#)", pattern)
    kinds = {"{}": "([^.]+)", "*": "(.*)", "#": "(?P<number>[0-9]+)"}
    return re.compile("".join(kinds.get(part) or re.escape(part) for part in parts))


def _match(pattern: str, name: str) -> re.Match[str] | None:
    return _compiled(pattern).fullmatch(name) if len(name) <= MAX_NAME else None


def _fill(pattern: str, groups: Iterable[str]) -> str:
    values = iter(groups)
    return re.sub(r"\{\}|\*|#", lambda _: next(values), pattern)


def rename(name: str, rules: Iterable[Any], to_file: bool = False) -> str:
    """`name` after every KeyRule that fits, in order (in reverse order towards the file)."""
    chosen = [rule for rule in rules if isinstance(rule, KeyRule) and not (to_file and rule.load_only)]
    for rule in reversed(chosen) if to_file else chosen:
        source, target = (rule.module, rule.file) if to_file else (rule.file, rule.module)
        found = _match(source, name)
        if found is not None:
            name = _fill(target, found.groups())
    return name


@dataclass(frozen=True)
class Conversion:
    """One use of a TensorRule: these tensors become those."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    function: TensorMap
    config: Any


def conversions(
    names: Iterable[str], rules: Iterable[Any], config: Any, prefix: str, to_file: bool = False
) -> list[Conversion]:
    """The uses of TensorRules on `names` (full names; the rules are relative to `prefix`).

    A rule is used where all its sources are there; else the names stay as they are, and are missing or unexpected.
    """
    found: list[Conversion] = []
    local = [name[len(prefix) :] for name in names if name.startswith(prefix)]
    for rule in rules:
        if not isinstance(rule, TensorRule) or (to_file and rule.save is None):
            continue
        sources, targets = (rule.modules, rule.files) if to_file else (rule.files, rule.modules)
        function = rule.save if to_file else rule.load
        assert function is not None
        for key, group in _grouped(local, sources).items():
            if all(group):
                inputs = tuple(prefix + name for names in group for name in names)
                found.append(Conversion(inputs, tuple(prefix + _fill_known(t, key) for t in targets), function, config))
    return found


def _grouped(names: Iterable[str], patterns: Sequence[str]) -> Mapping[tuple[str, ...], list[list[str]]]:
    """{placeholder values: for every pattern the names that fit, in number order}."""
    groups: dict[tuple[str, ...], list[dict[int, str]]] = {}
    for name in names:
        for position, pattern in enumerate(patterns):
            match = _match(pattern, name)
            if match is not None:
                number = match.groupdict().get("number")
                slot = _compiled(pattern).groupindex.get("number")
                key = tuple(value for i, value in enumerate(match.groups(), 1) if i != slot)
                groups.setdefault(key, [{} for _ in patterns])[position][int(number or 0)] = name
    return {key: [[found[i] for i in sorted(found)] for found in group] for key, group in groups.items()}


def numbered(targets: Sequence[str], count: int) -> tuple[str, ...]:
    """The names of `count` results: a target with # stands for as many as there are."""
    return tuple(targets[0].replace("#", str(i)) for i in range(count)) if "#" in targets[0] else tuple(targets)


def _fill_known(pattern: str, groups: Iterable[str]) -> str:
    """Fill all placeholders but #, which the number of results decides."""
    values = iter(groups)
    return re.sub(r"\{\}|\*", lambda _: next(values), pattern)
