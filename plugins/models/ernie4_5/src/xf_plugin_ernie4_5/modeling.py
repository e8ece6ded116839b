"""ERNIE 4.5 (technical report, 2025): Llama's decoder with neighbouring channels rotated.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import InterleavedRotaryEmbedding, Rotation, rotate_interleaved
from xf_generation.mixin import GenerationMixin

from .configuration import Ernie4_5Config


class Ernie4_5PreTrainedModel(PreTrainedModel):
    """What all ERNIE 4.5 models declare."""

    config_class = Ernie4_5Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class Ernie4_5Attention(DecoderAttention):
    """Rotates neighbouring channels."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate_interleaved(q_BHTD, rotation), rotate_interleaved(k_BGTD, rotation)


class Ernie4_5Model(DecoderModel, Ernie4_5PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Ernie4_5Config, layer_idx: int) -> nn.Module:
        bias = config.use_bias
        return PreNormLayer(
            Ernie4_5Attention(config, layer_idx, qkv_bias=bias, out_bias=bias),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act, bias),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def build_rotary(self, config: Any) -> InterleavedRotaryEmbedding:
        return InterleavedRotaryEmbedding(config)


class Ernie4_5ForCausalLM(CausalLM, Ernie4_5PreTrainedModel, GenerationMixin):
    """ERNIE 4.5 with next-token logits."""

    body_class = Ernie4_5Model
