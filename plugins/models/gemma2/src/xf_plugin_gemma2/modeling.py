"""Gemma 2 (arXiv:2408.00118): norms around every block, every second layer slides, capped scores and logits.

Shapes: B batch, T tokens, V vocabulary, C width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import SandwichLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import UnitOffsetRMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import Gemma2Config


class Gemma2PreTrainedModel(PreTrainedModel):
    """What all Gemma 2 models declare."""

    config_class = Gemma2Config
    base_model_prefix = "model"

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        capped = config.attn_logit_softcapping is not None
        return AttentionNeeds(grouped_heads=True, sliding_window=True, soft_cap=capped)


class Gemma2Model(DecoderModel, Gemma2PreTrainedModel):
    """Token embeddings times sqrt(hidden_size), layers, a last norm."""

    def build_layer(self, config: Gemma2Config, layer_idx: int) -> nn.Module:
        attention = DecoderAttention(
            config,
            layer_idx,
            qkv_bias=config.attention_bias,
            out_bias=config.attention_bias,
            scaling=config.query_pre_attn_scalar**-0.5,
            kernel_options=window_options(config, layer_idx, softcap=config.attn_logit_softcapping),
        )
        mlp = GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_activation)
        return SandwichLayer(attention, mlp, *(self.build_norm(config) for _ in range(4)))

    def build_norm(self, config: Gemma2Config) -> nn.Module:
        return UnitOffsetRMSNorm(config.hidden_size, config.rms_norm_eps)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        return x_BTC * torch.tensor(self.config.hidden_size**0.5, dtype=x_BTC.dtype)  # rounded to the dtype first


class Gemma2ForCausalLM(CausalLM, Gemma2PreTrainedModel, GenerationMixin):
    """Gemma 2 with next-token logits."""

    body_class = Gemma2Model

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        logits_BTV, cap = self.lm_head(hidden_BTC), self.config.final_logit_softcapping
        return logits_BTV if cap is None else torch.tanh(logits_BTV / cap) * cap


class Gemma2ForSequenceClassification(DecoderForSequenceClassification, Gemma2PreTrainedModel):
    """Gemma 2 that classifies a sequence by its last token."""

    body_class = Gemma2Model


class Gemma2ForTokenClassification(DecoderForTokenClassification, Gemma2PreTrainedModel):
    """Gemma 2 that classifies each token."""

    body_class = Gemma2Model
