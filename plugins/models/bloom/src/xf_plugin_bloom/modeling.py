"""BLOOM (arXiv:2211.05100): a pre-norm decoder whose scores fall with distance (ALiBi, arXiv:2108.12409).

Shapes: B batch, T new tokens, K tokens so far, H heads, D head width, C model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel
from xf_blocks.attention_bias import alibi_positions, alibi_slopes, mask_with_bias
from xf_blocks.decoder_classic import ClassicAttention, ClassicDecoderModel, scores_bias
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.rotary import Rotation
from xf_generation.mixin import GenerationMixin

from .configuration import BloomConfig


class BloomPreTrainedModel(PreTrainedModel):
    """What all BLOOM models declare."""

    config_class = BloomConfig
    base_model_prefix = "transformer"
    attention_needs = AttentionNeeds(additive_bias=True)


class BloomAttention(ClassicAttention):
    """One matrix for queries, keys and values, interleaved head by head."""

    def __init__(self, config: BloomConfig, layer_idx: int) -> None:
        width = config.hidden_size
        super().__init__(config, layer_idx, width // config.n_head, dropout=config.attention_dropout)
        self.hidden_dropout = config.hidden_dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_BTHD, k_BTHD, v_BTHD = self.query_key_value(x_BTC).unflatten(-1, (-1, 3, self.head_dim)).unbind(-2)
        return q_BTHD.transpose(1, 2), k_BTHD.transpose(1, 2), v_BTHD.transpose(1, 2)

    def output(self, attended_BTC: Tensor) -> Tensor:
        return F.dropout(self.dense(attended_BTC), self.hidden_dropout, self.training)


class BloomMLP(nn.Module):
    """dense_4h_to_h(gelu(dense_h_to_4h(x))) and dropout; gelu in its tanh form."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.hidden_dropout = config.hidden_dropout
        self.dense_h_to_4h = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.dense_4h_to_h = nn.Linear(4 * config.hidden_size, config.hidden_size)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        inner = self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x_BTC), approximate="tanh"))
        return F.dropout(inner, self.hidden_dropout, self.training)


class BloomBlock(GradientCheckpointingLayer):
    """x += attention(norm(x)); x += mlp(norm(x)); or each sum from the normed states."""

    def __init__(self, config: BloomConfig, layer_idx: int) -> None:
        super().__init__()
        self.from_normed = config.apply_residual_connection_post_layernorm
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.self_attention = BloomAttention(config, layer_idx)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.mlp = BloomMLP(config)

    def forward(
        self,
        x_BTC: Tensor,
        rotation: Rotation | None,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """See `xf_blocks.decoder_classic`."""
        normed = self.input_layernorm(x_BTC)
        attended, weights = self.self_attention(
            normed, rotation, attention_mask, past_key_values, cache_position, output_attentions, head_mask
        )
        x_BTC = (normed if self.from_normed else x_BTC) + attended
        normed = self.post_attention_layernorm(x_BTC)
        return (normed if self.from_normed else x_BTC) + self.mlp(normed), weights


class BloomModel(ClassicDecoderModel, BloomPreTrainedModel):
    """Token embeddings and their norm, layers, a last norm."""

    embeddings_name = "word_embeddings"

    def build_extra(self, config: BloomConfig) -> None:
        self.word_embeddings_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)

    def build_layer(self, config: BloomConfig, layer_idx: int) -> nn.Module:
        return BloomBlock(config, layer_idx)

    def embed(self, x_BTC: Tensor, position_ids: Tensor | None, attention_mask: Any, start: int) -> Tensor:
        return self.word_embeddings_layernorm(x_BTC)

    def bias_mask(self, mask: Any, x_BTC: Tensor, attention_mask: Any, start: int) -> Tensor:
        slopes_H = alibi_slopes(self.config.n_head).to(x_BTC)
        positions_BK = alibi_positions(attention_mask, start, x_BTC.shape[1]).to(x_BTC.device)
        return mask_with_bias(mask, scores_bias(slopes_H, positions_BK, mask, x_BTC.shape[1]), is_causal=True)


class BloomForCausalLM(CausalLM, BloomPreTrainedModel, GenerationMixin):
    """BLOOM with next-token logits."""

    body_class = BloomModel
    tied_weights: ClassVar = {"lm_head.weight": "transformer.word_embeddings.weight"}


class BloomForSequenceClassification(DecoderForSequenceClassification, BloomPreTrainedModel):
    """BLOOM that classifies a sequence by its last token."""

    body_class = BloomModel


class BloomForTokenClassification(DecoderForTokenClassification, BloomPreTrainedModel):
    """BLOOM that classifies each token."""

    body_class = BloomModel
    head_name = "classifier"


class BloomForQuestionAnswering(DecoderForQuestionAnswering, BloomPreTrainedModel):
    """BLOOM that marks the span of an answer."""

    body_class = BloomModel
