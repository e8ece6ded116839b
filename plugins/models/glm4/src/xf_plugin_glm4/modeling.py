"""GLM-4 (arXiv:2406.12793): norms around every block, neighbouring channels of half of each head rotated.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

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
from xf_blocks.mlp import FusedGatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_first, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import Glm4Config


class Glm4PreTrainedModel(PreTrainedModel):
    """What all Glm4 models declare."""

    config_class = Glm4Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class Glm4Attention(DecoderAttention):
    """Rotates neighbouring channels of the first part of each head."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_first(q_BHTD, rotation, rotate_interleaved), rotate_first(k_BGTD, rotation, rotate_interleaved)


class Glm4DecoderLayer(GradientCheckpointingLayer):
    """x += norm(attention(norm(x))); x += norm(mlp(norm(x)))."""

    def __init__(self, config: Glm4Config, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = Glm4Attention(config, layer_idx, qkv_bias=config.attention_bias)
        self.mlp = FusedGatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_self_attn_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_mlp_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

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
        attended, weights = self.self_attn(
            self.input_layernorm(x_BTC), rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + self.post_self_attn_layernorm(attended)
        inner = self.mlp(self.post_attention_layernorm(x_BTC))
        return x_BTC + self.post_mlp_layernorm(inner), weights


class Glm4Model(DecoderModel, Glm4PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Glm4Config, layer_idx: int) -> nn.Module:
        return Glm4DecoderLayer(config, layer_idx)

    def build_norm(self, config: Glm4Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Glm4Config) -> InterleavedRotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class Glm4ForCausalLM(CausalLM, Glm4PreTrainedModel, GenerationMixin):
    """GLM-4 with next-token logits."""

    body_class = Glm4Model


class Glm4ForSequenceClassification(DecoderForSequenceClassification, Glm4PreTrainedModel):
    """GLM-4 that classifies a sequence by its last token."""

    body_class = Glm4Model


class Glm4ForTokenClassification(DecoderForTokenClassification, Glm4PreTrainedModel):
    """GLM-4 that classifies each token."""

    body_class = Glm4Model
