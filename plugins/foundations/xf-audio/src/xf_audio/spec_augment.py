"""SpecAugment (arXiv:1904.08779): random spans of time or frequency to mask in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from xf_audio.arrays import Array


def random_spans(
    shape: tuple[int, int],
    probability: float,
    span: int,
    attention_mask_BT: Any = None,
    min_spans: int = 0,
) -> Array:
    """Spans to mask: bool (batch, length), drawn from NumPy's global generator.

    Args:
        shape: (batch, length).
        probability: expected share of the length that spans begin to cover; overlaps make the true share lower.
        span: length of each.
        attention_mask_BT: tensor (batch, length), 1 where there is input; spans lie inside it.
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
