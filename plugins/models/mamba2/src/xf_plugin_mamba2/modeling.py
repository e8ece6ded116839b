"""Mamba-2 (arXiv:2405.21060): Mamba with one decay per head, so that the scan is made of matrix products.

Shapes: B batch, T tokens, I inner width, S state size, G groups, H heads, D head width, W width of the convolution.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.model import PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.norms import RMSNorm
from xf_blocks.state_space import State, causal_conv, chunked_scan, hide_padding, start_time_steps
from xf_blocks.state_space_model import StateSpaceCausalLM, StateSpaceModel
from xf_generation.mixin import GenerationMixin

from .configuration import Mamba2Config


class Mamba2Cache:
    """What the next tokens continue from: for each layer the latest inputs of the convolution (B, I + 2 G S, W) and the
    states (B, H, D, S)."""

    def __init__(
        self, config: Mamba2Config, batch_size: int, dtype: torch.dtype = torch.float16, device: Any = None
    ) -> None:
        inner = config.num_heads * config.head_dim
        conv = (config.num_hidden_layers, batch_size, inner + 2 * config.n_groups * config.state_size)
        states = (config.num_hidden_layers, batch_size, config.num_heads, config.head_dim, config.state_size)
        with torch.inference_mode(False):  # so that a cache made by `generate` can be used outside of it
            self.conv_states = torch.zeros(*conv, config.conv_kernel, dtype=dtype, device=device)
            self.ssm_states = torch.zeros(states, dtype=dtype, device=device)

    def reset(self) -> None:
        """Forget the text."""
        self.conv_states.zero_()
        self.ssm_states.zero_()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i takes over row beam_idx[i] (beam search)."""
        self.conv_states = self.conv_states.index_select(1, beam_idx.to(self.conv_states.device))
        self.ssm_states = self.ssm_states.index_select(1, beam_idx.to(self.ssm_states.device))


class Mamba2RMSNormGated(RMSNorm):
    """norm(x * silu(gate)), in float32."""

    def forward(self, hidden_states: Tensor, gate: Tensor) -> Tensor:
        """(..., I), (..., I) -> (..., I)."""
        gated = hidden_states.float() * F.silu(gate.float())
        return self.weight * F.rms_norm(gated, self.weight.shape, None, self.variance_epsilon).to(self.weight.dtype)


class Mamba2Mixer(nn.Module):
    """Convolution, scan, gated norm (arXiv:2405.21060, section 7.1)."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.chunk_size = config.num_heads, config.head_dim, config.chunk_size
        self.heads_per_group, self.state_size = config.num_heads // config.n_groups, config.state_size
        self.limits = tuple(config.time_step_limit)
        inner, shared = config.num_heads * config.head_dim, config.n_groups * config.state_size
        self.sizes = (inner, inner + 2 * shared, config.num_heads)
        self.inputs = (inner, shared, shared)
        self.act = get_activation(config.hidden_act)
        wide = inner + 2 * shared
        self.conv1d = nn.Conv1d(wide, wide, config.conv_kernel, groups=wide, bias=config.use_conv_bias)
        self.in_proj = nn.Linear(config.hidden_size, sum(self.sizes), bias=config.use_bias)
        self.dt_bias = nn.Parameter(torch.ones(config.num_heads))
        self.A_log = nn.Parameter(torch.arange(1, config.num_heads + 1, dtype=torch.float32).log())
        self.norm = Mamba2RMSNormGated(inner, config.layer_norm_epsilon)
        self.D = nn.Parameter(torch.ones(config.num_heads))
        self.out_proj = nn.Linear(inner, config.hidden_size, bias=config.use_bias)

    def forward(
        self, x_BTC: Tensor, past: State | None = None, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(B, T, C) and what the next tokens continue from; attention_mask (B, K), 0 at padding."""
        gate_BTI, conv_in, dt_BTH = self.in_proj(hide_padding(x_BTC, attention_mask)).split(self.sizes, dim=-1)
        conv_out, latest = causal_conv(self.conv1d, conv_in.transpose(1, 2), past[0] if past else None)
        inner = hide_padding(self.act(conv_out.transpose(1, 2)), attention_mask).float()
        x_BTI, b, c = inner.split(self.inputs, dim=-1)
        x_BTHD = x_BTI.unflatten(-1, (self.num_heads, self.head_dim))
        dt_BTH = F.softplus(dt_BTH.float() + self.dt_bias.float()).clamp(*self.limits)
        y_BTHD, state = chunked_scan(
            x_BTHD, dt_BTH, -self.A_log.float().exp(), self._of_heads(b), self._of_heads(c), self.chunk_size,
            past[1].float() if past else None,
        )  # fmt: skip
        y_BTI = (y_BTHD + x_BTHD * self.D[:, None]).flatten(2)
        return self.out_proj(self.norm(y_BTI, gate_BTI).to(x_BTC.dtype)), (latest, state)

    def _of_heads(self, shared: Tensor) -> Tensor:
        """(B, T, G S) -> (B, T, H, S)."""
        return shared.unflatten(-1, (-1, self.state_size)).repeat_interleave(self.heads_per_group, dim=2)


class Mamba2PreTrainedModel(PreTrainedModel):
    """What all Mamba-2 models declare."""

    config_class = Mamba2Config
    base_model_prefix = "backbone"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        config = self.config
        if isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, config.initializer_range)
        elif isinstance(module, Mamba2Mixer):
            module.A_log.copy_(torch.arange(1, config.num_heads + 1).log())
            module.D.fill_(1.0)
            start_time_steps(module.dt_bias, config)
            if config.rescale_prenorm_residual:  # the output of each of the layers shrinks with their number
                module.out_proj.weight.div_(math.sqrt(config.num_hidden_layers))
        else:
            super()._init_weights(module)


class Mamba2Model(StateSpaceModel, Mamba2PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_mixer(self, config: Mamba2Config, layer_idx: int) -> nn.Module:
        return Mamba2Mixer(config)

    def build_norm(self, config: Mamba2Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.layer_norm_epsilon)

    def build_cache(self, batch: int, like: Tensor) -> Mamba2Cache:
        return Mamba2Cache(self.config, batch, dtype=like.dtype, device=like.device)


class Mamba2ForCausalLM(StateSpaceCausalLM, Mamba2PreTrainedModel, GenerationMixin):
    """Mamba-2 with next-token logits."""

    body_class = Mamba2Model
