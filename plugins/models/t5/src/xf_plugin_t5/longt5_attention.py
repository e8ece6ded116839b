"""The encoder's attention of LongT5 (arXiv:2112.07916, section 2): to near tokens, and to means of blocks.

Queries go in blocks of W = local_radius + 1 tokens against the three blocks of keys around them, so that time and
memory grow with S * W. Transient global tokens are the sums of the text's blocks of global_block_size tokens.

Shapes: B batch, S tokens, N blocks, W block, K = 3 W keys, G global tokens, H heads, D head width, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration import T5BaseConfig
from .layers import T5Attention, T5LayerNorm, relative_buckets


def in_blocks(x_BSx: Tensor, size: int, value: float = 0) -> Tensor:
    """(B, S, ...) -> (B, N, W, ...), the end filled with `value`."""
    fill = -x_BSx.shape[1] % size
    return F.pad(x_BSx, (0, 0) * (x_BSx.ndim - 2) + (0, fill), value=value).unflatten(1, (-1, size))


def around(x_BNWx: Tensor) -> Tensor:
    """(B, N, W, ...) -> (B, N, K, ...): each block with those before and after it, zeros outside."""
    padded = F.pad(x_BNWx, (0, 0) * (x_BNWx.ndim - 2) + (1, 1))
    return torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], dim=2)


def near_mask(is_token_BS: Tensor, size: int) -> Tensor:
    """(B, N, W, K) bool: key and query are tokens and less than W apart."""
    is_token_BNW = in_blocks(is_token_BS.long(), size).bool()
    places_K = torch.arange(3 * size, device=is_token_BS.device)
    near_WK = (places_K - places_K[size : 2 * size, None]).abs() < size
    return near_WK & is_token_BNW[..., None] & around(is_token_BNW.long()).bool()[:, :, None]


@dataclass
class Side:
    """The global tokens: block_BS, the block of each token (-1: of none), and is_real_BG."""

    block_BS: Tensor
    is_real_BG: Tensor

    @classmethod
    def of(cls, is_token_BS: Tensor, size: int) -> Side:
        """Blocks of `size` tokens; those at the end that make no whole block belong to the last one."""
        length = is_token_BS.shape[1]
        whole_B = is_token_BS[:, size - 1 :: size].sum(1)
        block_S = torch.arange(length, device=is_token_BS.device) // size
        block_BS = torch.minimum(block_S[None], whole_B[:, None] - 1).masked_fill(~is_token_BS, -1)
        is_real_BG = torch.arange(length // size, device=is_token_BS.device) < whole_B[:, None]
        return cls(block_BS, is_real_BG)

    def sums(self, x_BSC: Tensor) -> Tensor:
        """(B, S, C) -> (B, G, C): the sum of each block."""
        numbers_G = torch.arange(self.is_real_BG.shape[1], device=x_BSC.device)
        return (self.block_BS[:, None] == numbers_G[:, None]).to(x_BSC.dtype) @ x_BSC


@dataclass
class LocalBias:
    """What the layers of a stack share: bias_BNHWK, relative biases with the smallest number where attention is not
    allowed, global tokens' columns last; side, where there are such.
    """

    bias_BNHWK: Tensor
    side: Side | None = None


class LongT5LocalAttention(T5Attention):
    """Attention to the tokens less than W away."""

    def __init__(self, config: Any, has_biases: bool) -> None:
        super().__init__(config, False, False, 0, has_biases)
        self.size = config.local_radius + 1
        self.lowest = -1e10  # published models mask with it: a query at padding sees all masked keys alike

    def shared(self, is_token_BS: Tensor, dtype: torch.dtype) -> LocalBias:
        """What the first layer computes for all."""
        places_K = torch.arange(3 * self.size, device=is_token_BS.device)
        distance_WK = places_K - places_K[self.size : 2 * self.size, None]
        bucket_WK = relative_buckets(distance_WK, True, self.buckets, self.max_distance)
        bias_HWK = self.relative_attention_bias(bucket_WK).permute(2, 0, 1).to(dtype)
        allowed_BNWK = near_mask(is_token_BS, self.size)
        return LocalBias(bias_HWK.masked_fill(~allowed_BNWK[:, :, None], self.lowest))

    def _blocks(self, x_BSC: Tensor) -> Tensor:
        """(B, S, H * D) -> (B, N, W, H, D)."""
        return in_blocks(x_BSC, self.size).unflatten(-1, (-1, self.head_dim))

    def keys_values(self, x_BSC: Tensor, shared: LocalBias) -> tuple[Tensor, Tensor]:
        """(B, N, keys, H, D) of both."""
        return around(self._blocks(self.k(x_BSC))), around(self._blocks(self.v(x_BSC)))

    def forward(  # type: ignore[override]
        self,
        x_BSC: Tensor,
        shared: LocalBias,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
        **unused: Any,
    ) -> tuple[Tensor, Tensor]:
        """(B, S, C) and the weights (B, N, H, W, keys). The encoder keeps no cache, so that nothing else is read."""
        q_BNWHD = self._blocks(self.q(x_BSC))
        k_BNKHD, v_BNKHD = self.keys_values(x_BSC, shared)
        scores_BNHWK = torch.einsum("bnwhd,bnkhd->bnhwk", q_BNWHD, k_BNKHD) + shared.bias_BNHWK
        weights_BNHWK = scores_BNHWK.float().softmax(-1).to(scores_BNHWK.dtype)
        dropped = F.dropout(weights_BNHWK, self.attention_dropout, self.training)
        if head_mask is not None:
            dropped = weights_BNHWK = dropped * head_mask
        out_BNWHD = torch.einsum("bnhwk,bnkhd->bnwhd", dropped, v_BNKHD)
        return self.o(out_BNWHD.flatten(3).flatten(1, 2)[:, : x_BSC.shape[1]]), weights_BNHWK


class LongT5TransientGlobalAttention(LongT5LocalAttention):
    """Attention to near tokens and to the normalised sum of every block of the text."""

    def __init__(self, config: Any, has_biases: bool) -> None:
        super().__init__(config, has_biases)
        self.block_size = config.global_block_size
        if has_biases:
            self.global_relative_attention_bias = nn.Embedding(self.buckets, config.num_heads)
        self.global_input_layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)

    def shared(self, is_token_BS: Tensor, dtype: torch.dtype) -> LocalBias:
        local, side = super().shared(is_token_BS, dtype), Side.of(is_token_BS, self.block_size)
        numbers_G = torch.arange(side.is_real_BG.shape[1], device=is_token_BS.device)
        bucket_BSG = relative_buckets(numbers_G - side.block_BS[..., None], True, self.buckets, self.max_distance)
        bias_BSGH = self.global_relative_attention_bias(bucket_BSG).to(dtype)
        hidden_BSG = is_token_BS[..., None] != side.is_real_BG[:, None]  # padding sees what is no block
        bias_BSGH = bias_BSGH.masked_fill(hidden_BSG[..., None], self.lowest)
        side_BNHWG = in_blocks(bias_BSGH, self.size).permute(0, 1, 4, 2, 3)
        bias_BNHWK = local.bias_BNHWK.expand(*side_BNHWG.shape[:4], -1)
        return LocalBias(torch.cat([bias_BNHWK, side_BNHWG], -1), side)

    def keys_values(self, x_BSC: Tensor, shared: LocalBias) -> tuple[Tensor, Tensor]:
        assert shared.side is not None, "made by `shared` of the same class"
        sums_BGC = self.global_input_layer_norm(shared.side.sums(x_BSC))
        both = []
        for near, layer in zip(super().keys_values(x_BSC, shared), (self.k, self.v), strict=True):
            far_BGHD = layer(sums_BGC).unflatten(-1, (-1, self.head_dim))
            both.append(torch.cat([near, far_BGHD[:, None].expand(-1, near.shape[1], -1, -1, -1)], dim=2))
        return both[0], both[1]


ENCODER_ATTENTION: dict[str, tuple[str, type[LongT5LocalAttention]]] = {
    "local": ("LocalSelfAttention", LongT5LocalAttention),
    "transient-global": ("TransientGlobalSelfAttention", LongT5TransientGlobalAttention),
}


class LongT5EncoderSelfAttention(nn.Module):
    """x += attention(layer_norm(x)), under the name that checkpoints give the kind of attention."""

    def __init__(self, config: T5BaseConfig, layer_idx: int) -> None:
        super().__init__()
        self.kind, attention_class = ENCODER_ATTENTION[config.encoder_attention_type]
        setattr(self, self.kind, attention_class(config, layer_idx == 0))
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    @property
    def attention(self) -> LongT5LocalAttention:
        """The attention."""
        return getattr(self, self.kind)

    def forward(self, x_BSC: Tensor, mask: LocalBias, **options: Any) -> tuple[Tensor, Tensor | None]:
        """(B, S, C) and the weights."""
        attended, weights = self.attention(self.layer_norm(x_BSC), mask, **options)
        return x_BSC + self.dropout(attended), weights
