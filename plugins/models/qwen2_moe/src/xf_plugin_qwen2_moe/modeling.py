"""Qwen2 MoE (arXiv:2407.10671): a pre-norm decoder with experts, one of them shared by all tokens.

Shapes: B batch, T tokens, N = B * T, E experts, C width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_moe import MoeCausalLM, MoeDecoderModel, MoePreNormLayer, run_experts, top_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import Qwen2MoeConfig


class Qwen2MoePreTrainedModel(PreTrainedModel):
    """What all Qwen2Moe models declare."""

    config_class = Qwen2MoeConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Qwen2MoeSparseMoeBlock(nn.Module):
    """Each token through num_experts_per_tok experts, weighted by the router, and through the shared one, gated."""

    def __init__(self, config: Qwen2MoeConfig) -> None:
        super().__init__()
        self.top_k, self.norm_topk_prob = config.num_experts_per_tok, config.norm_topk_prob
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        inner = config.moe_intermediate_size
        self.experts = nn.ModuleList(
            [GatedMLP(config.hidden_size, inner, config.hidden_act) for _ in range(config.num_experts)]
        )
        self.shared_expert = GatedMLP(config.hidden_size, config.shared_expert_intermediate_size, config.hidden_act)
        self.shared_expert_gate = nn.Linear(config.hidden_size, 1, bias=False)

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, C) and the router's logits (N, E)."""
        x_NC = x_BTC.flatten(0, 1)
        logits_NE = self.gate(x_NC)
        chosen_NX, weights_NX = top_experts(logits_NE, self.top_k, self.norm_topk_prob)
        routed_NC = run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype))
        shared_NC = torch.sigmoid(self.shared_expert_gate(x_NC)) * self.shared_expert(x_NC)
        return (routed_NC + shared_NC).view_as(x_BTC), logits_NE


class Qwen2MoeModel(MoeDecoderModel, Qwen2MoePreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Qwen2MoeConfig, layer_idx: int) -> nn.Module:
        sparse = layer_idx not in config.mlp_only_layers and (layer_idx + 1) % config.decoder_sparse_step == 0
        mlp = (
            Qwen2MoeSparseMoeBlock(config)
            if sparse and config.num_experts > 0
            else GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        )
        options = window_options(config, layer_idx)
        attention = DecoderAttention(config, layer_idx, qkv_bias=config.qkv_bias, kernel_options=options)
        return MoePreNormLayer(attention, mlp, self.build_norm(config), self.build_norm(config))

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class Qwen2MoeForCausalLM(MoeCausalLM, Qwen2MoePreTrainedModel, GenerationMixin):
    """Qwen2 MoE with next-token logits."""

    body_class = Qwen2MoeModel


class Qwen2MoeForSequenceClassification(DecoderForSequenceClassification, Qwen2MoePreTrainedModel):
    """Qwen2 MoE that classifies a sequence by its last token."""

    body_class = Qwen2MoeModel


class Qwen2MoeForTokenClassification(DecoderForTokenClassification, Qwen2MoePreTrainedModel):
    """Qwen2 MoE that classifies each token."""

    body_class = Qwen2MoeModel


class Qwen2MoeForQuestionAnswering(DecoderForQuestionAnswering, Qwen2MoePreTrainedModel):
    """Qwen2 MoE that marks the span of an answer."""

    body_class = Qwen2MoeModel
