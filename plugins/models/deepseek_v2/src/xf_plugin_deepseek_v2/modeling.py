"""DeepSeek-V2 (arXiv:2405.04434): latent attention and many small experts beside shared ones.

Shapes: B batch, T tokens, N = B * T, E experts, G groups, X experts per token, C model width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_heads import CausalLM, DecoderForSequenceClassification
from xf_blocks.decoder_latent import LatentAttention
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.decoder_moe import run_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, RotaryEmbedding
from xf_generation.mixin import GenerationMixin

from .configuration import DeepseekV2Config


class DeepseekV2MoEGate(nn.Module):
    """Section 2.2: softmax affinities; with groups, only the best groups' experts can be chosen."""

    def __init__(self, config: DeepseekV2Config) -> None:
        super().__init__()
        if config.num_experts_per_tok is None or not 1 <= config.num_experts_per_tok <= config.n_routed_experts:
            raise ValueError(
                f"num_experts_per_tok is {config.num_experts_per_tok}; a layer with {config.n_routed_experts} experts "
                "needs a number between 1 and that."
            )
        self.top_k, self.routed_scaling_factor = config.num_experts_per_tok, config.routed_scaling_factor
        limited = config.topk_method == "group_limited_greedy"
        self.groups, self.top_groups = (config.n_group, config.topk_group) if limited else (1, 1)
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))

    def forward(self, x_NC: Tensor) -> tuple[Tensor, Tensor]:
        """Indices and weights (N, X) of each token's experts."""
        scores_NE = F.linear(x_NC.float(), self.weight.float()).softmax(dim=-1)
        open_NE = scores_NE
        if self.groups > 1:
            best_NG = scores_NE.unflatten(-1, (self.groups, -1)).amax(-1)
            open_NG = torch.zeros_like(best_NG).scatter_(1, best_NG.topk(self.top_groups, sorted=False)[1], 1).bool()
            open_NE = scores_NE.masked_fill(~open_NG.repeat_interleave(scores_NE.shape[-1] // self.groups, dim=-1), 0.0)
        weights_NX, chosen_NX = open_NE.topk(self.top_k, dim=-1, sorted=False)
        return chosen_NX, weights_NX * self.routed_scaling_factor


class DeepseekV2MoE(nn.Module):
    """Each token through its experts, and through the shared ones."""

    def __init__(self, config: DeepseekV2Config) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.moe_intermediate_size
        self.experts = nn.ModuleList(
            [GatedMLP(width, inner, config.hidden_act, config.mlp_bias) for _ in range(config.n_routed_experts)]
        )
        self.gate = DeepseekV2MoEGate(config)
        self.shared_experts = GatedMLP(width, inner * config.n_shared_experts, config.hidden_act, config.mlp_bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x_NC = x_BTC.flatten(0, 1)
        chosen_NX, weights_NX = self.gate(x_NC)
        routed_NC = run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype))
        return routed_NC.view_as(x_BTC) + self.shared_experts(x_BTC)


class DeepseekV2PreTrainedModel(PreTrainedModel):
    """What all DeepSeek-V2 models declare."""

    config_class = DeepseekV2Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, DeepseekV2MoEGate):
            module.weight.normal_(0.0, self.config.initializer_range)
        else:
            super()._init_weights(module)


class DeepseekV2Model(DecoderModel, DeepseekV2PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: DeepseekV2Config, layer_idx: int) -> nn.Module:
        mlp = (
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias)
            if layer_idx < config.first_k_dense_replace
            else DeepseekV2MoE(config)
        )
        return PreNormLayer(LatentAttention(config, layer_idx), mlp, self.build_norm(config), self.build_norm(config))

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Any) -> RotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class DeepseekV2ForCausalLM(CausalLM, DeepseekV2PreTrainedModel, GenerationMixin):
    """DeepSeek-V2 with next-token logits."""

    body_class = DeepseekV2Model


class DeepseekV2ForSequenceClassification(DecoderForSequenceClassification, DeepseekV2PreTrainedModel):
    """DeepSeek-V2 that classifies a sequence by its last token."""

    body_class = DeepseekV2Model
