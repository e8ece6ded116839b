"""XLM-RoBERTa (arXiv:1911.02116) and its heads: the layout of RoBERTa, see `xf_blocks.text_roberta`."""

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

from .configuration import XLMRobertaConfig


class XLMRobertaPreTrainedModel(PreTrainedModel):
    """What all XLM-RoBERTa models declare."""

    config_class = XLMRobertaConfig
    base_model_prefix = "roberta"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class XLMRobertaModel(OffsetTextModel, XLMRobertaPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""


class XLMRobertaForCausalLM(OffsetTextForCausalLM, XLMRobertaPreTrainedModel, GenerationMixin):
    """A causal XLM-RoBERTa (config.is_decoder=True) with next-token logits."""

    body_class = XLMRobertaModel


class XLMRobertaForMaskedLM(OffsetTextForMaskedLM, XLMRobertaPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = XLMRobertaModel


class XLMRobertaForSequenceClassification(OffsetTextForSequenceClassification, XLMRobertaPreTrainedModel):
    """Classifies a text by the state of its first token."""

    body_class = XLMRobertaModel


class XLMRobertaForMultipleChoice(TextForMultipleChoice, XLMRobertaPreTrainedModel):
    """Scores each of several continuations."""

    body_class = XLMRobertaModel


class XLMRobertaForTokenClassification(TextForTokenClassification, XLMRobertaPreTrainedModel):
    """Classifies each token."""

    body_class = XLMRobertaModel


class XLMRobertaForQuestionAnswering(TextForQuestionAnswering, XLMRobertaPreTrainedModel):
    """Marks the span of an answer."""

    body_class = XLMRobertaModel
