"""Phi (arXiv:2306.11644, 2309.05463): attention and feed-forward side by side, part of each head rotated.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import ParallelLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import MLP
from xf_blocks.rotary import Rotation, rotate_first
from xf_generation.mixin import GenerationMixin

from .configuration import PhiConfig


class PhiPreTrainedModel(PreTrainedModel):
    """What all Phi models declare."""

    config_class = PhiConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class PhiAttention(DecoderAttention):
    """Biases everywhere, the last matrix is called dense, the first part of each head is rotated."""

    def __init__(self, config: PhiConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx, qkv_bias=True, out_bias=True)
        self.normed = config.qk_layernorm
        if self.normed:
            self.q_layernorm = nn.LayerNorm(self.head_dim, eps=config.layer_norm_eps)
            self.k_layernorm = nn.LayerNorm(self.head_dim, eps=config.layer_norm_eps)

    def build_projections(self, hidden_size: int, heads: int, groups: int, qkv_bias: bool, out_bias: bool) -> None:
        self.q_proj = nn.Linear(hidden_size, heads * self.head_dim, bias=qkv_bias)
        self.k_proj = nn.Linear(hidden_size, groups * self.head_dim, bias=qkv_bias)
        self.v_proj = nn.Linear(hidden_size, groups * self.head_dim, bias=qkv_bias)
        self.dense = nn.Linear(heads * self.head_dim, hidden_size, bias=out_bias)

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        if self.normed:
            q_BHTD, k_BGTD = self.q_layernorm(q_BHTD), self.k_layernorm(k_BGTD)
        return rotate_first(q_BHTD, rotation), rotate_first(k_BGTD, rotation)

    def output(self, attended_BTC: Tensor) -> Tensor:
        return self.dense(attended_BTC)


class PhiModel(DecoderModel, PhiPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    norm_name = "final_layernorm"

    def build_layer(self, config: PhiConfig, layer_idx: int) -> nn.Module:
        return ParallelLayer(
            PhiAttention(config, layer_idx),
            MLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
            config.resid_pdrop,
        )

    def build_norm(self, config: PhiConfig) -> nn.Module:
        return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        return F.dropout(x_BTC, self.config.embd_pdrop, self.training)


class PhiForCausalLM(CausalLM, PhiPreTrainedModel, GenerationMixin):
    """Phi with next-token logits."""

    body_class = PhiModel

    def build_head(self, config: PhiConfig) -> None:
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=True)


class PhiForSequenceClassification(DecoderForSequenceClassification, PhiPreTrainedModel):
    """Phi that classifies a sequence by its last token."""

    body_class = PhiModel


class PhiForTokenClassification(DecoderForTokenClassification, PhiPreTrainedModel):
    """Phi that classifies each token."""

    body_class = PhiModel
