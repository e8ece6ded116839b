"""StarCoder2 (arXiv:2402.19173): a pre-norm decoder with LayerNorm, biases and a plain feed-forward block.

Shapes: B batch, T tokens, C width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_generation.mixin import GenerationMixin

from .configuration import Starcoder2Config


class Starcoder2PreTrainedModel(PreTrainedModel):
    """What all Starcoder2 models declare."""

    config_class = Starcoder2Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Starcoder2MLP(nn.Module):
    """c_proj(act(c_fc(x)))."""

    def __init__(self, config: Starcoder2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.use_bias)
        self.c_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.use_bias)
        self.act = get_activation(config.hidden_act)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.c_proj(self.act(self.c_fc(x_BTC)))


class Starcoder2Model(DecoderModel, Starcoder2PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Starcoder2Config, layer_idx: int) -> nn.Module:
        bias, options = config.use_bias, window_options(config, layer_idx)
        return PreNormLayer(
            DecoderAttention(config, layer_idx, qkv_bias=bias, out_bias=bias, kernel_options=options),
            Starcoder2MLP(config),
            self.build_norm(config),
            self.build_norm(config),
            config.residual_dropout,
        )

    def build_norm(self, config: Starcoder2Config) -> nn.Module:
        return nn.LayerNorm(config.hidden_size, eps=config.norm_epsilon)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        return F.dropout(x_BTC, self.config.embedding_dropout, self.training)


class Starcoder2ForCausalLM(CausalLM, Starcoder2PreTrainedModel, GenerationMixin):
    """StarCoder2 with next-token logits."""

    body_class = Starcoder2Model


class Starcoder2ForSequenceClassification(DecoderForSequenceClassification, Starcoder2PreTrainedModel):
    """StarCoder2 that classifies a sequence by its last token."""

    body_class = Starcoder2Model


class Starcoder2ForTokenClassification(DecoderForTokenClassification, Starcoder2PreTrainedModel):
    """StarCoder2 that classifies each token."""

    body_class = Starcoder2Model
