"""Mistral (arXiv:2310.06825): a pre-norm decoder with grouped queries and a sliding window."""

from __future__ import annotations

from torch import nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import MistralConfig


class MistralPreTrainedModel(PreTrainedModel):
    """What all Mistral models declare."""

    config_class = MistralConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class MistralModel(DecoderModel, MistralPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: MistralConfig, layer_idx: int) -> nn.Module:
        return PreNormLayer(
            DecoderAttention(config, layer_idx, kernel_options=window_options(config, layer_idx)),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            RMSNorm(config.hidden_size, config.rms_norm_eps),
            RMSNorm(config.hidden_size, config.rms_norm_eps),
        )

    def build_norm(self, config: MistralConfig) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class MistralForCausalLM(CausalLM, MistralPreTrainedModel, GenerationMixin):
    """Mistral with next-token logits."""

    body_class = MistralModel


class MistralForSequenceClassification(DecoderForSequenceClassification, MistralPreTrainedModel):
    """Mistral that classifies a sequence by its last token."""

    body_class = MistralModel


class MistralForTokenClassification(DecoderForTokenClassification, MistralPreTrainedModel):
    """Mistral that classifies each token."""

    body_class = MistralModel


class MistralForQuestionAnswering(DecoderForQuestionAnswering, MistralPreTrainedModel):
    """Mistral that marks the span of an answer."""

    body_class = MistralModel
