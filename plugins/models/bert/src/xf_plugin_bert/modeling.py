"""BERT (arXiv:1810.04805) and its heads.

Shapes: B batch, T tokens, V vocabulary, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from xf.checkpoint.rules import KeyRule
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import ModelOutput, NextSentencePredictorOutput
from xf_blocks.losses import cross_entropy, token_loss
from xf_blocks.text_cls import ClsHeads, WithClsPredictions
from xf_blocks.text_heads import (
    TextForMultipleChoice,
    TextForQuestionAnswering,
    TextForSequenceClassification,
    TextForTokenClassification,
    TextModelWithHead,
)
from xf_blocks.text_lm import TextForCausalLM, TextForMaskedLM
from xf_blocks.text_model import TextModel
from xf_generation.mixin import GenerationMixin

from .configuration import BertConfig


class BertPreTrainedModel(PreTrainedModel):
    """What all BERT models declare."""

    config_class = BertConfig
    base_model_prefix = "bert"
    ignore_unexpected: ClassVar = ("*embeddings.position_ids",)  # 0, 1, 2 ... that early checkpoints hold
    key_rules: ClassVar = (  # names of checkpoints that were converted from TensorFlow
        KeyRule("*.LayerNorm.gamma", "*.LayerNorm.weight", load_only=True),
        KeyRule("*.LayerNorm.beta", "*.LayerNorm.bias", load_only=True),
    )


class BertModel(TextModel, BertPreTrainedModel):
    """The encoder (or decoder, see `xf_blocks.text_model`), with a pooler unless add_pooling_layer=False."""

    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none


class BertWithPredictions(WithClsPredictions, BertPreTrainedModel):
    """A BERT that scores the vocabulary."""

    body_class = BertModel
    tied_weights: ClassVar = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"}


@dataclass(repr=False)
class BertForPreTrainingOutput(ModelOutput):
    """prediction_logits (B, T, V) and seq_relationship_logits (B, 2): (B follows A, B is random)."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BertForPreTraining(BertWithPredictions):
    """Both pretraining tasks: masked tokens and next sentence."""

    allow_missing: ClassVar = ("cls.seq_relationship.*",)  # a checkpoint of masked tokens alone starts both
    needs_pooler = True

    def build_head(self, config: BertConfig) -> None:
        self.cls = ClsHeads(config, predictions=True, seq_relationship=True)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BertForPreTrainingOutput:
        """As `BertModel`, and: labels (B, T), -100 where there is no loss; next_sentence_label (B,), 0 if it follows.

        The loss, if both are given, is the sum of the two means.
        """
        outputs = self.bert(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits_BTV = self.cls.predictions(outputs.last_hidden_state)
        follows_B2 = self.cls.seq_relationship(outputs.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = token_loss(logits_BTV, labels) + cross_entropy(follows_B2, next_sentence_label.view(-1))
        return BertForPreTrainingOutput(
            loss=loss,
            prediction_logits=logits_BTV,
            seq_relationship_logits=follows_B2,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class BertLMHeadModel(BertWithPredictions, TextForCausalLM, GenerationMixin):
    """A causal BERT (config.is_decoder=True) with next-token logits."""


class BertForMaskedLM(BertWithPredictions, TextForMaskedLM):
    """Vocabulary scores for every place of a text."""


class BertForNextSentencePrediction(TextModelWithHead, BertPreTrainedModel):
    """Whether the second segment follows the first."""

    body_class = BertModel
    needs_pooler = True

    def build_head(self, config: BertConfig) -> None:
        self.cls = ClsHeads(config, seq_relationship=True)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> NextSentencePredictorOutput:
        """As `BertModel`, and: labels (B,), 0 where the second segment follows, 1 where it is random."""
        outputs = self.bert(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits_B2 = self.cls.seq_relationship(outputs.pooler_output)
        return NextSentencePredictorOutput(
            loss=None if labels is None else cross_entropy(logits_B2, labels.view(-1)),
            logits=logits_B2,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class BertForSequenceClassification(TextForSequenceClassification, BertPreTrainedModel):
    """Classifies a text by its pooled first token."""

    body_class = BertModel


class BertForMultipleChoice(TextForMultipleChoice, BertPreTrainedModel):
    """Scores each of several continuations."""

    body_class = BertModel


class BertForTokenClassification(TextForTokenClassification, BertPreTrainedModel):
    """Classifies each token."""

    body_class = BertModel


class BertForQuestionAnswering(TextForQuestionAnswering, BertPreTrainedModel):
    """Marks the span of an answer."""

    body_class = BertModel
