"""What the trainer does with a model's loss: smoothing, and what a part of a batch counts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class LabelSmoother:
    """Cross entropy with label smoothing (Szegedy et al. 2016): part of the target is spread over all classes.

    Normaliser: labels that are not `ignore_index`.
    """

    epsilon: float = 0.1
    ignore_index: int = -100

    def __call__(self, model_output: Any, labels: Tensor, shift_labels: bool = False) -> Tensor:
        """shift_labels: each position predicts the next label."""
        logits = model_output["logits"] if isinstance(model_output, Mapping) else model_output[0]
        if shift_labels:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        log_probabilities = -F.log_softmax(logits, dim=-1)
        labels = labels.unsqueeze(-1) if labels.dim() == log_probabilities.dim() - 1 else labels
        ignored = labels.eq(self.ignore_index)
        right = log_probabilities.gather(dim=-1, index=labels.clamp(min=0)).masked_fill(ignored, 0.0)
        spread = log_probabilities.sum(dim=-1, keepdim=True, dtype=torch.float32).masked_fill(ignored, 0.0)
        counted = ignored.numel() - ignored.long().sum()
        uniform = spread.sum() / (counted * log_probabilities.shape[-1])
        return (1 - self.epsilon) * (right.sum() / counted) + self.epsilon * uniform


def takes_item_count(model: Any) -> bool:
    """Whether a model's forward divides its loss by the `num_items_in_batch` that it is given."""
    declared = getattr(model, "accepts_loss_kwargs", None)
    if declared is not None:
        return bool(declared)
    return "num_items_in_batch" in inspect.signature(model.forward).parameters


def items(batch: Any, label_names: Sequence[str]) -> int | None:
    """How many labels of a batch count in its loss: those that are not -100; None where it has no labels."""
    if not isinstance(batch, Mapping):
        return None
    for name in label_names:
        labels = batch.get(name)
        if isinstance(labels, Tensor):
            return int(labels.numel() if labels.is_floating_point() else labels.ne(-100).sum())
    return None
