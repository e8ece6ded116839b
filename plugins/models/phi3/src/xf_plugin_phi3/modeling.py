"""Phi-3 (arXiv:2404.14219): a pre-norm decoder with fused matrices and, for long texts, LongRoPE.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import FusedGatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import Rotation, rotate_first
from xf_generation.mixin import GenerationMixin

from .configuration import Phi3Config


class Phi3PreTrainedModel(PreTrainedModel):
    """What all Phi3 models declare."""

    config_class = Phi3Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Phi3Attention(DecoderAttention):
    """One matrix for queries, keys and values; part of each head may be rotated."""

    def build_projections(self, hidden_size: int, heads: int, groups: int, qkv_bias: bool, out_bias: bool) -> None:
        self.widths = [heads * self.head_dim, groups * self.head_dim, groups * self.head_dim]
        self.qkv_proj = nn.Linear(hidden_size, sum(self.widths), bias=qkv_bias)
        self.o_proj = nn.Linear(heads * self.head_dim, hidden_size, bias=out_bias)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv_proj(x_BTC).split(self.widths, dim=-1)
        heads = (*x_BTC.shape[:-1], -1, self.head_dim)
        return q.view(heads).transpose(1, 2), k.view(heads).transpose(1, 2), v.view(heads).transpose(1, 2)

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_first(q_BHTD, rotation), rotate_first(k_BGTD, rotation)


class Phi3Model(DecoderModel, Phi3PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Phi3Config, layer_idx: int) -> nn.Module:
        return PreNormLayer(
            Phi3Attention(config, layer_idx, kernel_options=window_options(config, layer_idx)),
            FusedGatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
            self.build_norm(config),
            config.resid_pdrop,
        )

    def build_norm(self, config: Phi3Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class Phi3ForCausalLM(CausalLM, Phi3PreTrainedModel, GenerationMixin):
    """Phi-3 with next-token logits."""

    body_class = Phi3Model

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, past_key_values: Any = None, cache_position: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """As for every model; and where the text outgrows the short factors, keys are computed anew with the long ones.

        A cache with keys of both kinds would hold angles that do not fit together.
        """
        limit = self.config.original_max_position_embeddings
        outgrown = self.config.rope_scaling and past_key_values is not None and input_ids.shape[1] > limit
        if outgrown and past_key_values.get_seq_length() <= limit:
            past_key_values.reset()
            cache_position = None if cache_position is None else cache_position.new_tensor(range(input_ids.shape[1]))
        return super().prepare_inputs_for_generation(
            input_ids, past_key_values=past_key_values, cache_position=cache_position, **kwargs
        )


class Phi3ForSequenceClassification(DecoderForSequenceClassification, Phi3PreTrainedModel):
    """Phi-3 that classifies a sequence by its last token."""

    body_class = Phi3Model


class Phi3ForTokenClassification(DecoderForTokenClassification, Phi3PreTrainedModel):
    """Phi-3 that classifies each token."""

    body_class = Phi3Model
