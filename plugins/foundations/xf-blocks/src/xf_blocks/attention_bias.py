"""Position biases on attention scores: joined with the mask, so that every backend that reads one applies them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def mask_with_bias(mask: Any, bias_BHQK: Tensor, is_causal: bool) -> Tensor:
    """An additive mask: the bias where attention is allowed, the smallest number elsewhere.

    mask: None, bool (True where allowed) or additive, (B, 1 or H, Q, K), or flex attention's BlockMask. is_causal: what
    a missing mask means: the queries are the last Q of K tokens and see none after them.
    """
    if mask is None:
        queries, keys = bias_BHQK.shape[-2:]
        if not is_causal or queries == 1:
            return bias_BHQK
        mask = torch.ones(queries, keys, dtype=torch.bool, device=bias_BHQK.device).tril(keys - queries)
    if not isinstance(mask, Tensor):  # a bias is a tensor of all pairs: so is what joins it
        from torch.nn.attention.flex_attention import create_mask  # slow to import, and there already

        mask = create_mask(mask.mask_mod, *mask.shape, device=bias_BHQK.device)
    if mask.dtype == torch.bool:
        return bias_BHQK.masked_fill(~mask, torch.finfo(bias_BHQK.dtype).min)
    return bias_BHQK + mask


def alibi_slopes(heads: int) -> Tensor:
    """How steeply each head's bias falls with distance: (H,) float32 (arXiv:2108.12409, section 3).

    2^(-8/H), 2^(-16/H) ... for H a power of two. Otherwise those of the next lower power P, then every other one of the
    2 P heads' (the authors' rule, footnote 4 of the paper).
    """
    power = 1 << (heads.bit_length() - 1)
    exponents = [8 * (index + 1) / power for index in range(power)]
    exponents += [8 * (2 * index + 1) / (2 * power) for index in range(heads - power)]
    return torch.tensor([2.0**-exponent for exponent in exponents])


def alibi_positions(attention_mask: Any, start: int, length: int) -> Tensor:
    """Positions (B or 1, K) of all keys so far as ALiBi counts them: padding takes none. int64.

    attention_mask: (B, K), 0 at padding; anything else counts every one of start + length keys.
    """
    if isinstance(attention_mask, Tensor) and attention_mask.ndim == 2:
        seen = attention_mask.long()
        return (seen.cumsum(-1) - 1) * seen
    return torch.arange(start + length)[None]
