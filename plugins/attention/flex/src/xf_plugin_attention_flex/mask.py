"""Mask functions as BlockMasks: which blocks of the score matrix need computing at all, and the predicate inside them.

Shapes: B batch, Q queries, K keys.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from xf.interfaces.mask import MaskFunction, causal_mask_function


def flex_mask(
    batch_size: int,
    cache_position: Tensor,
    kv_length: int,
    kv_offset: int = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> BlockMask:
    """The BlockMask of a mask function; arguments as `xf.interfaces.mask.MaskBuilder`."""
    padding = None if attention_mask is None else attention_mask.bool()

    def allowed(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        position = kv_idx + kv_offset
        seen = mask_function(batch_idx, head_idx, cache_position[q_idx], position)
        if padding is None:
            return seen
        width = padding.shape[1]  # beyond are slots of a preallocated cache that no token has reached yet
        return seen & (position < width) & padding[batch_idx, position.clamp(max=width - 1)]

    return create_block_mask(
        allowed, B=batch_size, H=None, Q_LEN=len(cache_position), KV_LEN=kv_length, device=cache_position.device
    )


def causal_tail(q_length: int, kv_length: int, device: torch.device) -> BlockMask:
    """Causal order when the queries are the last Q of K positions."""
    return flex_mask(1, torch.arange(kv_length - q_length, kv_length, device=device), kv_length)
