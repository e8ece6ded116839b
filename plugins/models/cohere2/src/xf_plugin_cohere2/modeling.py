"""Cohere 2 (Command R7B): attention and feed-forward side by side, full layers without positions among sliding ones.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, V vocabulary, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import ParallelLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import ScaleLayerNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import Cohere2Config


class Cohere2PreTrainedModel(PreTrainedModel):
    """What all Cohere2 models declare."""

    config_class = Cohere2Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class Cohere2SlidingAttention(DecoderAttention):
    """Rotates neighbouring channels."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_interleaved(q_BHTD, rotation), rotate_interleaved(k_BGTD, rotation)


class Cohere2FullAttention(DecoderAttention):
    """Queries and keys as they are."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return q_BHTD, k_BGTD


class Cohere2Model(DecoderModel, Cohere2PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Cohere2Config, layer_idx: int) -> nn.Module:
        bias, options = config.attention_bias, window_options(config, layer_idx)
        attention = Cohere2SlidingAttention if options else Cohere2FullAttention
        return ParallelLayer(
            attention(config, layer_idx, qkv_bias=bias, out_bias=bias, kernel_options=options),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
        )

    def build_norm(self, config: Cohere2Config) -> nn.Module:
        return ScaleLayerNorm(config.hidden_size, config.layer_norm_eps)

    def build_rotary(self, config: Any) -> InterleavedRotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class Cohere2ForCausalLM(CausalLM, Cohere2PreTrainedModel, GenerationMixin):
    """Cohere 2 with next-token logits."""

    body_class = Cohere2Model

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        return self.lm_head(hidden_BTC) * self.config.logit_scale
