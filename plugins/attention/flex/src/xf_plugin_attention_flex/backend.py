"""FlexAttention (arXiv:2412.05496): masks and score changes compiled into one kernel that skips masked blocks.

On a GPU the kernel is compiled at first use; inside torch.compile it becomes part of the caller's program. On a CPU
without torch.compile there is nothing to fuse: the same BlockMask is then written out and attended to step by step.

Shapes: B batch, H query heads, G key-value heads, Q queries, K keys, D head width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, create_mask, flex_attention

from xf import logging
from xf.interfaces.attention import AttentionBackend, AttentionCapabilities, eager_attention

from .mask import causal_tail, flex_mask

logger = logging.get_logger(__name__)


def flex_kernel(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask | Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend; returns (B, Q, H, D) and never weights.

    attention_mask: a BlockMask, or a ready tensor (B or 1, H or 1, Q, K), bool or additive.
    Raises: ValueError for dropout and head masks, which FlexAttention has not.
    """
    if dropout > 0:
        raise ValueError(
            f"flex_attention has no dropout (attention_dropout is {dropout}): set it to 0, or train with "
            "attn_implementation='sdpa'."
        )
    if kwargs.get("head_mask") is not None:
        raise ValueError("flex_attention cannot mask single heads: use attn_implementation='eager'.")
    queries, keys = query.shape[2], key.shape[2]
    if attention_mask is None and queries > 1 and getattr(module, "is_causal", False):
        attention_mask = causal_tail(queries, keys, query.device)
    elif isinstance(attention_mask, Tensor):
        attention_mask = attention_mask[..., :keys]
    if query.device.type == "cpu" and not torch.compiler.is_compiling():
        logger.warning_once("flex_attention on a CPU is computed unfused; torch.compile(model) or 'sdpa' is faster.")
        dense = _written_out(attention_mask) if isinstance(attention_mask, BlockMask) else attention_mask
        output, _ = eager_attention(module, query, key, value, dense, scaling, softcap=softcap, s_aux=s_aux)
        return output, None
    return _fused(query, key, value, attention_mask, scaling, softcap, s_aux), None


def _written_out(block_mask: BlockMask) -> Tensor:
    """The predicate of a BlockMask on all indices, bool (B, 1, Q, K)."""
    batch, heads, queries, keys = block_mask.shape
    return create_mask(block_mask.mask_mod, batch, heads, queries, keys, device=block_mask.kv_num_blocks.device)


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: BlockMask | Tensor | None,
    scaling: float | None,
    softcap: float | None,
    s_aux: Tensor | None,
) -> Tensor:
    """torch's flex_attention, (B, Q, H, D)."""
    flex = flex_attention if torch.compiler.is_compiling() else _compiled()
    output, aux = flex(
        query,
        key,
        value,
        score_mod=_score_mod(softcap, mask if isinstance(mask, Tensor) else None),
        block_mask=mask if isinstance(mask, BlockMask) else None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
        return_aux=AuxRequest(lse=s_aux is not None),
    )
    if s_aux is not None:  # a sink takes exp(s_aux) of the probability: rescale by what is left for the keys
        output = output * torch.sigmoid(aux.lse - s_aux.view(1, -1, 1))[..., None].to(output.dtype)
    return output.transpose(1, 2).contiguous()


@functools.cache
def _compiled() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=False)


def _score_mod(softcap: float | None, bias: Tensor | None) -> Callable[..., Tensor] | None:
    """What is done to each score: the soft cap, then a ready mask."""
    if bias is None:
        return None if softcap is None else _capped(softcap)
    low = torch.finfo(torch.float32).min
    per_batch, per_head = int(bias.shape[0] > 1), int(bias.shape[1] > 1)
    cap = _capped(softcap) if softcap is not None else None
    is_bool = bias.dtype == torch.bool

    def score_mod(score: Tensor, batch: Tensor, head: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        if cap is not None:
            score = cap(score, batch, head, q_idx, kv_idx)
        entry = bias[batch * per_batch, head * per_head, q_idx, kv_idx]
        return torch.where(entry, score, low) if is_bool else score + entry

    return score_mod


def _capped(softcap: float) -> Callable[..., Tensor]:
    """softcap * tanh(score / softcap)."""

    def score_mod(score: Tensor, batch: Tensor, head: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return score_mod


FLEX = AttentionBackend(
    "flex_attention",
    flex_kernel,
    flex_mask,
    AttentionCapabilities(
        soft_cap=True,
        sinks=True,
        dropout=False,
        dtypes=("float32", "float16", "bfloat16"),
    ),
)
