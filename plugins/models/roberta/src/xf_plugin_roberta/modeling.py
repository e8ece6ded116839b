"""RoBERTa (arXiv:1907.11692) and its heads: the layout of RoBERTa, see `xf_blocks.text_roberta`."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.model import PreTrainedModel
from xf_blocks.text_heads import TextForMultipleChoice, TextForQuestionAnswering, TextForTokenClassification
from xf_blocks.text_roberta import (
    OffsetTextForCausalLM,
    OffsetTextForMaskedLM,
    OffsetTextForSequenceClassification,
    OffsetTextModel,
)
from xf_generation.mixin import GenerationMixin

from .configuration import RobertaConfig


class RobertaPreTrainedModel(PreTrainedModel):
    """What all RoBERTa models declare."""

    config_class = RobertaConfig
    base_model_prefix = "roberta"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class RobertaModel(OffsetTextModel, RobertaPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""


class RobertaForCausalLM(OffsetTextForCausalLM, RobertaPreTrainedModel, GenerationMixin):
    """A causal RoBERTa (config.is_decoder=True) with next-token logits."""

    body_class = RobertaModel


class RobertaForMaskedLM(OffsetTextForMaskedLM, RobertaPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = RobertaModel


class RobertaForSequenceClassification(OffsetTextForSequenceClassification, RobertaPreTrainedModel):
    """Classifies a text by the state of its first token."""

    body_class = RobertaModel


class RobertaForMultipleChoice(TextForMultipleChoice, RobertaPreTrainedModel):
    """Scores each of several continuations."""

    body_class = RobertaModel


class RobertaForTokenClassification(TextForTokenClassification, RobertaPreTrainedModel):
    """Classifies each token."""

    body_class = RobertaModel


class RobertaForQuestionAnswering(TextForQuestionAnswering, RobertaPreTrainedModel):
    """Marks the span of an answer."""

    body_class = RobertaModel
