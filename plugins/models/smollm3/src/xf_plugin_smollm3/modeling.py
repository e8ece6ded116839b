"""SmolLM3: a pre-norm decoder in which some layers have no rotary positions (arXiv:2501.18795, section 4).

Shapes: B batch, T tokens, H heads, G key-value heads, D head width.
"""

from __future__ import annotations

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel
from xf_blocks.decoder_attention import DecoderAttention, window_options
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_layer import PreNormLayer
from xf_blocks.decoder_model import DecoderModel
from xf_blocks.mlp import GatedMLP
from xf_blocks.norms import RMSNorm
from xf_blocks.rotary import Rotation
from xf_generation.mixin import GenerationMixin

from .configuration import SmolLM3Config


class SmolLM3PreTrainedModel(PreTrainedModel):
    """What all SmolLM3 models declare."""

    config_class = SmolLM3Config
    base_model_prefix = "model"
    attention_needs = AttentionNeeds(grouped_heads=True, sliding_window=True)


class SmolLM3AttentionWithoutPositions(DecoderAttention):
    """Queries and keys as they are."""

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return q_BHTD, k_BGTD


class SmolLM3Model(DecoderModel, SmolLM3PreTrainedModel):
    """Token embeddings, layers, a last norm."""

    def build_layer(self, config: SmolLM3Config, layer_idx: int) -> nn.Module:
        attention = DecoderAttention if config.no_rope_layers[layer_idx] else SmolLM3AttentionWithoutPositions
        bias, options = config.attention_bias, window_options(config, layer_idx)
        return PreNormLayer(
            attention(config, layer_idx, qkv_bias=bias, out_bias=bias, kernel_options=options),
            GatedMLP(config.hidden_size, config.intermediate_size, config.hidden_act, config.mlp_bias),
            self.build_norm(config),
            self.build_norm(config),
        )

    def build_norm(self, config: SmolLM3Config) -> nn.Module:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)


class SmolLM3ForCausalLM(CausalLM, SmolLM3PreTrainedModel, GenerationMixin):
    """SmolLM3 with next-token logits."""

    body_class = SmolLM3Model


class SmolLM3ForSequenceClassification(DecoderForSequenceClassification, SmolLM3PreTrainedModel):
    """SmolLM3 that classifies a sequence by its last token."""

    body_class = SmolLM3Model


class SmolLM3ForTokenClassification(DecoderForTokenClassification, SmolLM3PreTrainedModel):
    """SmolLM3 that classifies each token."""

    body_class = SmolLM3Model


class SmolLM3ForQuestionAnswering(DecoderForQuestionAnswering, SmolLM3PreTrainedModel):
    """SmolLM3 that marks the span of an answer."""

    base_model_prefix = "transformer"  # the name in its checkpoints
    body_class = SmolLM3Model
