"""Losses of table question answering (arXiv:2004.02349, section 3).

Three kinds of examples: cells are the answer; the operator over cells is known too; only the answer's number is known.

Shapes: B batch, T tokens, N columns, G cells, A operators (0 is none of aggregation; 1 sum, 2 average, 3 count).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import RelaxedBernoulli, RelaxedOneHotCategorical
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, log_softmax

from .cells import EPSILON, Cells, grouped_max, grouped_sum
from .configuration import TapasConfig


def token_selection_loss(logits_BT: Tensor, labels_BT: Tensor, mask_BT: Tensor, positive_weight: float) -> Tensor:
    """(B,): the mean cross entropy of an example's tokens, those of the answer weighted."""
    labels_BT = labels_BT.to(logits_BT.dtype)
    weight = torch.where(labels_BT == 0, 1.0, positive_weight)
    losses = binary_cross_entropy_with_logits(logits_BT, labels_BT, weight, reduction="none")
    return (losses * mask_BT).sum(1) / (mask_BT.sum(1) + EPSILON)


def column_selection_loss(cell_logits_BG: Tensor, column_logits_BN: Tensor, labels_BT: Tensor, cells: Cells) -> Tensor:
    """(B,): the cross entropy of the answer's column, and the mean of that of its cells.

    The answer's column is the one with most of its tokens; 0 (no column) where nothing is selected.
    """
    labels_BT = labels_BT.to(cell_logits_BG.dtype)
    counts_BN = grouped_sum(labels_BT, cells.column_BT, cells.columns)
    selected_B = counts_BN.amax(1) != 0
    column_B = torch.where(selected_B, counts_BN.argmax(1), 0)
    column_loss_B = cross_entropy(column_logits_BN, column_B, reduction="none")
    labels_BG = grouped_max(labels_BT, cells.cell_BT, cells.count)
    columns_G = torch.arange(cells.count, device=labels_BG.device) % cells.columns
    counted_BG = (columns_G == column_B[:, None]) * cells.mask_BG
    losses_BG = binary_cross_entropy_with_logits(cell_logits_BG, labels_BG, reduction="none")
    cell_loss_B = (losses_BG * counted_BG).sum(1) / (counted_BG.sum(1) + EPSILON)
    return column_loss_B + torch.where(selected_B, cell_loss_B, 0.0)


def aggregate_mask(answer_B: Tensor, aggregation_BA: Tensor, labels_BT: Tensor, preference: float) -> Tensor:
    """(B,): 1 where the answer is a number made of cells, 0 where it is (also) a selection of cells.

    That is so if it has a number, unless cells are known and the model thinks little of aggregating.
    """
    aggregating_B = aggregation_BA.softmax(-1)[:, 1:].sum(1)
    selects_B = (aggregating_B <= preference) & (labels_BT.sum(1) > 0)
    return torch.where(selects_B, 0.0, (~answer_B.isnan()).to(aggregating_B.dtype)).detach()


def aggregation_loss(aggregation_BA: Tensor, target_B: Tensor) -> Tensor:
    """(B,): the cross entropy of the known operator."""
    return cross_entropy(aggregation_BA, target_B, reduction="none")


def unknown_aggregation_loss(aggregation_BA: Tensor, mask_B: Tensor) -> Tensor:
    """(B,): where cells are selected that of no operator, elsewhere that of any."""
    none_B = -log_softmax(aggregation_BA, -1)[:, 0]
    any_B = -aggregation_BA.softmax(-1)[:, 1:].sum(1).log()
    return none_B * (1 - mask_B) + any_B * mask_B


def expected_answer(
    logits_BT: Tensor,
    numbers_BT: Tensor,
    scale_BT: Tensor,
    mask_BT: Tensor,
    aggregation_BA: Tensor,
    config: TapasConfig,
) -> Tensor:
    """(B,): the number that weighted cells and operators give.

    numbers: of each token's cell, nan without one; scale: how many tokens the cell has.
    """
    if config.use_gumbel_for_cells:
        soft_BT = RelaxedBernoulli(logits_BT.new_tensor(config.temperature), logits=logits_BT * config.temperature)
        chosen_BT = soft_BT.sample()
    else:
        chosen_BT = logits_BT.sigmoid()
    chosen_BT = chosen_BT / scale_BT * mask_BT
    numbers_BT = torch.where(numbers_BT.isnan(), 0.0, numbers_BT)
    count_B, sum_B = chosen_BT.sum(1), (chosen_BT * numbers_BT).sum(1)
    if config.average_approximation_function == "ratio":
        average_B = sum_B / (count_B + EPSILON)
    else:
        average_B = _average(chosen_BT, numbers_BT, config.average_approximation_function)
    if config.use_gumbel_for_aggregation:
        temperature = aggregation_BA.new_tensor(config.aggregation_temperature)
        weights_BA = RelaxedOneHotCategorical(temperature, logits=aggregation_BA[:, 1:]).sample()
    else:
        weights_BA = (aggregation_BA[:, 1:] / config.aggregation_temperature).softmax(-1)
    return (torch.stack((sum_B, average_B, count_B), 1) * weights_BA).sum(1)


def _average(chosen_BT: Tensor, numbers_BT: Tensor, order: str) -> Tensor:
    """(B,): the expected average, by a Taylor expansion around the expected count without the cell itself.

    Raises: ValueError for an order that is neither "first_order" nor "second_order".
    """
    others_BT = chosen_BT.sum(1, keepdim=True) - chosen_BT + 1
    if order == "first_order":
        return (numbers_BT * chosen_BT / others_BT).sum(1)
    if order == "second_order":
        variance_BT = chosen_BT * (1 - chosen_BT)
        rest_BT = variance_BT.sum(1, keepdim=True) - variance_BT
        return (numbers_BT * chosen_BT * (rest_BT / others_BT**2 + 1) / others_BT).sum(1)
    raise ValueError(
        f"average_approximation_function is {order!r}; it must be 'ratio', 'first_order' or 'second_order'."
    )


def answer_loss(expected_B: Tensor, answer_B: Tensor, mask_B: Tensor, config: TapasConfig) -> tuple[Tensor, Tensor]:
    """The Huber loss of the answer (B,), and 0 where it is so great that the example should not count (B,)."""
    answer_B = torch.where(answer_B.isnan(), 0.0, answer_B)
    if config.use_normalized_answer_loss:
        norm_B = (torch.maximum(expected_B.abs(), answer_B.abs()) + EPSILON).detach()
        losses_B = _huber(expected_B / norm_B, answer_B / norm_B, 1.0)
    else:
        delta = config.huber_loss_delta
        losses_B = _huber(expected_B, answer_B, 1.0 if delta is None else delta)
    losses_B = losses_B * mask_B
    counted_B = torch.ones_like(losses_B)
    if config.answer_loss_cutoff is not None:
        counted_B = torch.where(losses_B > config.answer_loss_cutoff, 0.0, counted_B)
    return config.answer_loss_importance * losses_B, counted_B


def _huber(x_B: Tensor, target_B: Tensor, delta: float) -> Tensor:
    error_B = (x_B - target_B).abs()
    return torch.where(error_B < delta, 0.5 * error_B**2, delta * error_B - 0.5 * delta**2)
