"""Mixtral (arXiv:2401.04088): Mistral's decoder with experts in place of the feed-forward block.

Shapes: B batch, T tokens, N = B * T, E experts, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_moe import MoeCausalLM, MoeDecoderModel, MoePreNormLayer, run_experts, top_experts
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import MixtralConfig


class MixtralPreTrainedModel(PreTrainedModel):
    """What all Mixtral models declare."""

    config_class = MixtralConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class MixtralExpert(nn.Module):
    """w2(act(w1(x)) * w3(x))."""

    def __init__(self, config: MixtralConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.act_fn = get_activation(config.hidden_act)

    def forward(self, x_NC: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        return self.w2(self.act_fn(self.w1(x_NC)) * self.w3(x_NC))


class MixtralSparseMoeBlock(nn.Module):
    """Each token through num_experts_per_tok experts, weighted so that the weights add up to 1."""

    def __init__(self, config: MixtralConfig) -> None:
        super().__init__()
        self.top_k, self.jitter_noise = config.num_experts_per_tok, config.router_jitter_noise
        self.gate = nn.Linear(config.hidden_size, config.num_local_experts, bias=False)
        self.experts = nn.ModuleList([MixtralExpert(config) for _ in range(config.num_local_experts)])

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, C) and the router's logits (N, E)."""
        if self.training and self.jitter_noise > 0:
            x_BTC = x_BTC * torch.empty_like(x_BTC).uniform_(1 - self.jitter_noise, 1 + self.jitter_noise)
        x_NC = x_BTC.flatten(0, 1)
        logits_NE = self.gate(x_NC)
        chosen_NX, weights_NX = top_experts(logits_NE, self.top_k, normalise=True)
        return run_experts(x_NC, self.experts, chosen_NX, weights_NX.to(x_NC.dtype)).view_as(x_BTC), logits_NE


class MixtralDecoderLayer(MoePreNormLayer):
    """A pre-norm layer whose experts are called block_sparse_moe."""

    mlp_name: ClassVar[str] = "block_sparse_moe"


class MixtralModel(MoeDecoderModel, MixtralPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: MixtralConfig, layer_idx: int) -> nn.Module:
        return MixtralDecoderLayer(
            DecoderAttention(config, layer_idx, kernel_options=window_options(config, layer_idx)),
            MixtralSparseMoeBlock(config),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class MixtralForCausalLM(MoeCausalLM, MixtralPreTrainedModel, GenerationMixin):
    """Mixtral with next-token logits."""

    body_class = MixtralModel
    experts_name = "num_local_experts"


class MixtralForSequenceClassification(DecoderForSequenceClassification, MixtralPreTrainedModel):
    """Mixtral that classifies a sequence by its last token."""

    body_class = MixtralModel


class MixtralForTokenClassification(DecoderForTokenClassification, MixtralPreTrainedModel):
    """Mixtral that classifies each token."""

    body_class = MixtralModel


class MixtralForQuestionAnswering(DecoderForQuestionAnswering, MixtralPreTrainedModel):
    """Mixtral that marks the span of an answer."""

    body_class = MixtralModel
