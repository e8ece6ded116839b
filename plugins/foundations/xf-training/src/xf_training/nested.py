"""Nested predictions: models return tensors, tuples and dicts of them, and metrics want arrays of all rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def nested_map(function: Callable[[Any], Any], values: Any) -> Any:
    """The same structure with `function` of every leaf; None stays None."""
    if values is None:
        return None
    if isinstance(values, (list, tuple)):
        return type(values)(nested_map(function, value) for value in values)
    if isinstance(values, Mapping):
        return type(values)({key: nested_map(function, value) for key, value in values.items()})  # type: ignore[call-arg]
    return function(values)


def nested_detach(values: Any) -> Any:
    """Without gradients."""
    return nested_map(lambda value: value.detach() if isinstance(value, Tensor) else value, values)


def nested_numpify(values: Any) -> Any:
    """As NumPy arrays; bfloat16, which NumPy does not have, becomes float32."""

    def to_numpy(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return np.asarray(value)
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()

    return nested_map(to_numpy, values)


def nested_concat(first: Any, second: Any, padding_index: int = -100) -> Any:
    """Rows of both, one below the other; a second dimension of another size is filled with `padding_index`."""
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, (list, tuple)):
        return type(first)(nested_concat(a, b, padding_index) for a, b in zip(first, second, strict=True))
    if isinstance(first, Mapping):
        return type(first)({k: nested_concat(v, second[k], padding_index) for k, v in first.items()})  # type: ignore[call-arg]
    first, second = _at_least_1d(first), _at_least_1d(second)
    if first.ndim > 1 and first.shape[1] != second.shape[1]:
        width = max(first.shape[1], second.shape[1])
        first, second = _widened(first, width, padding_index), _widened(second, width, padding_index)
    return torch.cat((first, second)) if isinstance(first, Tensor) else np.concatenate((first, second))


def _at_least_1d(value: Any) -> Any:
    return torch.atleast_1d(value) if isinstance(value, Tensor) else np.atleast_1d(value)


def _widened(value: Any, width: int, padding_index: int) -> Any:
    shape = (value.shape[0], width, *value.shape[2:])
    if isinstance(value, Tensor):
        wide: Any = value.new_full(shape, padding_index)
    else:
        wide = np.full(shape, padding_index, dtype=value.dtype)
    wide[:, : value.shape[1]] = value
    return wide


def nested_truncate(values: Any, limit: int) -> Any:
    """The first `limit` rows."""
    return nested_map(lambda value: value[:limit], values)


def find_batch_size(values: Any) -> int | None:
    """Rows of the first tensor or array there is."""
    if isinstance(values, (Tensor, np.ndarray)):
        return values.shape[0] if values.ndim else None
    items = values.values() if isinstance(values, Mapping) else values if isinstance(values, (list, tuple)) else ()
    return next((size for size in map(find_batch_size, items) if size is not None), None)


class Collected:
    """Results of batches: on the device for some steps, then as arrays; at the end all rows, or a list of batches."""

    def __init__(self, concat: bool = True) -> None:
        self.concat = concat
        self._tensors: Any = None
        self._arrays: Any = None

    def add(self, values: Any) -> None:
        if values is None:
            return
        if self.concat:
            self._tensors = values if self._tensors is None else nested_concat(self._tensors, values)
        else:
            self._tensors = [*(self._tensors or []), values]

    def to_arrays(self) -> None:
        """Move what is collected off the device."""
        if self._tensors is None:
            return
        arrays = nested_numpify(self._tensors)
        if self._arrays is None:
            self._arrays = arrays
        else:
            self._arrays = nested_concat(self._arrays, arrays) if self.concat else [*self._arrays, *arrays]
        self._tensors = None

    def get(self) -> Any:
        self.to_arrays()
        return self._arrays
