"""DeepSeek-V3 (arXiv:2412.19437): latent attention, and experts chosen in groups by scores whose bias balances them.

Shapes: B batch, T tokens, N = B * T, E experts, G groups, X experts per token, C model width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_latent import LatentAttention, yarn_scaling
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.decoder_moe import run_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, RotaryEmbedding, Rotation, rotate
from xf_generation.mixin import GenerationMixin

from .configuration import DeepseekV3Config


class HalvesLatentAttention(LatentAttention):
    """Channel i is rotated together with channel i + R / 2."""

    def turn(self, x_BHTR: Tensor, rotation: Rotation) -> Tensor:
        return rotate(x_BHTR, rotation)


class DeepseekV3TopkRouter(nn.Module):
    """Section 2.1.2: sigmoid affinities; a bias, which training moves to balance the load, only helps to choose."""

    e_score_correction_bias: Tensor

    def __init__(self, config: DeepseekV3Config) -> None:
        super().__init__()
        self.top_k, self.norm_topk_prob = config.num_experts_per_tok, config.norm_topk_prob
        self.groups, self.top_groups = config.n_group, config.topk_group
        self.routed_scaling_factor = config.routed_scaling_factor
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts))

    def forward(self, x_NC: Tensor) -> tuple[Tensor, Tensor]:
        """Indices and weights (N, X) of each token's experts."""
        scores_NE = F.linear(x_NC.float(), self.weight.float()).sigmoid()
        chosen_NX = self.choose(scores_NE.detach() + self.e_score_correction_bias)
        weights_NX = scores_NE.gather(1, chosen_NX)
        if self.norm_topk_prob:
            weights_NX = weights_NX / (weights_NX.sum(dim=-1, keepdim=True) + 1e-20)
        return chosen_NX, weights_NX * self.routed_scaling_factor

    def choose(self, scores_NE: Tensor) -> Tensor:
        """The best experts of the best groups; a group is as good as its two best experts together."""
        best_NG = scores_NE.unflatten(-1, (self.groups, -1)).topk(2, dim=-1)[0].sum(-1)
        open_NG = torch.zeros_like(best_NG).scatter_(1, best_NG.topk(self.top_groups, sorted=False)[1], 1).bool()
        open_NE = open_NG.repeat_interleave(scores_NE.shape[-1] // self.groups, dim=-1)
        return scores_NE.masked_fill(~open_NE, 0.0).topk(self.top_k, sorted=False)[1]


class DeepseekV3MoE(nn.Module):
    """Each token through its experts, and through the shared one."""

    def __init__(self, config: DeepseekV3Config) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.moe_intermediate_size
        self.experts = nn.ModuleList(
            [GatedMLP(width, inner, config.hidden_act) for _ in range(config.n_routed_experts)]
        )
        self.gate = DeepseekV3TopkRouter(config)
        self.shared_experts = GatedMLP(width, inner * config.n_shared_experts, config.hidden_act)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x_NC = x_BTC.flatten(0, 1)
        chosen_NX, weights_NX = self.gate(x_NC)
        routed_NC = run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype))
        return routed_NC.view_as(x_BTC) + self.shared_experts(x_BTC)


class DeepseekV3PreTrainedModel(PreTrainedModel):
    """What all DeepSeek-V3 models declare."""

    config_class = DeepseekV3Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)
    ignore_unexpected: ClassVar = ("*layers.61.*",)  # the published files' module that predicts a second token
    keep_in_fp32: ClassVar = ("e_score_correction_bias",)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, DeepseekV3TopkRouter):
            module.weight.normal_(0.0, self.config.initializer_range)
        else:
            super()._init_weights(module)


class DeepseekV3Model(DecoderModel, DeepseekV3PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: DeepseekV3Config, layer_idx: int) -> nn.Module:
        attention = LatentAttention if config.rope_interleave else HalvesLatentAttention
        mlp = (
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
            if layer_idx < config.first_k_dense_replace
            else DeepseekV3MoE(config)
        )
        return PreNormLayer(
            attention(config, layer_idx, scaling=yarn_scaling(config)),
            mlp,
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Any) -> RotaryEmbedding:
        return (InterleavedRotaryEmbedding if config.rope_interleave else RotaryEmbedding)(config)


class DeepseekV3ForCausalLM(CausalLM, DeepseekV3PreTrainedModel, GenerationMixin):
    """DeepSeek-V3 with next-token logits."""

    body_class = DeepseekV3Model
