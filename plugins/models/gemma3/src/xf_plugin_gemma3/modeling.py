"""Gemma 3, text (arXiv:2503.19786): norms around every block, sliding and full layers with rotary angles of their own.

Shapes: B batch, T tokens, V vocabulary, C width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import NormedDecoderAttention, window_options
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import SandwichLayer
from xf_blocks.decoder_model import DecoderModel, turn
from xf_blocks.embeddings import ScaledEmbedding
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import UnitOffsetRMSNorm
from xf_blocks.rotary import RotaryEmbedding, Rotation
from xf_generation.mixin import GenerationMixin

from .configuration import Gemma3TextConfig


class Gemma3PreTrainedModel(PreTrainedModel):
    """What all Gemma 3 models declare."""

    config_class = Gemma3TextConfig
    base_model_prefix = "model"

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        text_config = config.get_text_config()
        capped = text_config.attn_logit_softcapping is not None
        return AttentionNeeds(grouped_heads=True, sliding_window=True, soft_cap=capped)


class Gemma3TextModel(DecoderModel, Gemma3PreTrainedModel):
    """Token embeddings times sqrt(hidden_size), layers, a last norm."""

    def __init__(self, config: Gemma3TextConfig) -> None:
        super().__init__(config)
        local = copy.deepcopy(config)
        local.rope_theta, local.rope_scaling = config.rope_local_base_freq, None
        self.rotary_emb_local = RotaryEmbedding(local)

    def build_embeddings(self, config: Gemma3TextConfig) -> nn.Embedding:
        return ScaledEmbedding(config.vocab_size, config.hidden_size, config.pad_token_id, config.hidden_size**0.5)

    def build_layer(self, config: Gemma3TextConfig, layer_idx: int) -> nn.Module:
        bias = config.attention_bias
        attention = NormedDecoderAttention(
            config,
            layer_idx,
            lambda width: UnitOffsetRMSNorm(width, config.rms_norm_eps),
            qkv_bias=bias,
            out_bias=bias,
            scaling=config.query_pre_attn_scalar**-0.5,
            kernel_options=window_options(config, layer_idx, softcap=config.attn_logit_softcapping),
        )
        mlp = GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_activation)
        return SandwichLayer(attention, mlp, *(self.build_norm(config) for _ in range(4)))

    def build_norm(self, config: Gemma3TextConfig) -> nn.Module:
        return UnitOffsetRMSNorm(config.hidden_size, config.rms_norm_eps)

    def rotations(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Sequence[Rotation]:
        full = turn(self.rotary_emb, x_BTC, position_ids, start)
        local = turn(self.rotary_emb_local, x_BTC, position_ids, start)
        return [local if kind == "sliding_attention" else full for kind in self.kinds]


class Gemma3ForCausalLM(CausalLM, Gemma3PreTrainedModel, GenerationMixin):
    """Gemma 3 with next-token logits."""

    config_class = Gemma3TextConfig
    body_class = Gemma3TextModel

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        logits_BTV, cap = self.lm_head(hidden_BTC), self.config.final_logit_softcapping
        return logits_BTV if cap is None else torch.tanh(logits_BTV / cap) * cap
