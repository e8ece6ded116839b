"""Granite: a pre-norm decoder with constant factors on embeddings, branches, scores and logits (arXiv:2203.03466).

Shapes: B batch, T tokens, V vocabulary, C width.
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
from xf_blocks.rotary import Rotation
from xf_generation.mixin import GenerationMixin

from .configuration import GraniteConfig


class GranitePreTrainedModel(PreTrainedModel):
    """What all Granite models declare."""

    config_class = GraniteConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class GraniteDecoderLayer(PreNormLayer):
    """x += factor * attention(norm(x)); x += factor * mlp(norm(x))."""

    def __init__(self, *parts: nn.Module, factor: float) -> None:
        super().__init__(*parts)
        self.residual_multiplier = factor

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation,
        attention_mask: Any = None,
        past_key_values: Any = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See `xf_blocks.decoder_layer`."""
        attended, weights = self.self_attn(
            self.input_layernorm(x_BTC), rotation, attention_mask, past_key_values, cache_position, output_attentions
        )
        x_BTC = x_BTC + attended * self.residual_multiplier
        return x_BTC + self.mlp(self.post_attention_layernorm(x_BTC)) * self.residual_multiplier, weights


class GraniteModel(DecoderModel, GranitePreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: GraniteConfig, layer_idx: int) -> nn.Module:
        bias = config.attention_bias
        return GraniteDecoderLayer(
            DecoderAttention(config, layer_idx, qkv_bias=bias, out_bias=bias, scaling=config.attention_multiplier),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias),
            self.build_norm(config),
            self.build_norm(config),
            factor=config.residual_multiplier,
        )

    def build_norm(self, config: GraniteConfig) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    def scale_inputs(self, x_BTC: Tensor) -> Tensor:
        return x_BTC * self.config.embedding_multiplier


class GraniteForCausalLM(CausalLM, GranitePreTrainedModel, GenerationMixin):
    """Granite with next-token logits."""

    body_class = GraniteModel

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        return self.lm_head(hidden_BTC) / self.config.logits_scaling
