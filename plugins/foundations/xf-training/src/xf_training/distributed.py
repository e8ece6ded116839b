"""Several processes that train together, by torch.distributed (spec: trainer_utils.md).

A launcher (torchrun) says in RANK, LOCAL_RANK and WORLD_SIZE which process this is. Alone, all this does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Processes that train together: of the running group, else as the launcher says."""
    return dist.get_world_size() if dist.is_initialized() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process among all."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if world_size() > 1 else 0


def start(backend: str | None, timeout: Any, device: torch.device) -> None:
    """Join the group of processes, where a launcher started several and nobody has joined yet."""
    if world_size() > 1 and not dist.is_initialized():
        if device.type != "cpu":
            torch.accelerator.set_device_index(device.index or 0)
        dist.init_process_group(backend or ("nccl" if device.type == "cuda" else "gloo"), timeout=timeout)


@contextmanager
def torch_distributed_zero_first(local_rank: int) -> Iterator[None]:
    """The block runs in process 0 first, then in the others. local_rank: the number of this process."""
    several = dist.is_initialized() and dist.get_world_size() > 1
    if several and local_rank not in (-1, 0):
        dist.barrier()
    yield
    if several and local_rank == 0:
        dist.barrier()


def summed(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def gathered(value: Tensor, pad: int = -100) -> Tensor:
    """The rows of all processes in order of their numbers; second dimensions of different size are padded.

    Every process must have the same number of rows.
    """
    if world_size() == 1:
        return value
    value = value.contiguous()
    if value.dim() >= 2:
        longest = torch.tensor([value.shape[1]], device=value.device)
        dist.all_reduce(longest, op=dist.ReduceOp.MAX)
        if value.shape[1] < int(longest):
            wide = value.new_full((value.shape[0], int(longest), *value.shape[2:]), pad)
            wide[:, : value.shape[1]] = value
            value = wide
    parts = [torch.empty_like(value) for _ in range(world_size())]
    dist.all_gather(parts, value)
    return torch.cat([part.reshape(1) if part.dim() == 0 else part for part in parts])


class DistributedTensorGatherer:
    """Puts predictions, gathered chunk by chunk from all processes, back into the order of the data set.

    Args:
        world_size: processes. num_samples: rows of the data set.
        make_multiple_of: the samplers' rows per process are a multiple of this.
        padding_index: what fills rows that are shorter than the longest.
    """

    def __init__(
        self, world_size: int, num_samples: int, make_multiple_of: int | None = None, padding_index: int = -100
    ) -> None:
        unit = world_size if make_multiple_of is None else world_size * make_multiple_of
        self.world_size, self.num_samples, self.padding_index = world_size, num_samples, padding_index
        self.total_samples = -(-num_samples // unit) * unit
        self.process_length = self.total_samples // world_size
        self._storage: Any = None
        self._offsets = list(range(0, self.total_samples, self.process_length)) if self.process_length else []

    def add_arrays(self, arrays: Any) -> None:
        """Add one gathered chunk: an array, or nested structures of them: process 0's rows, then 1's ..."""
        if arrays is None:
            return
        if self._storage is None:
            self._storage = _nested(self._new, arrays)
        rows = _first(arrays).shape[0] // self.world_size
        self._storage = _nested(lambda new, old: self._put(old, new, rows), arrays, self._storage)
        for process in range(self.world_size):
            self._offsets[process] += rows

    def _new(self, array: np.ndarray) -> np.ndarray:
        return np.full((self.total_samples, *array.shape[1:]), self.padding_index, dtype=array.dtype)

    def _put(self, storage: np.ndarray, array: np.ndarray, rows: int) -> np.ndarray:
        if array.ndim > 1 and array.shape[1] > storage.shape[1]:
            wide = np.full((*storage.shape[:1], array.shape[1], *storage.shape[2:]), self.padding_index, storage.dtype)
            wide[:, : storage.shape[1]] = storage
            storage = wide
        for process in range(self.world_size):
            part = array[process * rows : (process + 1) * rows]
            at = (slice(self._offsets[process], self._offsets[process] + rows),)
            storage[at if array.ndim == 1 else (*at, slice(0, array.shape[1]))] = part
        return storage

    def finalize(self) -> Any:
        """All rows in the data set's order, without those that filled up the last batch; None where nothing came."""
        if self._storage is None:
            return None
        if self._offsets[0] != self.process_length:
            raise ValueError(
                f"{self._offsets[0] * self.world_size} rows were added of {self.total_samples}; add all chunks first."
            )
        return _nested(lambda array: array[: self.num_samples], self._storage)


def _nested(function: Any, first: Any, *others: Any) -> Any:
    if isinstance(first, (list, tuple)):
        return type(first)(_nested(function, *items) for items in zip(first, *others, strict=True))
    if isinstance(first, dict):
        return {key: _nested(function, first[key], *(other[key] for other in others)) for key in first}
    return function(first, *others)


def _first(arrays: Any) -> Any:
    while isinstance(arrays, (list, tuple, dict)):
        arrays = next(iter(arrays.values() if isinstance(arrays, dict) else arrays))
    return arrays
