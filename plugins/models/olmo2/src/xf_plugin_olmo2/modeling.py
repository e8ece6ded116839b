"""OLMo 2 (arXiv:2501.00656): norms after each block, queries and keys normed over all heads at once.

Shapes: B batch, T tokens, C width.
"""

from __future__ import annotations

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention
from xf_blocks.decoder_heads import CausalLM
from xf_blocks.decoder_layer import PostNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_generation.mixin import GenerationMixin

from .configuration import Olmo2Config


class Olmo2PreTrainedModel(PreTrainedModel):
    """What all Olmo2 models declare."""

    config_class = Olmo2Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True)


class Olmo2Attention(DecoderAttention):
    """The norm of queries and keys spans all heads."""

    def __init__(self, config: Olmo2Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx, qkv_bias=config.attention_bias, out_bias=config.attention_bias)
        self.q_norm = RMSNorm(self.q_proj.out_features, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.k_proj.out_features, config.rms_norm_eps)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = (*x_BTC.shape[:-1], -1, self.head_dim)
        return (
            self.q_norm(self.q_proj(x_BTC)).view(heads).transpose(1, 2),
            self.k_norm(self.k_proj(x_BTC)).view(heads).transpose(1, 2),
            self.v_proj(x_BTC).view(heads).transpose(1, 2),
        )


class Olmo2Model(DecoderModel, Olmo2PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: Olmo2Config, layer_idx: int) -> nn.Module:
        return PostNormLayer(
            Olmo2Attention(config, layer_idx),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: Olmo2Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class Olmo2ForCausalLM(CausalLM, Olmo2PreTrainedModel, GenerationMixin):
    """OLMo 2 with next-token logits."""

    body_class = Olmo2Model
