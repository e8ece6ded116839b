"""Helium (model card, 2025): Llama's decoder with neighbouring channels rotated.

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
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import HeliumConfig


class HeliumPreTrainedModel(PreTrainedModel):
    """What all Helium models declare."""

    config_class = HeliumConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class HeliumAttention(DecoderAttention):
    """Rotates neighbouring channels."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_interleaved(q_BHTD, rotation), rotate_interleaved(k_BGTD, rotation)


class HeliumModel(DecoderModel, HeliumPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: HeliumConfig, layer_idx: int) -> nn.Module:
        return PreNormLayer(
            HeliumAttention(config, layer_idx, qkv_bias=config.attention_bias),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Any) -> InterleavedRotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class HeliumForCausalLM(CausalLM, HeliumPreTrainedModel, GenerationMixin):
    """Helium with next-token logits."""

    body_class = HeliumModel


class HeliumForSequenceClassification(DecoderForSequenceClassification, HeliumPreTrainedModel):
    """Helium that classifies a sequence by its last token."""

    body_class = HeliumModel


class HeliumForTokenClassification(DecoderForTokenClassification, HeliumPreTrainedModel):
    """Helium that classifies each token."""

    body_class = HeliumModel
