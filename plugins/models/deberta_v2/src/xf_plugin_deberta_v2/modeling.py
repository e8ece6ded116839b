"""DeBERTa-v2 and v3 (arXiv:2006.03654, arXiv:2111.09543) and their heads: see `xf_blocks.disentangled`.

Shapes: B batch, T tokens, H heads, D head width, P distances, C width.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.model import PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.disentangled import DisentangledEncoder, DisentangledModel, DisentangledSelfAttention
from xf_blocks.disentangled_heads import (
    DisentangledForMaskedLM,
    DisentangledForMultipleChoice,
    DisentangledForQuestionAnswering,
    DisentangledForSequenceClassification,
    DisentangledForTokenClassification,
)

from .configuration import DebertaV2Config


class SelfAttention(DisentangledSelfAttention):
    """Query, key and value; positions have projections of their own unless config.share_att_key."""

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.query_proj = nn.Linear(width, width)
        self.key_proj = nn.Linear(width, width)
        self.value_proj = nn.Linear(width, width)
        shared = getattr(config, "share_att_key", False)
        if self.relative_attention and self.c2p and not shared:
            self.pos_key_proj = nn.Linear(width, width)
        if self.relative_attention and self.p2c and not shared:
            self.pos_query_proj = nn.Linear(width, width)
        self.position_names = ("key_proj", "query_proj") if shared else ("pos_key_proj", "pos_query_proj")

    def content(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.heads(self.query_proj(x_BTC)),
            self.heads(self.key_proj(x_BTC)),
            self.heads(self.value_proj(x_BTC)),
        )

    def positions(self, vectors_PC: Tensor) -> tuple[Tensor | None, Tensor | None]:
        key, query = self.position_names
        return (
            self.heads(getattr(self, key)(vectors_PC)) if self.c2p else None,
            self.heads(getattr(self, query)(vectors_PC)) if self.p2c else None,
        )


class ConvLayer(nn.Module):
    """LayerNorm(layer(x) + act(dropout(conv(x)))); padding is zero (n-gram induced input encoding)."""

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__()
        size = config.conv_kernel_size
        self.conv = nn.Conv1d(
            config.hidden_size,
            config.hidden_size,
            size,
            padding=(size - 1) // 2,
            groups=getattr(config, "conv_groups", 1),
        )
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.activation = get_activation(getattr(config, "conv_act", "tanh"))

    def forward(self, first_BTC: Tensor, x_BTC: Tensor, is_token_BT: Tensor | None) -> Tensor:
        """first_BTC: what the layer read; x_BTC: what it made of it."""
        around_BTC = self.conv(first_BTC.transpose(1, 2)).transpose(1, 2)
        if is_token_BT is None:
            return self.LayerNorm(x_BTC + self.activation(self.dropout(around_BTC)))
        around_BTC = around_BTC.masked_fill(~is_token_BT[..., None], 0)
        out_BTC = self.LayerNorm(x_BTC + self.activation(self.dropout(around_BTC)))
        return out_BTC * is_token_BT[..., None].to(out_BTC.dtype)


def log_buckets(distance: Tensor, buckets: int, max_position: int) -> Tensor:
    """Distances up to half of `buckets` as they are; those beyond, up to max_position, grow logarithmically."""
    half = buckets // 2
    size = distance.abs().clamp(min=half - 1 if half > 1 else 1).float()
    growth = torch.log(size / half) / math.log((max_position - 1) / half)
    wide = torch.ceil(growth * (half - 1)) + half
    return torch.where(distance.abs() <= half, distance, (wide * distance.sign()).long())


class DebertaV2Encoder(DisentangledEncoder):
    """Layers that share a vector for each (bucket of) distance, and a convolution beside the first layer."""

    attention_class = SelfAttention

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.buckets = getattr(config, "position_buckets", -1)
        if config.relative_attention:
            self.span = self.buckets if self.buckets > 0 else self.max_relative_positions
            self.rel_embeddings = nn.Embedding(2 * self.span, config.hidden_size)
        self.norms_vectors = "layer_norm" in getattr(config, "norm_rel_ebd", "none").lower()
        if self.norms_vectors:
            self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.has_conv = getattr(config, "conv_kernel_size", 0) > 0
        if self.has_conv:
            self.conv = ConvLayer(config)

    def distances(self, length: int, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        if not self.relative_attention:
            return None, None
        place_T = torch.arange(length, device=device)
        distance_TT = place_T[:, None] - place_T[None]
        if self.buckets > 0:
            distance_TT = log_buckets(distance_TT, self.buckets, self.max_relative_positions)
        vectors_PC = self.rel_embeddings.weight
        if self.norms_vectors:
            vectors_PC = self.LayerNorm(vectors_PC)
        return vectors_PC, (distance_TT + self.span).clamp(0, 2 * self.span - 1)

    def after_layer(self, index: int, x_BTC: Tensor, first_BTC: Tensor, is_token_BT: Tensor | None) -> Tensor:
        return self.conv(first_BTC, x_BTC, is_token_BT) if self.has_conv and index == 0 else x_BTC


class DebertaV2PreTrainedModel(PreTrainedModel):
    """What all DeBERTa-v2 (and v3) models declare."""

    config_class = DebertaV2Config
    base_model_prefix = "deberta"
    # what published files hold besides: positions that a model without them does not read, heads of the pretraining
    ignore_unexpected: ClassVar = (
        "*embeddings.position_ids",
        "*embeddings.position_embeddings.weight",
        "lm_predictions.*",
        "mask_predictions.*",
    )


class DebertaV2Model(DisentangledModel, DebertaV2PreTrainedModel):
    """The encoder."""

    encoder_class = DebertaV2Encoder


class DebertaV2ForMaskedLM(DisentangledForMaskedLM, DebertaV2PreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = DebertaV2Model


class DebertaV2ForSequenceClassification(DisentangledForSequenceClassification, DebertaV2PreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = DebertaV2Model


class DebertaV2ForTokenClassification(DisentangledForTokenClassification, DebertaV2PreTrainedModel):
    """Classifies each token."""

    body_class = DebertaV2Model


class DebertaV2ForQuestionAnswering(DisentangledForQuestionAnswering, DebertaV2PreTrainedModel):
    """Marks the span of an answer."""

    body_class = DebertaV2Model


class DebertaV2ForMultipleChoice(DisentangledForMultipleChoice, DebertaV2PreTrainedModel):
    """Scores each of several continuations."""

    body_class = DebertaV2Model
