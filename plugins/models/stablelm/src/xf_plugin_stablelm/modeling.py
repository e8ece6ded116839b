"""StableLM (arXiv:2402.17834): a decoder with LayerNorm, gated feed-forward and a quarter of each head rotated.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf.interfaces.model_utils import GradientCheckpointingLayer
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.rotary import Rotation, rotate_first
from xf_generation.mixin import GenerationMixin

from .configuration import StableLmConfig


class StableLmPreTrainedModel(PreTrainedModel):
    """What all StableLm models declare."""

    config_class = StableLmConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class StableLmLayerNormPerHead(nn.Module):
    """A LayerNorm without bias for each head."""

    def __init__(self, head_dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(head_dim, eps=eps, bias=False) for _ in range(heads)])

    def forward(self, x_BHTD: Tensor) -> Tensor:
        """(B, H, T, D) -> (B, H, T, D)."""
        split = zip(self.norms, x_BHTD.unbind(1), strict=True)
        return torch.stack([norm(x_BTD) for norm, x_BTD in split], dim=1)


class StableLmAttention(DecoderAttention):
    """Norms queries and keys where the config asks for it, and rotates the first part of each head."""

    def __init__(self, config: StableLmConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx, qkv_bias=config.use_qkv_bias)
        self.qk_layernorm = config.qk_layernorm
        if self.qk_layernorm:
            heads, groups, eps = config.num_attention_heads, config.num_key_value_heads, config.layer_norm_eps
            self.q_layernorm = StableLmLayerNormPerHead(self.head_dim, heads, eps)
            self.k_layernorm = StableLmLayerNormPerHead(self.head_dim, groups, eps)

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        if self.qk_layernorm:
            q_BHTD, k_BGTD = self.q_layernorm(q_BHTD), self.k_layernorm(k_BGTD)
        return rotate_first(q_BHTD, rotation), rotate_first(k_BGTD, rotation)


class StableLmDecoderLayer(GradientCheckpointingLayer):
    """Attention, then feed-forward; or both side by side on one norm. Only the feed-forward's part has dropout."""

    def __init__(self, config: StableLmConfig, layer_idx: int) -> None:
        super().__init__()
        self.use_parallel_residual, self.hidden_dropout = config.use_parallel_residual, config.hidden_dropout
        self.self_attn = StableLmAttention(config, layer_idx)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if not self.use_parallel_residual:
            self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Any = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See `xf_blocks.decoder_layer`."""
        normed = self.input_layernorm(x_BTC)
        attended, weights = self.self_attn(
            normed, rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + attended
        inner = self.mlp(normed if self.use_parallel_residual else self.post_attention_layernorm(x_BTC))
        return x_BTC + F.dropout(inner, self.hidden_dropout, self.training), weights


class StableLmModel(DecoderModel, StableLmPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: StableLmConfig, layer_idx: int) -> nn.Module:
        return StableLmDecoderLayer(config, layer_idx)

    def build_norm(self, config: StableLmConfig) -> nn.Module:
        return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class StableLmForCausalLM(CausalLM, StableLmPreTrainedModel, GenerationMixin):
    """StableLM with next-token logits."""

    body_class = StableLmModel


class StableLmForSequenceClassification(DecoderForSequenceClassification, StableLmPreTrainedModel):
    """StableLM that classifies a sequence by its last token."""

    body_class = StableLmModel


class StableLmForTokenClassification(DecoderForTokenClassification, StableLmPreTrainedModel):
    """StableLM that classifies each token."""

    body_class = StableLmModel
