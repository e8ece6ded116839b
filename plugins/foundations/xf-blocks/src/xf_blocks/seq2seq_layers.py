"""Attention and layers of encoder-decoders in the layout of BART (arXiv:1910.13461), which many families share.

Shapes: B batch, T queries, K keys, S tokens of the encoder, H heads, D head width, C width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import Cache, EncoderDecoderCache
from xf.interfaces.model import GradientCheckpointingLayer

from .activations import get_activation

Branch = Callable[[Tensor], tuple[Tensor, "Tensor | None"]]


class Seq2SeqAttention(AttentionModule):
    """q_proj, k_proj, v_proj and out_proj, over its own states or an encoder's."""

    def __init__(self, config: Any, heads: int, layer_idx: int = 0, is_causal: bool = False, bias: bool = True) -> None:
        super().__init__(config)
        width = config.d_model
        if width % heads:
            raise ValueError(f"d_model ({width}) must be a multiple of the number of attention heads ({heads}).")
        self.layer_idx, self.is_causal = layer_idx, is_causal
        self.head_dim = width // heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.k_proj = nn.Linear(width, width, bias=bias)
        self.v_proj = nn.Linear(width, width, bias=bias)
        self.q_proj = nn.Linear(width, width, bias=bias)
        self.out_proj = nn.Linear(width, width, bias=bias)

    def heads(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D)."""
        return x_BTC.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _project(self, source_BKC: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads(self.k_proj(source_BKC)), self.heads(self.v_proj(source_BKC))

    def _keys_values(
        self, x_BTC: Tensor, encoder_BSC: Tensor | None, cache: Cache | None, cache_position: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if encoder_BSC is None:
            k_BHKD, v_BHKD = self._project(x_BTC)
            where = {"cache_position": cache_position}
            return (k_BHKD, v_BHKD) if cache is None else cache.update(k_BHKD, v_BHKD, self.layer_idx, where)
        if not isinstance(cache, EncoderDecoderCache):
            return self._project(encoder_BSC)
        if not cache.is_updated.get(self.layer_idx):
            cache.is_updated[self.layer_idx] = True
            return cache.cross_attention_cache.update(*self._project(encoder_BSC), self.layer_idx)
        layer = cache.cross_attention_cache.layers[self.layer_idx]
        assert layer.keys is not None and layer.values is not None, "is_updated says that they are there"
        return layer.keys, layer.values

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        encoder_BSC: Tensor | None = None,
        past_key_values: Cache | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
        cache_position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where asked or the kernel gives them, the weights (B, H, T, K). head_mask: (1, H, 1, 1)."""
        q_BHTD = self.heads(self.q_proj(x_BTC))
        k_BHKD, v_BHKD = self._keys_values(x_BTC, encoder_BSC, past_key_values, cache_position)
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(q_BHTD, k_BHKD, v_BHKD, attention_mask, output_attentions, **options)
        return self.out_proj(out_BTHD.flatten(2)), weights


class Seq2SeqLayer(GradientCheckpointingLayer):
    """The feed-forward half, and norms after each sum; encoder and decoder layers add attention."""

    def __init__(self, config: Any, ffn_dim: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)
        self.activation_fn = get_activation(config.activation_function)
        self.fc1 = nn.Linear(config.d_model, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model)

    def residual(self, x_BTC: Tensor, norm: nn.Module, branch: Branch) -> tuple[Tensor, Tensor | None]:
        """norm(x + branch(x)), and the branch's weights."""
        y_BTC, weights = branch(x_BTC)
        return norm(x_BTC + self.dropout(y_BTC)), weights

    def feed_forward(self, x_BTC: Tensor) -> tuple[Tensor, None]:
        """fc2(act(fc1(x))), and no weights."""
        return self.fc2(self.activation_dropout(self.activation_fn(self.fc1(x_BTC)))), None


class Seq2SeqEncoderLayer(Seq2SeqLayer):
    """Self-attention and feed-forward."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, config.encoder_ffn_dim)
        self.self_attn = self.build_attention(config, layer_idx)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)

    def build_attention(self, config: Any, layer_idx: int) -> nn.Module:
        """The self-attention."""
        return Seq2SeqAttention(config, config.encoder_attention_heads, layer_idx)

    def forward(
        self, x_BTC: Tensor, mask: Any = None, head_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The states and the attention weights."""
        x_BTC, weights = self.residual(
            x_BTC,
            self.self_attn_layer_norm,
            lambda y_BTC: self.self_attn(y_BTC, mask, head_mask=head_mask, output_attentions=output_attentions),
        )
        x_BTC, _ = self.residual(x_BTC, self.final_layer_norm, self.feed_forward)
        if x_BTC.dtype == torch.float16:  # its range is short: keep sums finite
            limit = torch.finfo(torch.float16).max - 1000
            x_BTC = x_BTC.clamp(-limit, limit)
        return x_BTC, weights


class Seq2SeqDecoderLayer(Seq2SeqLayer):
    """Causal self-attention, attention to the encoder, feed-forward."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, config.decoder_ffn_dim)
        heads = config.decoder_attention_heads
        self.self_attn = Seq2SeqAttention(config, heads, layer_idx, is_causal=True)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.encoder_attn = Seq2SeqAttention(config, heads, layer_idx)
        self.encoder_attn_layer_norm = nn.LayerNorm(config.d_model)

    def forward(
        self,
        x_BTC: Tensor,
        mask: Any = None,
        encoder_BSC: Tensor | None = None,
        encoder_mask: Any = None,
        head_mask: Tensor | None = None,
        cross_head_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        cache_position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The states and the weights of self- and cross-attention; without encoder_BSC there is none of the latter."""
        common = {"past_key_values": past_key_values, "output_attentions": output_attentions}
        x_BTC, weights = self.residual(
            x_BTC,
            self.self_attn_layer_norm,
            lambda y: self.self_attn(y, mask, head_mask=head_mask, cache_position=cache_position, **common),
        )
        cross_weights = None
        if encoder_BSC is not None:
            x_BTC, cross_weights = self.residual(
                x_BTC,
                self.encoder_attn_layer_norm,
                lambda y: self.encoder_attn(y, encoder_mask, encoder_BSC, head_mask=cross_head_mask, **common),
            )
        x_BTC, _ = self.residual(x_BTC, self.final_layer_norm, self.feed_forward)
        return x_BTC, weights, cross_weights


class _PreNorm(Seq2SeqLayer):
    def residual(self, x_BTC: Tensor, norm: nn.Module, branch: Branch) -> tuple[Tensor, Tensor | None]:
        """x + branch(norm(x)), and the branch's weights."""
        y_BTC, weights = branch(norm(x_BTC))
        return x_BTC + self.dropout(y_BTC), weights


class PreNormEncoderLayer(_PreNorm, Seq2SeqEncoderLayer):
    """An encoder layer that normalises what each branch reads."""


class PreNormDecoderLayer(_PreNorm, Seq2SeqDecoderLayer):
    """A decoder layer that normalises what each branch reads."""
