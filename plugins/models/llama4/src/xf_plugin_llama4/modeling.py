"""Llama 4's text model (model card, 2025): chunked attention with rotation, full attention without, experts.

Shapes: B batch, T tokens, N = B * T, H heads, G key-value heads, D head width, E experts, X experts per token, F inner
width, C model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache
from xf.interfaces.model import PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.decoder_moe import MoePreNormLayer, run_experts
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, RotaryEmbedding, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import Llama4TextConfig


class Llama4TextAttention(DecoderAttention):
    """Layers that rotate norm queries and keys afterwards; the others make queries larger with their position."""

    def __init__(self, config: Llama4TextConfig, layer_idx: int) -> None:
        bias = config.attention_bias
        super().__init__(config, layer_idx, qkv_bias=bias, out_bias=bias)
        self.turns = bool(config.no_rope_layers[layer_idx])
        self.eps = config.rms_norm_eps if self.turns and config.use_qk_norm else None

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Any) -> tuple[Tensor, Tensor]:
        """rotation: for layers that do not rotate, the factor on queries (T, 1), or None."""
        if not self.turns:
            return q_BHTD if rotation is None else (q_BHTD * rotation).to(q_BHTD.dtype), k_BGTD
        q_BHTD, k_BGTD = rotate_interleaved(q_BHTD, rotation), rotate_interleaved(k_BGTD, rotation)
        if self.eps is None:
            return q_BHTD, k_BGTD
        return self._normed(q_BHTD), self._normed(k_BGTD)

    def _normed(self, x_BHTD: Tensor) -> Tensor:
        return nn.functional.rms_norm(x_BHTD.float(), (self.head_dim,), None, self.eps).type_as(x_BHTD)


class Llama4TextExperts(nn.Module):
    """All experts' weights in one tensor each, gate before up; `experts[i]` is a feed-forward block."""

    def __init__(self, config: Llama4TextConfig) -> None:
        super().__init__()
        experts, width, inner = config.num_local_experts, config.hidden_size, config.intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(experts, width, 2 * inner))
        self.down_proj = nn.Parameter(torch.empty(experts, inner, width))
        self.act_fn = get_activation(config.hidden_act)

    def __getitem__(self, index: int) -> Any:
        def expert(x_NC: Tensor) -> Tensor:
            gate_NF, up_NF = (x_NC @ self.gate_up_proj[index]).chunk(2, dim=-1)
            return (up_NF * self.act_fn(gate_NF)) @ self.down_proj[index]

        return expert


class Llama4TextMoe(nn.Module):
    """A shared expert, and the chosen ones: each gets the token times the sigmoid of its router logit."""

    def __init__(self, config: Llama4TextConfig) -> None:
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.experts = Llama4TextExperts(config)
        self.router = nn.Linear(config.hidden_size, config.num_local_experts, bias=False)
        self.shared_expert = GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x_NC = x_BTC.flatten(0, 1)
        best_NX, chosen_NX = self.router(x_NC).topk(self.top_k, dim=-1)
        scores_NX = best_NX.float().sigmoid().to(x_NC.dtype)
        scaled = (x_NC[:, None] * scores_NX[..., None]).flatten(0, 1)  # a row for each token and expert
        ones = torch.ones_like(scaled[:, :1])  # the score went in already
        routed = run_experts(scaled, self.experts, chosen_NX.reshape(-1, 1), ones)  # type: ignore[arg-type]
        return (self.shared_expert(x_NC) + routed.view(-1, self.top_k, x_NC.shape[-1]).sum(1)).view_as(x_BTC)


class Llama4TextDecoderLayer(MoePreNormLayer):
    """A pre-norm layer whose feed-forward block, with experts or not, is called feed_forward."""

    mlp_name = "feed_forward"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See `xf_blocks.decoder_layer`."""
        return super().forward(*args, **kwargs)[:2]


class Llama4PreTrainedModel(PreTrainedModel):
    """What all Llama 4 models declare."""

    config_class = Llama4TextConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, Llama4TextExperts):
            for weight in (module.gate_up_proj, module.down_proj):
                weight.normal_(0.0, self.config.initializer_range)
        else:
            super()._init_weights(module)


class Llama4TextModel(DecoderModel, Llama4PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Llama4TextConfig, layer_idx: int) -> nn.Module:
        mlp = (
            Llama4TextMoe(config)
            if layer_idx in config.moe_layers
            else GatedMLP(config.hidden_size, config.intermediate_size_mlp, config.hidden_act)
        )
        return Llama4TextDecoderLayer(
            Llama4TextAttention(config, layer_idx), mlp, self.build_norm(config), self.build_norm(config)
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Any) -> RotaryEmbedding:
        return InterleavedRotaryEmbedding(config)

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
        x_BTC, masks, rotations, cache, use_cache = super().begin(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, cache_position
        )
        if cache_position is None:
            start = 0 if cache is None else cache.get_seq_length()
            cache_position = torch.arange(start, start + x_BTC.shape[1], device=x_BTC.device)
        factor = self.temperature(cache_position)
        turning = zip(rotations, self.config.no_rope_layers, strict=True)
        return x_BTC, masks, [rotation if turns else factor for rotation, turns in turning], cache, use_cache

    def temperature(self, positions_T: Tensor) -> Tensor | None:
        """The factor on queries (T, 1) of layers without rotation; None without attn_temperature_tuning."""
        config = self.config
        if not config.attn_temperature_tuning:
            return None
        steps_T = torch.floor((positions_T.float() + 1) / config.floor_scale)
        return (torch.log1p(steps_T) * config.attn_scale + 1)[:, None]


class Llama4ForCausalLM(CausalLM, Llama4PreTrainedModel, GenerationMixin):
    """Llama 4's text model with next-token logits."""

    body_class = Llama4TextModel

    def direct_forward(self) -> None:
        """None: the factor on queries needs the place of a token, which the direct form does not hand on."""
