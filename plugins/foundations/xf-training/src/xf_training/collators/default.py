"""The collator for rows that need no padding: stack what is there, and rename `label` to `labels`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Any]


def framework(return_tensors: str | None) -> str:
    """The checked name of a kind of tensors; ValueError for one that xf does not make."""
    if return_tensors not in ("pt", "np"):
        raise ValueError(f"return_tensors={return_tensors!r}: xf makes 'pt' (torch) and 'np' (NumPy) tensors.")
    return return_tensors


class DataCollatorMixin:
    """Calls the method for the kind of tensors: `torch_call` or `numpy_call`, one of which a subclass must have."""

    return_tensors: str = "pt"

    def __call__(self, features: Sequence[Any], return_tensors: str | None = None) -> Any:
        name = {"pt": "torch_call", "np": "numpy_call"}[framework(return_tensors or self.return_tensors)]
        call = getattr(self, name, None)
        if call is None:
            raise ValueError(f"{type(self).__name__} has no {name}: it cannot make {name.partition('_')[0]} tensors.")
        return call(features)


def default_data_collator(features: Sequence[Any], return_tensors: str = "pt") -> Batch:
    """A batch of equally long rows; each row a mapping, or an object whose attributes are the columns.

    `label` (a number) and `label_ids` (a list) become `labels`, integer or float as they are; every other column that
    is neither None nor a string is stacked. Raises: ValueError where rows differ in length.
    """
    if not features:
        raise ValueError("A batch of no rows cannot be collated.")
    make = _torch_column if framework(return_tensors) == "pt" else _numpy_column
    rows = [row if isinstance(row, Mapping) else vars(row) for row in features]
    batch: Batch = {}
    if rows[0].get("label") is not None:
        batch["labels"] = _labels([row["label"] for row in rows], return_tensors)
    elif rows[0].get("label_ids") is not None:
        batch["labels"] = _labels([row["label_ids"] for row in rows], return_tensors)
    for name, first in rows[0].items():
        if name in ("label", "label_ids") or first is None or isinstance(first, str):
            continue
        try:
            batch[name] = make([row[name] for row in rows])
        except (ValueError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"Column {name!r} cannot be made a tensor ({error}). Rows of different lengths need a collator that "
                f"pads, such as DataCollatorWithPadding; columns that are no numbers must be removed."
            ) from error
    return batch


def _labels(values: list[Any], return_tensors: str) -> Any:
    first = values[0]
    if isinstance(first, Tensor) and return_tensors == "pt":
        if first.dim():
            return torch.stack(values)
        values = [value.item() for value in values]
        return torch.tensor(values, dtype=torch.long if isinstance(values[0], int) else torch.float)
    if return_tensors == "np":
        inner = first[0] if isinstance(first, (list, tuple)) else first
        return np.array(values, dtype=np.int64 if isinstance(inner, (int, np.integer)) else np.float32)
    inner = first[0] if isinstance(first, (list, tuple)) else first.flat[0] if isinstance(first, np.ndarray) else first
    dtype = torch.long if isinstance(inner, (int, np.integer)) else torch.float
    return torch.tensor(np.stack(values) if isinstance(first, np.ndarray) else values, dtype=dtype)


def _torch_column(values: list[Any]) -> Tensor:
    if isinstance(values[0], Tensor):
        return torch.stack(values)
    return torch.from_numpy(np.stack(values)) if isinstance(values[0], np.ndarray) else torch.tensor(values)


def _numpy_column(values: list[Any]) -> np.ndarray:
    return np.stack(values) if isinstance(values[0], (np.ndarray, Tensor)) else np.array(values)


@dataclass
class DefaultDataCollator(DataCollatorMixin):
    """`default_data_collator` as an object that remembers the kind of tensors."""

    return_tensors: str = "pt"

    def __call__(self, features: Sequence[Any], return_tensors: str | None = None) -> Batch:
        return default_data_collator(features, return_tensors or self.return_tensors)
