"""Nemotron-4 (arXiv:2402.16819): squared ReLU without a gate, layer norms around one, half of each head rotated.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_config import settle_key_value_heads
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import UpDownMLP
from xf_blocks.rotary import Rotation, rotate_first
from xf_generation.mixin import GenerationMixin

from .configuration import NemotronConfig


class NemotronPreTrainedModel(PreTrainedModel):
    """What all Nemotron models declare."""

    config_class = NemotronConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class NemotronLayerNorm1P(nn.LayerNorm):
    """A layer norm in float32 whose scale is 1 + weight."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        scale, shift = self.weight.float() + 1, self.bias.float()
        return F.layer_norm(x_BTC.float(), self.normalized_shape, scale, shift, self.eps).type_as(x_BTC)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start at the identity."""
        self.weight.zero_()
        self.bias.zero_()


class NemotronAttention(DecoderAttention):
    """Rotates the first part of each head."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_first(q_BHTD, rotation), rotate_first(k_BGTD, rotation)


class NemotronModel(DecoderModel, NemotronPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: NemotronConfig, layer_idx: int) -> nn.Module:
        settle_key_value_heads(config)
        bias = config.attention_bias
        return PreNormLayer(
            NemotronAttention(config, layer_idx, qkv_bias=bias, out_bias=bias),
            UpDownMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return NemotronLayerNorm1P(config.hidden_size, eps=config.norm_eps)


class NemotronForCausalLM(CausalLM, NemotronPreTrainedModel, GenerationMixin):
    """Nemotron with next-token logits."""

    body_class = NemotronModel


class NemotronForSequenceClassification(DecoderForSequenceClassification, NemotronPreTrainedModel):
    """Nemotron that classifies a sequence by its last token."""

    body_class = NemotronModel


class NemotronForTokenClassification(DecoderForTokenClassification, NemotronPreTrainedModel):
    """Nemotron that classifies each token."""

    body_class = NemotronModel


class NemotronForQuestionAnswering(DecoderForQuestionAnswering, NemotronPreTrainedModel):
    """Nemotron that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = NemotronModel
