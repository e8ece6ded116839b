"""Jamba (arXiv:2403.19887): state-space layers with a layer of attention among every eight, and experts in every other.

Shapes: B batch, T new tokens, K tokens so far, N = B * T, E experts, X experts per token, I inner width, S state size,
R rank of the time step, C model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import DecoderForSequenceClassification
from xf_blocks.decoder_moe import MoeCausalLM, MoeDecoderModel, run_experts, top_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.state_space import SelectiveMixer
from xf_blocks.state_space_cache import MakesStateSpaceCache, state_space_cache
from xf_generation.mixin import GenerationMixin

from .configuration import JambaConfig


class JambaAttention(DecoderAttention):
    """Grouped-query attention without positions: the state-space layers know the order."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Any) -> tuple[Tensor, Tensor]:
        return q_BHTD, k_BGTD


class JambaMambaMixer(SelectiveMixer):
    """Mamba's layer with norms of dt, b and c."""

    def __init__(self, config: JambaConfig, layer_idx: int) -> None:
        state, rank = config.mamba_d_state, config.mamba_dt_rank
        super().__init__(
            config.hidden_size, config.mamba_expand * config.hidden_size, state, rank, config.mamba_d_conv,
            config.hidden_act, config.mamba_proj_bias, config.mamba_conv_bias,
        )  # fmt: skip
        self.layer_idx = layer_idx
        self.dt_layernorm = RMSNorm(rank, config.rms_norm_eps)
        self.b_layernorm = RMSNorm(state, config.rms_norm_eps)
        self.c_layernorm = RMSNorm(state, config.rms_norm_eps)

    def parameters_of(self, x_BTI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dt_BTR, b_BTS, c_BTS = super().parameters_of(x_BTI)
        return self.dt_layernorm(dt_BTR), self.b_layernorm(b_BTS), self.c_layernorm(c_BTS)


class JambaSparseMoeBlock(nn.Module):
    """Each token through num_experts_per_tok experts, weighted by the router's probabilities as they are."""

    def __init__(self, config: JambaConfig) -> None:
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.router = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = nn.ModuleList(
            [
                GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
                for _ in range(config.num_experts)
            ]
        )

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, C) and the router's logits (N, E)."""
        x_NC = x_BTC.flatten(0, 1)
        logits_NE = self.router(x_NC)
        chosen_NX, weights_NX = top_experts(logits_NE, self.top_k, normalise=False)
        return run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype)).view_as(x_BTC), logits_NE


class JambaLayer(GradientCheckpointingLayer):
    """x += attention or state space of norm(x); x += feed_forward(norm(x))."""

    def __init__(self, config: JambaConfig, layer_idx: int) -> None:
        super().__init__()
        self.attends = config.layers_block_type[layer_idx] == "attention"
        if self.attends:
            self.self_attn = JambaAttention(config, layer_idx)
        else:
            self.mamba = JambaMambaMixer(config, layer_idx)
        sparse = config.layers_num_experts[layer_idx] > 1
        self.feed_forward = (
            JambaSparseMoeBlock(config)
            if sparse
            else GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        )
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.pre_ff_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Any,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(B, T, C), attention weights (B, H, T, K) or None, the router's logits (N, E) or None."""
        normed, weights = self.input_layernorm(x_BTC), None
        if self.attends:
            mixed, weights = self.self_attn(
                normed, rotation, attention_mask, past_key_values, cache_position, output_attentions
            )
        else:
            mixed = self._state_space(normed, attention_mask, past_key_values)
        x_BTC = x_BTC + mixed
        inner = self.feed_forward(self.pre_ff_layernorm(x_BTC))
        inner, router_logits = inner if isinstance(inner, tuple) else (inner, None)
        return x_BTC + inner, weights, router_logits

    def _state_space(self, normed_BTC: Tensor, mask_BK: Tensor | None, cache: Cache | None) -> Tensor:
        memory: Any = None if cache is None else cache.layers[self.mamba.layer_idx]
        mixed, state = self.mamba(normed_BTC, None if memory is None else memory.state, mask_BK)
        if memory is not None:
            memory.put(state, normed_BTC.shape[1])
        return mixed


class JambaPreTrainedModel(PreTrainedModel):
    """What all Jamba models declare."""

    config_class = JambaConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, JambaMambaMixer):
            module.A_log.copy_(torch.arange(1, module.A_log.shape[1] + 1).log().expand_as(module.A_log))
            module.D.fill_(1.0)
        else:
            super()._init_weights(module)


class JambaModel(MoeDecoderModel, JambaPreTrainedModel):
    """Token embeddings, layers, a last norm; attentions are those of the layers that attend."""

    norm_name = "final_layernorm"

    def build_layer(self, config: JambaConfig, layer_idx: int) -> nn.Module:
        return JambaLayer(config, layer_idx)

    def build_norm(self, config: JambaConfig) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: JambaConfig) -> None:  # type: ignore[override]
        return None

    def rotations(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Sequence[Any]:
        return (None,) * len(self.layers)

    def begin(
        self,
        input_ids: Tensor | None,
        attention_mask: Any,
        position_ids: Tensor | None,
        past_key_values: Any,
        inputs_embeds: Tensor | None,
        use_cache: bool | None,
        cache_position: Tensor | None,
    ) -> tuple[Tensor, dict[str, Any], Sequence[Any], Cache | None, bool]:
        cache = state_space_cache(self, past_key_values, use_cache)
        x_BTC, masks, rotations, cache, use_cache = super().begin(
            input_ids, attention_mask, position_ids, cache, inputs_embeds, use_cache, cache_position
        )
        if isinstance(attention_mask, dict):
            padding = attention_mask.get("mamba")
        else:
            padding = attention_mask
        return x_BTC, {**masks, "mamba": padding}, rotations, cache, use_cache


class JambaForCausalLM(MakesStateSpaceCache, MoeCausalLM, JambaPreTrainedModel, GenerationMixin):
    """Jamba with next-token logits."""

    body_class = JambaModel


class JambaForSequenceClassification(DecoderForSequenceClassification, JambaPreTrainedModel):
    """Jamba that classifies a sequence by its last token."""

    body_class = JambaModel
