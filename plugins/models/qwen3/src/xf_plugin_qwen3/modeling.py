"""Qwen3 (arXiv:2505.09388): a pre-norm decoder whose queries and keys are normed head by head."""

from __future__ import annotations

from torch import nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import NormedDecoderAttention, window_options
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

from .configuration import Qwen3Config


class Qwen3PreTrainedModel(PreTrainedModel):
    """What all Qwen3 models declare."""

    config_class = Qwen3Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Qwen3Model(DecoderModel, Qwen3PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Qwen3Config, layer_idx: int) -> nn.Module:
        bias, eps = config.attention_bias, config.rms_norm_eps
        attention = NormedDecoderAttention(
            config,
            layer_idx,
            lambda width: RMSNorm(width, eps),
            qkv_bias=bias,
            out_bias=bias,
            kernel_options=window_options(config, layer_idx),
        )
        mlp = GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        return PreNormLayer(attention, mlp, RMSNorm(config.hidden_size, eps), RMSNorm(config.hidden_size, eps))

    def build_norm(self, config: Qwen3Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class Qwen3ForCausalLM(CausalLM, Qwen3PreTrainedModel, GenerationMixin):
    """Qwen3 with next-token logits."""

    body_class = Qwen3Model


class Qwen3ForSequenceClassification(DecoderForSequenceClassification, Qwen3PreTrainedModel):
    """Qwen3 that classifies a sequence by its last token."""

    body_class = Qwen3Model


class Qwen3ForTokenClassification(DecoderForTokenClassification, Qwen3PreTrainedModel):
    """Qwen3 that classifies each token."""

    body_class = Qwen3Model


class Qwen3ForQuestionAnswering(DecoderForQuestionAnswering, Qwen3PreTrainedModel):
    """Qwen3 that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = Qwen3Model
