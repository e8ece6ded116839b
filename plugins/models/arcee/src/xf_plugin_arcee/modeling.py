"""AFM (model card, 2025): Llama's decoder with squared ReLU and no gate.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

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
from xf_blocks.mlp import UpDownMLP
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import ArceeConfig


class ArceePreTrainedModel(PreTrainedModel):
    """What all Arcee (AFM) models declare."""

    config_class = ArceeConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class ArceeModel(DecoderModel, ArceePreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: ArceeConfig, layer_idx: int) -> nn.Module:
        bias = config.attention_bias
        return PreNormLayer(
            DecoderAttention(config, layer_idx, qkv_bias=bias, out_bias=bias),
            UpDownMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class ArceeForCausalLM(CausalLM, ArceePreTrainedModel, GenerationMixin):
    """AFM with next-token logits."""

    body_class = ArceeModel


class ArceeForSequenceClassification(DecoderForSequenceClassification, ArceePreTrainedModel):
    """Arcee (AFM) that classifies a sequence by its last token."""

    body_class = ArceeModel


class ArceeForTokenClassification(DecoderForTokenClassification, ArceePreTrainedModel):
    """Arcee (AFM) that classifies each token."""

    body_class = ArceeModel


class ArceeForQuestionAnswering(DecoderForQuestionAnswering, ArceePreTrainedModel):
    """Arcee (AFM) that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = ArceeModel
