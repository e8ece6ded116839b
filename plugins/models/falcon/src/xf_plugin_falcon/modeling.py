"""Falcon (arXiv:2311.16867): few key-value heads, parallel branches, rotation or ALiBi.

Shapes: B batch, T new tokens, K tokens so far, H heads, G key-value heads, D head width, C model width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.cache import Cache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.attention_bias import alibi_positions, alibi_slopes, mask_with_bias
from xf_blocks.decoder_classic import ClassicAttention, ClassicDecoderModel, scores_bias
from xf_blocks.decoder_heads import (
    CausalLM,
    DecoderForQuestionAnswering,
    DecoderForSequenceClassification,
    DecoderForTokenClassification,
)
from xf_blocks.decoder_model import turn
from xf_blocks.rotary import RotaryEmbedding, Rotation, rotate
from xf_generation.mixin import GenerationMixin

from .configuration import FalconConfig


class FalconPreTrainedModel(PreTrainedModel):
    """What all Falcon models declare."""

    config_class = FalconConfig
    base_model_prefix = "transformer"
    attention_needs = AttentionNeeds(grouped_heads=True)

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return AttentionNeeds(grouped_heads=True, additive_bias=config.alibi)


class FalconAttention(ClassicAttention):
    """One matrix for queries, keys and values: by groups of heads, queries first, or head by head."""

    def __init__(self, config: FalconConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx, config.head_dim, dropout=config.attention_dropout)
        heads, groups = config.num_attention_heads, config.num_key_value_heads
        self.num_key_value_groups = heads // groups
        self.query_key_value = nn.Linear(config.hidden_size, (heads + 2 * groups) * self.head_dim, bias=config.bias)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.bias)

    def project(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        together = (-1, self.num_key_value_groups + 2, self.head_dim)  # of each group: its queries, its key, its value
        heads_BTGHD = self.query_key_value(x_BTC).unflatten(-1, together)
        q_BTHD = heads_BTGHD[..., :-2, :].flatten(2, 3)
        k_BTGD, v_BTGD = heads_BTGHD[..., -2, :], heads_BTGHD[..., -1, :]
        return q_BTHD.transpose(1, 2), k_BTGD.transpose(1, 2), v_BTGD.transpose(1, 2)

    def rotate(self, q_BHTD: Tensor, k_BGTD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        return rotate(q_BHTD, rotation), rotate(k_BGTD, rotation)

    def output(self, attended_BTC: Tensor) -> Tensor:
        return self.dense(attended_BTC)


class FalconMLP(nn.Module):
    """dense_4h_to_h(act(dense_h_to_4h(x)))."""

    def __init__(self, config: FalconConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.ffn_hidden_size, bias=config.bias)
        self.act = get_activation(config.activation)
        self.dense_4h_to_h = nn.Linear(config.ffn_hidden_size, config.hidden_size, bias=config.bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.dense_4h_to_h(self.act(self.dense_h_to_4h(x_BTC)))


class FalconDecoderLayer(GradientCheckpointingLayer):
    """Attention and feed-forward block side by side, on one norm or on one each; or one after the other."""

    def __init__(self, config: FalconConfig, layer_idx: int) -> None:
        super().__init__()
        self.hidden_dropout = config.hidden_dropout
        self.self_attention = FalconAttention(config, layer_idx)
        self.mlp = FalconMLP(config)
        self.parallel = config.parallel_attn or config.new_decoder_architecture
        norms = config.num_ln_in_parallel_attn if config.num_ln_in_parallel_attn is not None else 2
        self.two_norms = config.new_decoder_architecture and norms == 2
        names = ("ln_attn", "ln_mlp") if self.two_norms else ("input_layernorm", "post_attention_layernorm")
        for name in names[:1] if self.parallel and not self.two_norms else names:
            setattr(self, name, nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon))

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
        normed = self.ln_attn(x_BTC) if self.two_norms else self.input_layernorm(x_BTC)
        attended, weights = self.self_attention(
            normed, rotation, attention_mask, past_key_values, cache_position, output_attentions, head_mask
        )
        if self.parallel:
            inner = self.mlp(self.ln_mlp(x_BTC) if self.two_norms else normed) + attended
        else:
            x_BTC = x_BTC + F.dropout(attended, self.hidden_dropout, self.training)
            inner = self.mlp(self.post_attention_layernorm(x_BTC))
        return x_BTC + F.dropout(inner, self.hidden_dropout, self.training), weights


class FalconModel(ClassicDecoderModel, FalconPreTrainedModel):
    """Token embeddings, layers, a last norm."""

    embeddings_name = "word_embeddings"

    def build_extra(self, config: FalconConfig) -> None:
        self.rotary_emb = None if config.alibi else RotaryEmbedding(config)

    def build_layer(self, config: FalconConfig, layer_idx: int) -> nn.Module:
        return FalconDecoderLayer(config, layer_idx)

    def rotation(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Rotation | None:
        return None if self.rotary_emb is None else turn(self.rotary_emb, x_BTC, position_ids, start)

    def bias_mask(self, mask: Any, x_BTC: Tensor, attention_mask: Any, start: int) -> Any:
        if not self.config.alibi:
            return mask
        # Rounded to bfloat16 and divided by the root of the width, as the scores are: what a default run computes.
        slopes_H = alibi_slopes(self.config.num_attention_heads).bfloat16().to(x_BTC.device)
        positions_BK = alibi_positions(attention_mask, start, x_BTC.shape[1]).to(x_BTC.device)
        bias = scores_bias(slopes_H, positions_BK, mask, x_BTC.shape[1]).to(x_BTC.dtype)
        return mask_with_bias(mask, bias * self.config.head_dim**-0.5, is_causal=True)


class FalconForCausalLM(CausalLM, FalconPreTrainedModel, GenerationMixin):
    """Falcon with next-token logits."""

    body_class = FalconModel
    tied_weights: ClassVar = {"lm_head.weight": "transformer.word_embeddings.weight"}


class FalconForSequenceClassification(DecoderForSequenceClassification, FalconPreTrainedModel):
    """Falcon that classifies a sequence by its last token."""

    body_class = FalconModel


class FalconForTokenClassification(DecoderForTokenClassification, FalconPreTrainedModel):
    """Falcon that classifies each token."""

    body_class = FalconModel
    head_name = "classifier"


class FalconForQuestionAnswering(DecoderForQuestionAnswering, FalconPreTrainedModel):
    """Falcon that marks the span of an answer."""

    body_class = FalconModel
