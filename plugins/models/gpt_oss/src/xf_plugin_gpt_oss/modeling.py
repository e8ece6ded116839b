"""GPT-OSS (arXiv:2508.10925): a pre-norm decoder with experts, attention sinks and alternating sliding layers.

Shapes: B batch, T tokens, N = B * T, E experts, X experts per token, H heads, C width, F inner width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_moe import MoeCausalLM, MoeDecoderModel, MoePreNormLayer
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import GptOssConfig

_ALPHA, _LIMIT = 1.702, 7.0  # slope of the gate's sigmoid and bound of its inputs (arXiv:2508.10925, section 2.2)


class GptOssPreTrainedModel(PreTrainedModel):
    """What all GptOss models declare."""

    config_class = GptOssConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True, sinks=True)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, GptOssExperts):
            for weight in (module.gate_up_proj, module.down_proj):
                weight.normal_(0.0, std)
            module.gate_up_proj_bias.zero_()
            module.down_proj_bias.zero_()
        elif isinstance(module, GptOssTopKRouter):
            module.weight.normal_(0.0, std)
            module.bias.normal_(0.0, std)
        elif isinstance(module, GptOssAttention):
            module.sinks.normal_(0.0, std)
        else:
            super()._init_weights(module)


class GptOssExperts(nn.Module):
    """All experts' weights in one tensor each; gate and up alternate along the inner width."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        experts, width, inner = config.num_local_experts, config.hidden_size, config.intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(experts, width, 2 * inner))
        self.gate_up_proj_bias = nn.Parameter(torch.empty(experts, 2 * inner))
        self.down_proj = nn.Parameter(torch.empty(experts, inner, width))
        self.down_proj_bias = nn.Parameter(torch.empty(experts, width))

    def forward(self, x_NC: Tensor, chosen_NX: Tensor, weights_NX: Tensor) -> Tensor:
        """(N, C) -> (N, C): each token through its experts, added up by weight."""
        out_NC = torch.zeros_like(x_NC)
        for index in chosen_NX.unique().tolist():
            rows, places = (chosen_NX == index).nonzero(as_tuple=True)
            weighted = self.expert(index, x_NC[rows]) * weights_NX[rows, places, None]
            out_NC.index_add_(0, rows, weighted.to(out_NC.dtype))
        return out_NC

    def expert(self, index: int, x_NC: Tensor) -> Tensor:
        """One expert: down((up + 1) * gate sigmoid(alpha gate)), with bounded gate and up."""
        gate_up_NF = x_NC @ self.gate_up_proj[index] + self.gate_up_proj_bias[index]
        gate_NF = gate_up_NF[..., ::2].clamp(max=_LIMIT)
        up_NF = gate_up_NF[..., 1::2].clamp(-_LIMIT, _LIMIT)
        inner_NF = (up_NF + 1) * gate_NF * torch.sigmoid(gate_NF * _ALPHA)
        return inner_NF @ self.down_proj[index] + self.down_proj_bias[index]


class GptOssTopKRouter(nn.Module):
    """Chooses experts first, then gives the chosen ones probabilities."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.weight = nn.Parameter(torch.empty(config.num_local_experts, config.hidden_size))
        self.bias = nn.Parameter(torch.empty(config.num_local_experts))

    def forward(self, x_NC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Indices and probabilities (N, X) of the chosen experts; probabilities (N, E), 0 for the others."""
        best_NX, chosen_NX = nn.functional.linear(x_NC, self.weight, self.bias).topk(self.top_k, dim=-1)
        weights_NX = best_NX.softmax(dim=-1)
        scores_NE = x_NC.new_zeros(x_NC.shape[0], self.weight.shape[0]).scatter(1, chosen_NX, weights_NX)
        return chosen_NX, weights_NX, scores_NE


class GptOssMLP(nn.Module):
    """Router and experts."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        self.router = GptOssTopKRouter(config)
        self.experts = GptOssExperts(config)

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, C) and the router's scores (N, E)."""
        x_NC = x_BTC.flatten(0, 1)
        chosen_NX, weights_NX, scores_NE = self.router(x_NC)
        return self.experts(x_NC, chosen_NX, weights_NX).view_as(x_BTC), scores_NE


class GptOssAttention(DecoderAttention):
    """Each head may give part of its attention to nothing: a learned sink."""

    def __init__(self, config: GptOssConfig, layer_idx: int) -> None:
        bias, options = config.attention_bias, window_options(config, layer_idx)
        super().__init__(config, layer_idx, qkv_bias=bias, out_bias=bias, kernel_options=options)
        self.sinks = nn.Parameter(torch.empty(config.num_attention_heads))

    def attend(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        return super().attend(*args, **kwargs, s_aux=self.sinks)


class GptOssModel(MoeDecoderModel, GptOssPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: GptOssConfig, layer_idx: int) -> nn.Module:
        norms = (self.build_norm(config), self.build_norm(config))
        return MoePreNormLayer(GptOssAttention(config, layer_idx), GptOssMLP(config), *norms)

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class GptOssForCausalLM(MoeCausalLM, GptOssPreTrainedModel, GenerationMixin):
    """GPT-OSS with next-token logits."""

    body_class = GptOssModel
    experts_name = "num_local_experts"
