"""Gemma (arXiv:2403.08295): a pre-norm decoder with norms that start at the identity and scaled embeddings.

Shapes: B batch, T tokens, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import UnitOffsetRMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import GemmaConfig


class GemmaPreTrainedModel(PreTrainedModel):
    """What all Gemma models declare."""

    config_class = GemmaConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class GemmaModel(DecoderModel, GemmaPreTrainedModel):
    """Token embeddings times sqrt(hidden_size), layers, a last norm."""

    def build_layer(self, config: GemmaConfig, layer_idx: int) -> nn.Module:
        bias = config.attention_bias
        return PreNormLayer(
            DecoderAttention(config, layer_idx, qkv_bias=bias, out_bias=bias),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: GemmaConfig) -> nn.Module:
        return UnitOffsetRMSNorm(config.hidden_size, config.rms_norm_eps)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        return x_BTC * torch.tensor(self.config.hidden_size**0.5, dtype=x_BTC.dtype)  # rounded to the dtype first


class GemmaForCausalLM(CausalLM, GemmaPreTrainedModel, GenerationMixin):
    """Gemma with next-token logits."""

    body_class = GemmaModel


class GemmaForSequenceClassification(DecoderForSequenceClassification, GemmaPreTrainedModel):
    """Gemma that classifies a sequence by its last token."""

    body_class = GemmaModel


class GemmaForTokenClassification(DecoderForTokenClassification, GemmaPreTrainedModel):
    """Gemma that classifies each token."""

    body_class = GemmaModel
