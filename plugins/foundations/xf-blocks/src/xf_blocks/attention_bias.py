"""Position biases on attention scores: joined with the mask, so that every backend that reads one applies them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def mask_with_bias(mask: Any, bias_BHQK: Tensor, is_causal: bool) -> Tensor:
    """An additive mask: the bias where attention is allowed, the smallest number elsewhere.

    mask: None, bool (True where allowed) or additive, (B, 1 or H, Q, K). is_causal: what a missing mask means: the
    queries are the last Q of K tokens and see none after them.
    """
    if mask is None:
        queries, keys = bias_BHQK.shape[-2:]
        if not is_causal or queries == 1:
            return bias_BHQK
        mask = torch.ones(queries, keys, dtype=torch.bool, device=bias_BHQK.device).tril(keys - queries)
    if mask.dtype == torch.bool:
        return bias_BHQK.masked_fill(~mask, torch.finfo(bias_BHQK.dtype).min)
    return bias_BHQK + mask
