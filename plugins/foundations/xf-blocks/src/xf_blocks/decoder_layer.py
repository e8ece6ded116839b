"""Layers of causal decoders: how norms, attention and feed-forward block are joined.

Shapes: B batch, T new tokens, K tokens so far, H heads, C model width. All take and return the same, so that a model
may mix them: (x (B, T, C), rotation, mask, cache ...) -> (x (B, T, C), attention weights (B, H, T, K) or None).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model_utils import GradientCheckpointingLayer

from .direct import direct, direct_form, rows_form
from .rotary import Rotation


def _dropped(branch_BTC: Tensor, layer: Any) -> Tensor:
    """What is added to the residual stream, some of it dropped in training."""
    if not (layer.training and layer.residual_dropout):
        return branch_BTC
    return F.dropout(branch_BTC, layer.residual_dropout)


class PreNormLayer(GradientCheckpointingLayer):
    """x += attention(norm(x)); x += mlp(norm(x)) (arXiv:2002.04745). residual_dropout: of what is added."""

    def __init__(
        self,
        self_attn: nn.Module,
        mlp: nn.Module,
        attention_norm: nn.Module,
        mlp_norm: nn.Module,
        residual_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = attention_norm
        self.post_attention_layernorm = mlp_norm
        self.residual_dropout = residual_dropout

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See the module."""
        attended, weights = self.self_attn(
            self.input_layernorm(x_BTC), rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + _dropped(attended, self)
        inner = self.mlp(self.post_attention_layernorm(x_BTC))
        return x_BTC + _dropped(inner, self), weights


class ParallelLayer(GradientCheckpointingLayer):
    """x += attention(norm(x)) + mlp(norm(x)) (arXiv:2204.02311, section 2). residual_dropout: of what is added."""

    def __init__(self, self_attn: nn.Module, mlp: nn.Module, norm: nn.Module, residual_dropout: float = 0.0) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = norm
        self.residual_dropout = residual_dropout

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See the module."""
        normed = self.input_layernorm(x_BTC)
        attended, weights = self.self_attn(
            normed, rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        attended = _dropped(attended, self)
        inner = _dropped(self.mlp(normed), self)
        return attended + inner + x_BTC, weights


class PostNormLayer(GradientCheckpointingLayer):
    """x += norm(attention(x)); x += norm(mlp(x)) (arXiv:2501.00656, section 3.2)."""

    def __init__(self, self_attn: nn.Module, mlp: nn.Module, attention_norm: nn.Module, mlp_norm: nn.Module) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.post_attention_layernorm = attention_norm
        self.post_feedforward_layernorm = mlp_norm

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See the module."""
        attended, weights = self.self_attn(
            x_BTC, rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + self.post_attention_layernorm(attended)
        return x_BTC + self.post_feedforward_layernorm(self.mlp(x_BTC)), weights


class SandwichLayer(GradientCheckpointingLayer):
    """x += norm(attention(norm(x))); x += norm(mlp(norm(x))) (arXiv:2105.13290, section 2.3)."""

    def __init__(
        self,
        self_attn: nn.Module,
        mlp: nn.Module,
        before_attention: nn.Module,
        after_attention: nn.Module,
        before_mlp: nn.Module,
        after_mlp: nn.Module,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = before_attention
        self.post_attention_layernorm = after_attention
        self.pre_feedforward_layernorm = before_mlp
        self.post_feedforward_layernorm = after_mlp

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See the module."""
        attended, weights = self.self_attn(
            self.input_layernorm(x_BTC), rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + self.post_attention_layernorm(attended)
        inner = self.mlp(self.pre_feedforward_layernorm(x_BTC))
        return x_BTC + self.post_feedforward_layernorm(inner), weights


@direct_form(PreNormLayer)
def _pre_norm(layer: PreNormLayer) -> Callable[..., tuple[Tensor, None]]:
    attention, mlp = direct(layer.self_attn), direct(layer.mlp)
    attention_norm, mlp_norm = direct(layer.input_layernorm), direct(layer.post_attention_layernorm)

    def forward(x_BTC: Tensor, *rest: Any) -> tuple[Tensor, None]:
        x_BTC = x_BTC + attention(attention_norm(x_BTC), *rest)[0]
        return x_BTC + mlp(mlp_norm(x_BTC)), None

    return rows_form(forward, attention, mlp, attention_norm, mlp_norm)


@direct_form(PostNormLayer)
def _post_norm(layer: PostNormLayer) -> Callable[..., tuple[Tensor, None]]:
    attention, mlp = direct(layer.self_attn), direct(layer.mlp)
    attention_norm, mlp_norm = direct(layer.post_attention_layernorm), direct(layer.post_feedforward_layernorm)

    def forward(x_BTC: Tensor, *rest: Any) -> tuple[Tensor, None]:
        x_BTC = x_BTC + attention_norm(attention(x_BTC, *rest)[0])
        return x_BTC + mlp_norm(mlp(x_BTC)), None

    return rows_form(forward, attention, mlp, attention_norm, mlp_norm)


@direct_form(SandwichLayer)
def _sandwich(layer: SandwichLayer) -> Callable[..., tuple[Tensor, None]]:
    attention, mlp = direct(layer.self_attn), direct(layer.mlp)
    before, after = direct(layer.input_layernorm), direct(layer.post_attention_layernorm)
    mlp_before, mlp_after = direct(layer.pre_feedforward_layernorm), direct(layer.post_feedforward_layernorm)

    def forward(x_BTC: Tensor, *rest: Any) -> tuple[Tensor, None]:
        x_BTC = x_BTC + after(attention(before(x_BTC), *rest)[0])
        return x_BTC + mlp_after(mlp(mlp_before(x_BTC))), None

    return rows_form(forward, attention, mlp, before, after, mlp_before, mlp_after)


@direct_form(ParallelLayer)
def _parallel(layer: ParallelLayer) -> Callable[..., tuple[Tensor, None]]:
    attention, mlp, norm = direct(layer.self_attn), direct(layer.mlp), direct(layer.input_layernorm)

    def forward(x_BTC: Tensor, *rest: Any) -> tuple[Tensor, None]:
        normed = norm(x_BTC)
        return attention(normed, *rest)[0] + mlp(normed) + x_BTC, None

    return rows_form(forward, attention, mlp, norm)
