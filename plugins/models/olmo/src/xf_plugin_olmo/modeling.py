"""OLMo (arXiv:2402.00838): Llama's decoder with norms that learn nothing.

Shapes: B batch, T tokens, H heads, G key-value heads, D head width, C width.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_generation.mixin import GenerationMixin

from .configuration import OlmoConfig


class OlmoPreTrainedModel(PreTrainedModel):
    """What all OLMo models declare."""

    config_class = OlmoConfig
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class OlmoLayerNorm(nn.Module):
    """Layer norm in float32, without scale and shift (section 2.1)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.normalized_shape = (hidden_size,)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return F.layer_norm(x_BTC.float(), self.normalized_shape, eps=1e-5).type_as(x_BTC)  # torch's usual eps


class OlmoAttention(DecoderAttention):
    """Queries, keys and values are kept within a bound, where the config names one."""

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_BHTD, k_BGTD, v_BGTD = super().project(x_BTC)
        bound = self.config.clip_qkv
        if bound is None:
            return q_BHTD, k_BGTD, v_BGTD
        return q_BHTD.clamp(-bound, bound), k_BGTD.clamp(-bound, bound), v_BGTD.clamp(-bound, bound)


class OlmoModel(DecoderModel, OlmoPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: OlmoConfig, layer_idx: int) -> nn.Module:
        bias = config.attention_bias
        return PreNormLayer(
            OlmoAttention(config, layer_idx, qkv_bias=bias, out_bias=bias),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Any) -> nn.Module:
        return OlmoLayerNorm(config.hidden_size)


class OlmoForCausalLM(CausalLM, OlmoPreTrainedModel, GenerationMixin):
    """OLMo with next-token logits."""

    body_class = OlmoModel
