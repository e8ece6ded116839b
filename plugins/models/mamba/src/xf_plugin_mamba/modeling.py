"""Mamba (arXiv:2312.00752): a language model without attention, whose state is of one size however long the text is.

Shapes: B batch, T tokens, I inner width, S state size, C model width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.model import PreTrainedModel
from xf.plugins import registry
from xf_blocks.norms import RMSNorm
from xf_blocks.state_space import SelectiveMixer, start_time_steps
from xf_blocks.state_space_model import StateSpaceCausalLM, StateSpaceModel
from xf_generation.mixin import GenerationMixin

from .configuration import MambaConfig


class MambaPreTrainedModel(PreTrainedModel):
    """What all Mamba models declare."""

    config_class = MambaConfig
    base_model_prefix = "backbone"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        config = self.config
        if isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, config.initializer_range)
        elif not isinstance(module, SelectiveMixer):
            super()._init_weights(module)
        else:
            state = module.A_log.shape[1]
            module.A_log.copy_(torch.arange(1, state + 1).log().expand_as(module.A_log))
            module.D.fill_(1.0)
            scale = config.time_step_rank**-0.5 * config.time_step_scale
            if config.time_step_init_scheme == "constant":
                module.dt_proj.weight.fill_(scale)
            else:
                module.dt_proj.weight.uniform_(-scale, scale)
            start_time_steps(module.dt_proj.bias, config)
            if config.rescale_prenorm_residual:  # the output of each of the layers shrinks with their number
                module.out_proj.weight.div_(math.sqrt(config.num_hidden_layers))


class MambaModel(StateSpaceModel, MambaPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_mixer(self, config: MambaConfig, layer_idx: int) -> nn.Module:
        return SelectiveMixer(
            config.hidden_size,
            config.intermediate_size,
            config.state_size,
            config.time_step_rank,
            config.conv_kernel,
            config.hidden_act,
            config.use_bias,
            config.use_conv_bias,
        )

    def build_norm(self, config: MambaConfig) -> nn.Module:
        return RMSNorm(config.hidden_size, config.layer_norm_epsilon)

    def build_cache(self, batch: int, like: Tensor) -> Any:
        return registry("cache").get("mamba")(self.config, batch, dtype=like.dtype, device=like.device)


class MambaForCausalLM(StateSpaceCausalLM, MambaPreTrainedModel, GenerationMixin):
    """Mamba with next-token logits."""

    base_model_prefix = "backbone"
    body_class = MambaModel
