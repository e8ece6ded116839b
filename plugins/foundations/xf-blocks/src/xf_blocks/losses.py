"""Training losses. Each states its normaliser: what the sum over items is divided by.

num_items_in_batch, where given, is that divisor for a whole effective batch: a trainer that splits the batch in parts
adds the parts' losses, and the result is that of the undivided batch.

Shapes: B batch, T positions, V vocabulary, N labels. Label -100 means: no loss at this place.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

IGNORED = -100


def cross_entropy(
    logits_NC: Tensor, target_N: Tensor, num_items_in_batch: int | Tensor | None = None, ignore_index: int = IGNORED
) -> Tensor:
    """Cross entropy in float32. Normaliser: targets that are not ignored, or num_items_in_batch."""
    target_N = target_N.to(logits_NC.device)
    if num_items_in_batch is None:
        return F.cross_entropy(logits_NC.float(), target_N, ignore_index=ignore_index)
    if isinstance(num_items_in_batch, Tensor):
        num_items_in_batch = num_items_in_batch.to(logits_NC.device)
    return F.cross_entropy(logits_NC.float(), target_N, ignore_index=ignore_index, reduction="sum") / num_items_in_batch


def causal_lm_loss(
    logits_BTV: Tensor,
    labels_BT: Tensor | None,
    num_items_in_batch: int | Tensor | None = None,
    shift_labels_BT: Tensor | None = None,
    ignore_index: int = IGNORED,
) -> Tensor:
    """Each position predicts the next label. Normaliser: labels that are not ignored, or num_items_in_batch.

    shift_labels_BT: labels that are already moved one place to the left, in place of labels_BT.
    """
    if shift_labels_BT is None:
        assert labels_BT is not None, "one of the two is given"
        shift_labels_BT = F.pad(labels_BT, (0, 1), value=ignore_index)[..., 1:]
    vocabulary = logits_BTV.shape[-1]
    target = shift_labels_BT.reshape(-1)
    return cross_entropy(logits_BTV.reshape(-1, vocabulary), target, num_items_in_batch, ignore_index)


def token_loss(logits_BTV: Tensor, labels_BT: Tensor, num_items_in_batch: int | Tensor | None = None) -> Tensor:
    """Masked language models and token classification: a label for each position.

    Normaliser: labels that are not ignored, or num_items_in_batch.
    """
    return cross_entropy(logits_BTV.reshape(-1, logits_BTV.shape[-1]), labels_BT.reshape(-1), num_items_in_batch)


def problem_type_of(config: Any, num_labels: int, labels: Tensor) -> str:
    """config.problem_type; where it is not set, one label is regression, integer labels are single, others multi."""
    if config.problem_type is not None:
        return str(config.problem_type)
    if num_labels == 1:
        return "regression"
    return "multi_label_classification" if labels.is_floating_point() else "single_label_classification"


def classification_loss(
    logits_BN: Tensor, labels: Tensor, config: Any, num_items_in_batch: int | Tensor | None = None
) -> Tensor:
    """Sequence classification by `problem_type_of` config.

    single_label_classification: cross entropy; normaliser: sequences, or num_items_in_batch.
    multi_label_classification: binary cross entropy with float labels (B, N); normaliser: B times N.
    regression: squared error; normaliser: number of values.
    """
    num_labels = config.num_labels
    labels = labels.to(logits_BN.device)
    kind = problem_type_of(config, num_labels, labels)
    if kind == "single_label_classification":
        return cross_entropy(logits_BN.view(-1, num_labels), labels.view(-1), num_items_in_batch)
    if kind == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits_BN, labels)
    values_BN = logits_BN.squeeze() if num_labels == 1 else logits_BN
    target_BN = labels.squeeze() if num_labels == 1 else labels
    if values_BN.shape != target_BN.shape:  # torch would broadcast
        raise ValueError(f"Regression on logits {tuple(logits_BN.shape)} cannot use labels {tuple(labels.shape)}.")
    return F.mse_loss(values_BN, target_BN)


def question_answering_loss(start_BT: Tensor, end_BT: Tensor, start_positions: Tensor, end_positions: Tensor) -> Tensor:
    """Mean of the cross entropies of start and end. Normaliser: rows whose position is in the text."""
    losses = []
    outside = start_BT.shape[1]
    for logits_BT, positions in ((start_BT, start_positions), (end_BT, end_positions)):
        if positions.ndim > 1:
            positions = positions.squeeze(-1)
        target = positions.to(logits_BT.device).clamp(0, outside)
        losses.append(F.cross_entropy(logits_BT, target, ignore_index=outside))
    return (losses[0] + losses[1]) / 2
