"""CamemBERT (arXiv:1911.03894) and its heads: the layout of RoBERTa, see `xf_blocks.text_roberta`."""

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

from .configuration import CamembertConfig


class CamembertPreTrainedModel(PreTrainedModel):
    """What all CamemBERT models declare."""

    config_class = CamembertConfig
    base_model_prefix = "roberta"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold


class CamembertModel(OffsetTextModel, CamembertPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""


class CamembertForCausalLM(OffsetTextForCausalLM, CamembertPreTrainedModel, GenerationMixin):
    """A causal CamemBERT (config.is_decoder=True) with next-token logits."""

    body_class = CamembertModel


class CamembertForMaskedLM(OffsetTextForMaskedLM, CamembertPreTrainedModel):
    """Vocabulary scores for every place of a text."""

    body_class = CamembertModel


class CamembertForSequenceClassification(OffsetTextForSequenceClassification, CamembertPreTrainedModel):
    """Classifies a text by the state of its first token."""

    body_class = CamembertModel


class CamembertForMultipleChoice(TextForMultipleChoice, CamembertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = CamembertModel


class CamembertForTokenClassification(TextForTokenClassification, CamembertPreTrainedModel):
    """Classifies each token."""

    body_class = CamembertModel


class CamembertForQuestionAnswering(TextForQuestionAnswering, CamembertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = CamembertModel
