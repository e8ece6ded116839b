"""SpecAugment (arXiv:1904.08779): random spans of time or frequency that are set to zero in training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def random_spans(
    shape: tuple[int, int],
    probability: float,
    span: int,
    attention_mask_BT: Tensor | None = None,
    min_spans: int = 0,
) -> np.ndarray:
    """Spans to mask: bool (batch, length).

    Args:
        shape: (batch, length).
        probability: expected share of the length that spans begin to cover; overlaps make the true share lower.
        span: length of each.
        attention_mask_BT: 1 where there is input; spans lie inside it.
        min_spans: least number of spans of each row.

    Raises:
        ValueError: a span below one or longer than the input.
    """
    batch, length = shape
    if not 1 <= span <= length:
        raise ValueError(f"A mask span of {span} does not fit an input of length {length}: set mask_*_length lower.")
    draw = np.random.rand(1).item()  # one draw for the batch: rounds the number of spans up or down at random

    def number_of_spans(available: int) -> int:
        number = max(int(probability * available / span + draw), min_spans)
        if number * span > length:
            number = length // span
        return max(min(number, available - (span - 1)), 0)

    lengths = [length] * batch if attention_mask_BT is None else attention_mask_BT.detach().sum(-1).tolist()
    masked_BT = np.zeros((batch, length), dtype=bool)
    if number_of_spans(length) == 0:
        return masked_BT
    for row, available in enumerate(lengths):
        starts = np.random.choice(np.arange(available - (span - 1)), number_of_spans(available), replace=False)
        for start in starts:
            masked_BT[row, start : start + span] = True
    return masked_BT


def spec_augment(config: object, input_features_BFT: Tensor, attention_mask_BT: Tensor | None) -> Tensor:
    """Input features with random spans zeroed, as the `mask_time_*` and `mask_feature_*` settings of `config` say."""
    batch, bins, length = input_features_BFT.shape
    get = config.__getattribute__
    device = input_features_BFT.device
    input_features_BFT = input_features_BFT.clone()
    if get("mask_time_prob") > 0:
        time_BT = random_spans(
            (batch, length), get("mask_time_prob"), get("mask_time_length"), attention_mask_BT, get("mask_time_min_masks")
        )
        input_features_BFT.masked_fill_(torch.from_numpy(time_BT).to(device)[:, None, :], 0)
    if get("mask_feature_prob") > 0:
        bins_BF = random_spans(
            (batch, bins), get("mask_feature_prob"), get("mask_feature_length"), None, get("mask_feature_min_masks")
        )
        input_features_BFT.masked_fill_(torch.from_numpy(bins_BF).to(device)[:, :, None], 0)
    return input_features_BFT
