"""GLM-4 9B (arXiv:2406.12793): pre-norm layers, neighbouring channels of half of each head rotated.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import CausalLM, DecoderForSequenceClassification, DecoderForTokenClassification
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import FusedGatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_first, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import GlmConfig


class GlmPreTrainedModel(PreTrainedModel):
    """What all GLM models declare."""

    config_class = GlmConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class GlmAttention(DecoderAttention):
    """Rotates neighbouring channels of the first part of each head."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_first(q_BHTD, rotation, rotate_interleaved), rotate_first(k_BGTD, rotation, rotate_interleaved)


class GlmModel(DecoderModel, GlmPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: GlmConfig, layer_idx: int) -> nn.Module:
        return PreNormLayer(
            GlmAttention(config, layer_idx, qkv_bias=config.attention_bias),
            FusedGatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Any) -> InterleavedRotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class GlmForCausalLM(CausalLM, GlmPreTrainedModel, GenerationMixin):
    """GLM with next-token logits."""

    body_class = GlmModel


class GlmForSequenceClassification(DecoderForSequenceClassification, GlmPreTrainedModel):
    """GLM that classifies a sequence by its last token."""

    body_class = GlmModel


class GlmForTokenClassification(DecoderForTokenClassification, GlmPreTrainedModel):
    """GLM that classifies each token."""

    body_class = GlmModel
