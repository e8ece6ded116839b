"""Utilities of the trainer that work on tensors, under the documented module path (spec: trainer_utils.md)."""

from __future__ import annotations

from .distributed import DistributedTensorGatherer, torch_distributed_zero_first
from .losses import LabelSmoother
from .nested import find_batch_size, nested_concat, nested_detach, nested_numpify, nested_truncate
from .trainer_data import LengthGroupedSampler

__all__ = [
    "DistributedTensorGatherer",
    "LabelSmoother",
    "LengthGroupedSampler",
    "find_batch_size",
    "nested_concat",
    "nested_detach",
    "nested_numpify",
    "nested_truncate",
    "torch_distributed_zero_first",
]
