"""Qwen3 MoE (arXiv:2505.09388): a pre-norm decoder with experts.

Shapes: B batch, T tokens, N = B * T, E experts, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import NormedDecoderAttention, window_options
from xf_blocks.decoder_heads import (
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_moe import MoeCausalLM, MoeDecoderModel, MoePreNormLayer, run_experts, top_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import Qwen3MoeConfig


class Qwen3MoePreTrainedModel(PreTrainedModel):
    """What all Qwen3Moe models declare."""

    config_class = Qwen3MoeConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Qwen3MoeSparseMoeBlock(nn.Module):
    """Each token through num_experts_per_tok experts, weighted by the router."""

    def __init__(self, config: Qwen3MoeConfig) -> None:
        super().__init__()
        self.top_k, self.norm_topk_prob = config.num_experts_per_tok, config.norm_topk_prob
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        inner = config.moe_intermediate_size
        self.experts = nn.ModuleList(
            [GatedMLP(config.hidden_size, inner, config.hidden_act) for _ in range(config.num_experts)]
        )

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, C) and the router's logits (N, E)."""
        x_NC = x_BTC.flatten(0, 1)
        logits_NE = self.gate(x_NC)
        chosen_NX, weights_NX = top_experts(logits_NE, self.top_k, self.norm_topk_prob)
        routed_NC = run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype))
        return routed_NC.view_as(x_BTC), logits_NE


class Qwen3MoeModel(MoeDecoderModel, Qwen3MoePreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Qwen3MoeConfig, layer_idx: int) -> nn.Module:
        sparse = layer_idx not in config.mlp_only_layers and (layer_idx + 1) % config.decoder_sparse_step == 0
        mlp = (
            Qwen3MoeSparseMoeBlock(config)
            if sparse and config.num_experts > 0
            else GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        )
        options = window_options(config, layer_idx)
        bias, eps = config.attention_bias, config.rms_norm_eps
        attention = NormedDecoderAttention(
            config, layer_idx, lambda width: RMSNorm(width, eps), qkv_bias=bias, out_bias=bias, kernel_options=options
        )
        return MoePreNormLayer(attention, mlp, self.build_norm(config), self.build_norm(config))

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class Qwen3MoeForCausalLM(MoeCausalLM, Qwen3MoePreTrainedModel, GenerationMixin):
    """Qwen3 MoE with next-token logits."""

    body_class = Qwen3MoeModel


class Qwen3MoeForSequenceClassification(DecoderForSequenceClassification, Qwen3MoePreTrainedModel):
    """Qwen3 MoE that classifies a sequence by its last token."""

    body_class = Qwen3MoeModel


class Qwen3MoeForTokenClassification(DecoderForTokenClassification, Qwen3MoePreTrainedModel):
    """Qwen3 MoE that classifies each token."""

    body_class = Qwen3MoeModel


class Qwen3MoeForQuestionAnswering(DecoderForQuestionAnswering, Qwen3MoePreTrainedModel):
    """Qwen3 MoE that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = Qwen3MoeModel
