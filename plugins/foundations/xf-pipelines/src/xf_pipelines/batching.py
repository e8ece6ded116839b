"""Batches for pipelines: which items go together, how they are padded, and how results are taken apart again.

An item is what `preprocess` returned: a mapping whose tensors have a batch dimension, nearly always of size 1.

    B rows of an item · T its length in tokens, frames or samples (the width of its attention mask)

Only what a mask can hide is padded, so that a batch gives what its items give alone; items that differ in anything else
are not put together. Nor are items of very different lengths: padding costs more than a batch saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xf.outputs import ModelOutput

MASK = "attention_mask"
# keys that are as long as the mask, with what fills them up; `input_ids` and sounds ask the tokenizer and the extractor
FILL: dict[str, float] = {
    "attention_mask": 0, "bbox": 0, "input_features": 0.0, "input_ids": 0, "input_values": 0.0, "offset_mapping": 0,
    "p_mask": 1, "position_ids": 0, "special_tokens_mask": 1, "token_type_ids": 0,
}  # fmt: skip
# Of the tokens of a batch, at most this part may be padding, and a little more where items are short: there the cost of
# a call is not its tokens. On a CPU no mix of lengths was slower than one by one (bench/bench_pipeline_batches.py).
WASTE = 1 / 16
FREE_PADDING = 8  # positions per item

Fill = Callable[[str], float]


def rows(item: Mapping[str, Any]) -> int:
    """The size of the batch dimension of an item."""
    return next((int(value.shape[0]) for value in item.values() if isinstance(value, Tensor) and value.ndim), 1)


def length(item: Any) -> int:
    """T, or 0 where an item has no mask."""
    mask = item.get(MASK) if isinstance(item, Mapping) else None
    return int(mask.shape[1]) if isinstance(mask, Tensor) and mask.ndim == 2 else 0


def _padded(key: str, value: Tensor, long: int) -> bool:
    return long > 0 and value.ndim >= 2 and value.shape[1] == long and (key in FILL or value.ndim == 2)


def signature(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two items must have in common to go into one batch."""
    long = length(item)
    described: list[Any] = []
    for key, value in sorted(item.items(), key=lambda pair: pair[0]):
        if not isinstance(value, Tensor):
            described.append((key, type(value)))
        elif _padded(key, value, long):
            described.append((key, value.dtype, "padded", value.shape[2:]))
        else:
            described.append((key, value.dtype, value.shape[1:]))
    return tuple(described)


def plan(items: Sequence[Any], batch_size: int) -> list[list[int]]:
    """The batches, as positions in `items`, each at most `batch_size` long; every position once."""
    groups: dict[Any, list[int]] = {}
    for position, item in enumerate(items):
        key = signature(item) if isinstance(item, Mapping) else position
        groups.setdefault(key, []).append(position)
    batches: list[list[int]] = []
    for group in groups.values():
        group.sort(key=lambda position: length(items[position]))
        batch: list[int] = []
        tokens = 0
        for position in group:
            long = length(items[position])
            padding = long * (len(batch) + 1) - (tokens + long)
            allowed = max(WASTE * long, FREE_PADDING) * (len(batch) + 1)
            if batch and (len(batch) == batch_size or padding > allowed):
                batches.append(batch)
                batch, tokens = [], 0
            batch.append(position)
            tokens += long
        batches.append(batch)
    return sorted(batches, key=min)


def collate(items: Sequence[Mapping[str, Any]], fill: Fill, side: str = "right") -> dict[str, Any]:
    """One batch of several items: tensors padded to the longest and joined, everything else in lists."""
    lengths = [length(item) for item in items]
    return {
        key: _join([item[key] for item in items], lengths, key, fill, side) if isinstance(value, Tensor)
        else [item[key] for item in items]
        for key, value in items[0].items()
    }  # fmt: skip


def _join(values: list[Tensor], lengths: list[int], key: str, fill: Fill, side: str) -> Tensor:
    longest = max(lengths)
    if min(lengths) == longest or not all(_padded(key, v, n) for v, n in zip(values, lengths, strict=True)):
        return torch.cat(values)
    joined = values[0].new_full((sum(v.shape[0] for v in values), longest, *values[0].shape[2:]), fill(key))
    start = 0
    for value, long in zip(values, lengths, strict=True):
        target = joined[start : start + value.shape[0]]
        target[:, longest - long :].copy_(value) if side == "left" else target[:, :long].copy_(value)
        start += value.shape[0]
    return joined


def split(outputs: Any, counts: Sequence[int]) -> list[Any]:
    """The results of each item, where item i has `counts[i]` rows: the inverse of `collate`.

    Tensors and arrays are cut along their first dimension, also inside tuples and mappings; a list with one entry per
    item gives each its entry; scalars go to everyone. A cache of keys and values is left out: it belongs to the batch.

    Raises: ValueError where a tensor has another number of rows.
    """
    total = sum(counts)
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return [_part(outputs, i, start, counts[i], total, len(counts)) for i, start in enumerate(starts)]


def _part(value: Any, index: int, start: int, count: int, total: int, items: int) -> Any:
    def of(inner: Any) -> Any:
        return _part(inner, index, start, count, total, items)

    if isinstance(value, (Tensor, np.ndarray)):
        if value.ndim == 0:
            return value
        if value.shape[0] != total:
            raise ValueError(
                f"A batch of {total} rows gave a tensor of shape {tuple(value.shape)}: it cannot be split."
            )
        return value[start : start + count]
    if isinstance(value, ModelOutput):
        return type(value)(**{key: of(inner) for key, inner in value.items()})
    if isinstance(value, Mapping):
        return {key: of(inner) for key, inner in value.items()}
    if isinstance(value, tuple) and any(isinstance(inner, (Tensor, tuple)) for inner in value):
        return tuple(of(inner) for inner in value)
    if isinstance(value, (list, tuple)):
        if len(value) not in (items, total):
            raise ValueError(f"A batch of {items} items gave a list of {len(value)}: it cannot be split.")
        return value[index] if len(value) == items else value[start : start + count]
    return value if value is None or isinstance(value, (bool, int, float, str)) else None
