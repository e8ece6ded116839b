"""Llama (arXiv:2302.13971, 2307.09288, 2407.21783): pre-norm layers, grouped queries, rotary positions, SwiGLU."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
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

from .configuration import LlamaConfig


class LlamaPreTrainedModel(PreTrainedModel):
    """What all Llama models declare."""

    config_class = LlamaConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)
    ignore_unexpected: ClassVar = ("*.rotary_emb.inv_freq",)  # a constant that early checkpoints hold


class LlamaModel(DecoderModel, LlamaPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: LlamaConfig, layer_idx: int) -> nn.Module:
        bias = config.attention_bias
        return PreNormLayer(
            DecoderAttention(config, layer_idx, qkv_bias=bias, out_bias=bias),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias),
            RMSNorm(config.hidden_size, config.rms_norm_eps),
            RMSNorm(config.hidden_size, config.rms_norm_eps),
        )

    def build_norm(self, config: LlamaConfig) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class LlamaForCausalLM(CausalLM, LlamaPreTrainedModel, GenerationMixin):
    """Llama with next-token logits."""

    body_class = LlamaModel


class LlamaForSequenceClassification(DecoderForSequenceClassification, LlamaPreTrainedModel):
    """Llama that classifies a sequence by its last token."""

    body_class = LlamaModel


class LlamaForTokenClassification(DecoderForTokenClassification, LlamaPreTrainedModel):
    """Llama that classifies each token."""

    body_class = LlamaModel


class LlamaForQuestionAnswering(DecoderForQuestionAnswering, LlamaPreTrainedModel):
    """Llama that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = LlamaModel
