"""OLMoE (arXiv:2409.02060): experts in every layer, and norms of whole queries and keys.

Shapes: B batch, T tokens, N = B * T, E experts, X experts per token, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_moe import MoeCausalLM, MoeDecoderModel, MoePreNormLayer, run_experts, top_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import OlmoeConfig


class OlmoePreTrainedModel(PreTrainedModel):
    """What all OLMoE models declare."""

    config_class = OlmoeConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class OlmoeAttention(DecoderAttention):
    """Queries and keys are normed over all heads at once; a bound holds them and the values, where one is named."""

    def __init__(self, config: OlmoeConfig, layer_idx: int) -> None:
        bias = config.attention_bias
        super().__init__(config, layer_idx, qkv_bias=bias, out_bias=bias)
        self.q_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.k_norm = RMSNorm(config.num_key_value_heads * self.head_dim, config.rms_norm_eps)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.q_norm(self.q_proj(x_BTC)), self.k_norm(self.k_proj(x_BTC)), self.v_proj(x_BTC)
        bound = self.config.clip_qkv
        if bound is not None:
            parts = parts[0].clamp(-bound, bound), parts[1].clamp(-bound, bound), parts[2].clamp(-bound, bound)
        q_BTHD, k_BTGD, v_BTGD = (part.unflatten(-1, (-1, self.head_dim)) for part in parts)
        return q_BTHD.transpose(1, 2), k_BTGD.transpose(1, 2), v_BTGD.transpose(1, 2)


class OlmoeSparseMoeBlock(nn.Module):
    """Each token through num_experts_per_tok experts, weighted by the router."""

    def __init__(self, config: OlmoeConfig) -> None:
        super().__init__()
        self.top_k, self.norm_topk_prob = config.num_experts_per_tok, config.norm_topk_prob
        width, inner, act = config.hidden_size, config.intermediate_size, config.hidden_act
        self.gate = nn.Linear(width, config.num_experts, bias=False)
        self.experts = nn.ModuleList([GatedMLP(width, inner, act) for _ in range(config.num_experts)])

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, C) and the router's logits (N, E)."""
        x_NC = x_BTC.flatten(0, 1)
        logits_NE = self.gate(x_NC)
        chosen_NX, weights_NX = top_experts(logits_NE, self.top_k, self.norm_topk_prob)
        return run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype)).view_as(x_BTC), logits_NE


class OlmoeModel(MoeDecoderModel, OlmoePreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: OlmoeConfig, layer_idx: int) -> nn.Module:
        return MoePreNormLayer(
            OlmoeAttention(config, layer_idx),
            OlmoeSparseMoeBlock(config),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class OlmoeForCausalLM(MoeCausalLM, OlmoePreTrainedModel, GenerationMixin):
    """OLMoE with next-token logits."""

    body_class = OlmoeModel
