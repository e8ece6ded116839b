"""Lists, arrays and tensors into one another; torch is not imported before a tensor of torch is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .enums import TensorType

if TYPE_CHECKING:
    import torch


def is_torch_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor, without importing torch."""
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(value, torch_module.Tensor)


def to_py_obj(value: Any) -> Any:
    """Turn tensors and arrays, also inside lists and dictionaries, into plain Python numbers and lists."""
    if is_torch_tensor(value) or isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return (
            [to_py_obj(item) for item in value]
            if any(not isinstance(item, (int, float)) for item in value)
            else list(value)
        )
    if isinstance(value, dict):
        return {key: to_py_obj(item) for key, item in value.items()}
    return value


def to_array(value: Any) -> np.ndarray[Any, Any]:
    """Make a NumPy array; rows of different lengths make an array of arrays."""
    if is_torch_tensor(value):
        return np.asarray(value.detach().cpu().numpy())
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple, np.ndarray)):
        if len({len(row) for row in value}) > 1:
            ragged = np.empty(len(value), dtype=object)
            ragged[:] = [np.asarray(row) for row in value]
            return ragged
    return np.asarray(value)


def to_tensor(value: Any) -> torch.Tensor:
    """Make a torch tensor; lists of arrays are joined in NumPy first, which is many times faster."""
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (list, tuple)) and value:
        if isinstance(value[0], np.ndarray):
            value = np.array(value)
        elif isinstance(value[0], torch.Tensor):
            return torch.stack(tuple(value))
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value) if value.flags.writeable else value.copy())
    return torch.tensor(value)


def tensor_converter(tensor_type: str | TensorType) -> Callable[[Any], Any]:
    """`to_tensor` or `to_array`; ValueError for a kind of tensor that xf does not make."""
    kind = TensorType(tensor_type)
    if kind not in (TensorType.PYTORCH, TensorType.NUMPY):
        raise ValueError(f"return_tensors={kind.value!r}: xf makes 'pt' (torch) and 'np' (NumPy) tensors")
    return to_tensor if kind is TensorType.PYTORCH else to_array
