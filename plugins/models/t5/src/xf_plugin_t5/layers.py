"""Layers of T5 (arXiv:1910.10683, section 2.1): norms without mean or bias, relative positions as biases on the scores.

Shapes: B batch, T queries, K keys, H heads, D head width, C width, F inner width.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import Cache, EncoderDecoderCache
from xf.interfaces.model import GradientCheckpointingLayer
from xf_blocks.activations import get_activation

from .configuration import T5BaseConfig


def relative_buckets(distance_TK: Tensor, bidirectional: bool, buckets: int, max_distance: int) -> Tensor:
    """The bucket of every key position minus query position: exact when near, logarithmic up to max_distance.

    Bidirectional, the upper half of the buckets is for keys after the query; otherwise those share bucket 0.
    """
    first_TK = torch.zeros_like(distance_TK)
    if bidirectional:
        buckets //= 2
        first_TK = (distance_TK > 0).long() * buckets
        distance_TK = distance_TK.abs()
    else:
        distance_TK = -distance_TK.clamp(max=0)
    exact = buckets // 2
    steps = torch.log(distance_TK.float() / exact) / math.log(max_distance / exact) * (buckets - exact)
    far_TK = (exact + steps.long()).clamp(max=buckets - 1)
    return first_TK + torch.where(distance_TK < exact, distance_TK, far_TK)


class T5LayerNorm(nn.Module):
    """weight * x / rms(x), statistics in float32; the result has the weight's dtype, whatever that of x is."""

    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        normed_BTC = F.rms_norm(x_BTC.float(), self.weight.shape, None, self.variance_epsilon)
        return self.weight * normed_BTC.to(self.weight.dtype)


class T5Attention(AttentionModule):
    """Multi-head attention without scaling; the first of a stack holds the relative biases of all (each, in UMT5)."""

    def __init__(
        self, config: T5BaseConfig, is_decoder: bool, is_cross: bool, layer_idx: int, has_relative_attention_bias: bool
    ) -> None:
        super().__init__(config)
        self.is_cross, self.layer_idx, self.scaling = is_cross, layer_idx, 1.0
        self.is_causal = False  # the mask says it: a kernel's own flag would lose the biases
        self.bidirectional = not is_decoder
        self.head_dim, self.attention_dropout = config.d_kv, config.dropout_rate
        self.buckets, self.max_distance = config.relative_attention_num_buckets, config.relative_attention_max_distance
        inner = config.num_heads * config.d_kv
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        if has_relative_attention_bias:
            self.relative_attention_bias = nn.Embedding(self.buckets, config.num_heads)

    def position_bias(self, q_positions_T: Tensor, keys: int) -> Tensor:
        """(1, H, T, K) for keys at positions 0 ... K - 1."""
        distance_TK = torch.arange(keys, device=q_positions_T.device)[None] - q_positions_T[:, None]
        bucket_TK = relative_buckets(distance_TK, self.bidirectional, self.buckets, self.max_distance)
        bias_HTK: Tensor = self.relative_attention_bias(bucket_TK).permute(2, 0, 1)
        return bias_HTK[None]

    def _heads(self, x_BTC: Tensor) -> Tensor:
        return x_BTC.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _keys_values(
        self, x_BTC: Tensor, encoder_BKC: Tensor | None, cache: Cache | None, cache_position: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if not self.is_cross:
            k_BHKD, v_BHKD = self._heads(self.k(x_BTC)), self._heads(self.v(x_BTC))
            where = None if cache_position is None else {"cache_position": cache_position}
            return (k_BHKD, v_BHKD) if cache is None else cache.update(k_BHKD, v_BHKD, self.layer_idx, where)
        if isinstance(cache, EncoderDecoderCache) and cache.is_updated.get(self.layer_idx):
            layer = cache.cross_attention_cache.layers[self.layer_idx]
            assert layer.keys is not None and layer.values is not None, "is_updated says that they are there"
            return layer.keys, layer.values
        assert encoder_BKC is not None, "cross attention is run with an encoder's states"
        k_BHKD, v_BHKD = self._heads(self.k(encoder_BKC)), self._heads(self.v(encoder_BKC))
        if isinstance(cache, EncoderDecoderCache):
            cache.is_updated[self.layer_idx] = True
            return cache.cross_attention_cache.update(k_BHKD, v_BHKD, self.layer_idx)
        return k_BHKD, v_BHKD

    def forward(
        self,
        x_BTC: Tensor,
        mask: Any = None,
        encoder_BKC: Tensor | None = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """mask: additive, (B or 1, 1 or H, T, K), biases included. Returns (B, T, C) and weights where a kernel has
        them.
        """
        k_BHKD, v_BHKD = self._keys_values(x_BTC, encoder_BKC, past_key_values, cache_position)
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(self._heads(self.q(x_BTC)), k_BHKD, v_BHKD, mask, output_attentions, **options)
        return self.o(out_BTHD.flatten(2)), weights


class T5DenseActDense(nn.Module):
    """wo(act(wi(x)))."""

    def __init__(self, config: T5BaseConfig) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = get_activation(config.dense_act_fn)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return _in_dtype_of(self.wo, self.dropout(self.act(self.wi(x_BTC))))


class T5DenseGatedActDense(nn.Module):
    """wo(act(wi_0(x)) * wi_1(x)) (arXiv:2002.05202)."""

    def __init__(self, config: T5BaseConfig) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = get_activation(config.dense_act_fn)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return _in_dtype_of(self.wo, self.dropout(self.act(self.wi_0(x_BTC)) * self.wi_1(x_BTC)))


def _in_dtype_of(wo: nn.Linear, inner_BTF: Tensor) -> Tensor:
    """wo of its input in its own dtype: it stays float32 in half precision (T5PreTrainedModel.keep_in_fp32)."""
    weight = getattr(wo, "weight", None)
    if isinstance(weight, Tensor) and weight.is_floating_point() and inner_BTF.dtype != weight.dtype:
        inner_BTF = inner_BTF.to(weight.dtype)
    return wo(inner_BTF)


class T5LayerSelfAttention(nn.Module):
    """x += SelfAttention(layer_norm(x))."""

    def __init__(self, config: T5BaseConfig, is_decoder: bool, layer_idx: int, has_biases: bool) -> None:
        super().__init__()
        self.SelfAttention = T5Attention(config, is_decoder, False, layer_idx, has_biases)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x_BTC: Tensor, mask: Any, **options: Any) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and the weights."""
        attended, weights = self.SelfAttention(self.layer_norm(x_BTC), mask, **options)
        return x_BTC + self.dropout(attended), weights


class T5LayerCrossAttention(nn.Module):
    """x += EncDecAttention(layer_norm(x), encoder)."""

    def __init__(self, config: T5BaseConfig, layer_idx: int) -> None:
        super().__init__()
        self.EncDecAttention = T5Attention(config, True, True, layer_idx, False)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x_BTC: Tensor, mask: Any, encoder_BKC: Tensor, **options: Any) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and the weights."""
        attended, weights = self.EncDecAttention(self.layer_norm(x_BTC), mask, encoder_BKC, **options)
        return x_BTC + self.dropout(attended), weights


class T5LayerFF(nn.Module):
    """x += DenseReluDense(layer_norm(x))."""

    def __init__(self, config: T5BaseConfig) -> None:
        super().__init__()
        self.DenseReluDense = T5DenseGatedActDense(config) if config.is_gated_act else T5DenseActDense(config)
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return x_BTC + self.dropout(self.DenseReluDense(self.layer_norm(x_BTC)))


class T5Block(GradientCheckpointingLayer):
    """Self-attention, in the decoder attention to the encoder, feed-forward; under `layer` as checkpoints name them."""

    biases_in_every_layer: ClassVar[bool] = (
        False  # relative positions: those of the first layer serve all, or each its own
    )

    def __init__(self, config: T5BaseConfig, is_decoder: bool, layer_idx: int) -> None:
        super().__init__()
        self.is_decoder = is_decoder
        parts: list[nn.Module] = [self.build_self_attention(config, is_decoder, layer_idx)]
        if is_decoder:
            parts.append(T5LayerCrossAttention(config, layer_idx))
        self.layer = nn.ModuleList([*parts, T5LayerFF(config)])

    def build_self_attention(self, config: T5BaseConfig, is_decoder: bool, layer_idx: int) -> nn.Module:
        """The first part."""
        return T5LayerSelfAttention(config, is_decoder, layer_idx, self.biases_in_every_layer or layer_idx == 0)

    def forward(
        self,
        x_BTC: Tensor,
        mask: Any = None,
        encoder_BKC: Tensor | None = None,
        encoder_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        cross_head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The states and the weights of self- and cross-attention."""
        common = {"past_key_values": past_key_values, "output_attentions": output_attentions}
        x_BTC, weights = self.layer[0](x_BTC, mask, cache_position=cache_position, head_mask=head_mask, **common)
        x_BTC, cross_weights = _finite(x_BTC), None
        if self.is_decoder and encoder_BKC is not None:
            x_BTC, cross_weights = self.layer[1](x_BTC, encoder_mask, encoder_BKC, head_mask=cross_head_mask, **common)
            x_BTC = _finite(x_BTC)
        return _finite(self.layer[-1](x_BTC)), weights, cross_weights


def _finite(x_BTC: Tensor) -> Tensor:
    """float16 kept away from infinity, which these residual streams reach."""
    if x_BTC.dtype != torch.float16:
        return x_BTC
    bound = torch.finfo(torch.float16).max - 1000  # room for what the next residual branch adds
    return x_BTC.clamp(-bound, bound) if bool(x_BTC.isinf().any()) else x_BTC
