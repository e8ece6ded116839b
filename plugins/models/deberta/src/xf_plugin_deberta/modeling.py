"""DeBERTa (arXiv:2006.03654) and its heads: see `xf_blocks.disentangled`.

Shapes: B batch, T tokens, H heads, D head width, P distances, C width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.model import PreTrainedModel
from xf_blocks.disentangled import DisentangledEncoder, DisentangledModel, DisentangledSelfAttention
from xf_blocks.disentangled_heads import (
    DisentangledForMaskedLM,
    DisentangledForQuestionAnswering,
    DisentangledForSequenceClassification,
    DisentangledForTokenClassification,
)

from .configuration import DebertaConfig


class SelfAttention(DisentangledSelfAttention):
    """One projection for query, key and value (head by head), which have no bias but q_bias and v_bias."""

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        if self.relative_attention and self.c2p:
            self.pos_proj = nn.Linear(width, width, bias=False)
        if self.relative_attention and self.p2c:
            self.pos_q_proj = nn.Linear(width, width)

    def content(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        joined = self.in_proj(x_BTC).view(*x_BTC.shape[:2], self.num_attention_heads, 3 * self.head_size)
        q_BHTD, k_BHTD, v_BHTD = joined.transpose(1, 2).chunk(3, dim=-1)
        q_bias_H1D, v_bias_H1D = (bias.view(self.num_attention_heads, 1, -1) for bias in (self.q_bias, self.v_bias))
        return q_BHTD + q_bias_H1D, k_BHTD, v_BHTD + v_bias_H1D

    def positions(self, vectors_PC: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (
            self.heads(self.pos_proj(vectors_PC)) if self.c2p else None,
            self.heads(self.pos_q_proj(vectors_PC)) if self.p2c else None,
        )


class DebertaEncoder(DisentangledEncoder):
    """Layers that share one vector for each distance from -max_relative_positions up."""

    attention_class = SelfAttention

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__(config)
        if config.relative_attention:
            self.rel_embeddings = nn.Embedding(2 * self.max_relative_positions, config.hidden_size)

    def distances(self, length: int, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        if not self.relative_attention:
            return None, None
        span = min(length, self.max_relative_positions)
        place_T = torch.arange(length, device=device)
        index_TT = (place_T[:, None] - place_T[None] + span).clamp(0, 2 * span - 1)
        middle = self.max_relative_positions
        return self.rel_embeddings.weight[middle - span : middle + span], index_TT


class DebertaPreTrainedModel(PreTrainedModel):
    """What all DeBERTa models declare."""

    config_class = DebertaConfig
    base_model_prefix = "deberta"
    # what published files hold besides: positions that a model without them does not read, heads of the pretraining
    ignore_unexpected: ClassVar = (
        "*embeddings.position_ids",
        "*embeddings.position_embeddings.weight",
        "lm_predictions.*",
        "mask_predictions.*",
    )


class DebertaModel(DisentangledModel, DebertaPreTrainedModel):
    """The encoder."""

    encoder_class = DebertaEncoder


class DebertaForMaskedLM(DisentangledForMaskedLM, DebertaPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = DebertaModel


class DebertaForSequenceClassification(DisentangledForSequenceClassification, DebertaPreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = DebertaModel


class DebertaForTokenClassification(DisentangledForTokenClassification, DebertaPreTrainedModel):
    """Classifies each token."""

    body_class = DebertaModel


class DebertaForQuestionAnswering(DisentangledForQuestionAnswering, DebertaPreTrainedModel):
    """Marks the span of an answer."""

    body_class = DebertaModel
