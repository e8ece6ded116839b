"""Cohere's Command R (model card, 2024): attention and feed-forward block side by side, neighbouring channels rotated.

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
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import ParallelLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import ScaleLayerNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import CohereConfig


class CoherePreTrainedModel(PreTrainedModel):
    """What all Cohere (Command R) models declare."""

    config_class = CohereConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class CohereHeadNorm(nn.Module):
    """weight * (x - mean) / deviation of each head, each with scales of its own."""

    def __init__(self, heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, head_dim))
        self.variance_epsilon = eps

    def forward(self, x_BTHD: Tensor) -> Tensor:
        """(B, T, H, D) -> (B, T, H, D)."""
        normed = F.layer_norm(x_BTHD.float(), x_BTHD.shape[-1:], eps=self.variance_epsilon)
        return (normed * self.weight.float()).type_as(x_BTHD)

    def reset_parameters(self) -> None:
        """Start at the identity."""
        nn.init.ones_(self.weight)


class CohereAttention(DecoderAttention):
    """Rotates neighbouring channels; use_qk_norm: queries and keys are normed head by head before."""

    def __init__(self, config: CohereConfig, layer_idx: int) -> None:
        bias = config.attention_bias
        super().__init__(config, layer_idx, qkv_bias=bias, out_bias=bias)
        self.use_qk_norm = config.use_qk_norm
        if self.use_qk_norm:
            self.q_norm = CohereHeadNorm(config.num_attention_heads, self.head_dim, config.layer_norm_eps)
            self.k_norm = CohereHeadNorm(config.num_key_value_heads, self.head_dim, config.layer_norm_eps)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_BHTD, k_BGTD, v_BGTD = super().project(x_BTC)
        if self.use_qk_norm:
            q_BHTD = self.q_norm(q_BHTD.transpose(1, 2)).transpose(1, 2)
            k_BGTD = self.k_norm(k_BGTD.transpose(1, 2)).transpose(1, 2)
        return q_BHTD, k_BGTD, v_BGTD

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_interleaved(q_BHTD, rotation), rotate_interleaved(k_BGTD, rotation)


class CohereModel(DecoderModel, CoherePreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: CohereConfig, layer_idx: int) -> nn.Module:
        return ParallelLayer(
            CohereAttention(config, layer_idx),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return ScaleLayerNorm(config.hidden_size, config.layer_norm_eps)

    def build_rotary(self, config: Any) -> InterleavedRotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class CohereForCausalLM(CausalLM, CoherePreTrainedModel, GenerationMixin):
    """Command R with next-token logits."""

    body_class = CohereModel

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        return self.lm_head(hidden_BTC) * self.config.logit_scale
