"""Qwen2 (arXiv:2407.10671): a pre-norm decoder whose queries, keys and values have biases."""

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

from .configuration import Qwen2Config


class Qwen2PreTrainedModel(PreTrainedModel):
    """What all Qwen2 models declare."""

    config_class = Qwen2Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Qwen2Model(DecoderModel, Qwen2PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Qwen2Config, layer_idx: int) -> nn.Module:
        return PreNormLayer(
            DecoderAttention(config, layer_idx, qkv_bias=True, kernel_options=window_options(config, layer_idx)),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            RMSNorm(config.hidden_size, config.rms_norm_eps),
            RMSNorm(config.hidden_size, config.rms_norm_eps),
        )

    def build_norm(self, config: Qwen2Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class Qwen2ForCausalLM(CausalLM, Qwen2PreTrainedModel, GenerationMixin):
    """Qwen2 with next-token logits."""

    body_class = Qwen2Model


class Qwen2ForSequenceClassification(DecoderForSequenceClassification, Qwen2PreTrainedModel):
    """Qwen2 that classifies a sequence by its last token."""

    body_class = Qwen2Model


class Qwen2ForTokenClassification(DecoderForTokenClassification, Qwen2PreTrainedModel):
    """Qwen2 that classifies each token."""

    body_class = Qwen2Model


class Qwen2ForQuestionAnswering(DecoderForQuestionAnswering, Qwen2PreTrainedModel):
    """Qwen2 that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = Qwen2Model
