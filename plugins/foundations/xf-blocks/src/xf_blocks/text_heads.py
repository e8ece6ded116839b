"""Heads of text encoders whose forward takes BERT's inputs: class of a sequence, of each token, answer span, choices.

A family subclasses one together with its own PreTrainedModel and names its body; `classify` is what differs. A family
whose forward takes other inputs writes that forward, and lets `answer` make the output of it.

    class BertForTokenClassification(TextForTokenClassification, BertPreTrainedModel):
        body_class = BertModel

Shapes: B batch, T tokens, N labels, C width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import (
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from .losses import classification_loss, cross_entropy, question_answering_loss, token_loss
from .text_model import text_attention_needs


class TextModelWithHead(PreTrainedModel):
    """A body of `body_class` under `base_model_prefix`, with a pooler where the head reads one, and a head."""

    body_class: ClassVar[type[PreTrainedModel]]
    needs_pooler: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        setattr(self, self.base_model_prefix, self.build_body(config))
        self.build_head(config)
        self.post_init()

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return text_attention_needs(config)

    def build_body(self, config: Any) -> PreTrainedModel:
        """Create the body."""
        return self.body_class(config, add_pooling_layer=self.needs_pooler)

    def build_head(self, config: Any) -> None:
        """Create the head's modules: here dropout and a linear classifier."""
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)


def classifier_dropout(config: Any) -> float:
    """config.classifier_dropout, or hidden_dropout_prob where it is not set or a family does not have it."""
    rate = getattr(config, "classifier_dropout", None)
    return config.hidden_dropout_prob if rate is None else rate


class TextForSequenceClassification(TextModelWithHead):
    """Scores (B, N) from the pooled state."""

    needs_pooler = True

    def classify(self, outputs: Any) -> Tensor:
        """The body's outputs -> (B, N)."""
        return self.classifier(self.dropout(outputs.pooler_output))

    def answer(self, outputs: Any, labels: Tensor | None) -> SequenceClassifierOutput:
        """The body's outputs and labels -> scores and loss."""
        logits_BN = self.classify(outputs)
        return SequenceClassifierOutput(
            loss=None if labels is None else classification_loss(logits_BN, labels, self.config),
            logits=logits_BN,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

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
    ) -> SequenceClassifierOutput:
        """As the body, and: labels (B,) classes or values, (B, N) for several; see `losses.classification_loss`."""
        outputs = self.base_model(
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
        return self.answer(outputs, labels)


class TextForTokenClassification(TextModelWithHead):
    """Scores (B, T, N) for every token."""

    def answer(self, outputs: Any, labels: Tensor | None) -> TokenClassifierOutput:
        """The body's outputs and labels -> scores and loss."""
        logits_BTN = self.classifier(self.dropout(outputs.last_hidden_state))
        return TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits_BTN, labels),
            logits=logits_BTN,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

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
    ) -> TokenClassifierOutput:
        """As the body, and: labels (B, T), -100 where there is no loss."""
        outputs = self.base_model(
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
        return self.answer(outputs, labels)


class TextForQuestionAnswering(TextModelWithHead):
    """Scores of each token as start and end of the answer, (B, T) each."""

    def build_head(self, config: Any) -> None:
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)

    def answer(
        self, outputs: Any, start_positions: Tensor | None, end_positions: Tensor | None
    ) -> QuestionAnsweringModelOutput:
        """The body's outputs and the right span -> scores and loss."""
        start_BT, end_BT = self.qa_outputs(outputs.last_hidden_state).unbind(-1)
        start_BT, end_BT = start_BT.contiguous(), end_BT.contiguous()
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start_BT, end_BT, start_positions, end_positions)
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_BT,
            end_logits=end_BT,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> QuestionAnsweringModelOutput:
        """As the body, and: start_positions, end_positions (B,); positions outside of the text give no loss."""
        outputs = self.base_model(
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
        return self.answer(outputs, start_positions, end_positions)


class TextForMultipleChoice(TextModelWithHead):
    """One score for each choice: inputs (B, choices, T), logits (B, choices)."""

    needs_pooler = True

    def build_head(self, config: Any) -> None:
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, 1)

    def classify(self, outputs: Any) -> Tensor:
        """The body's outputs -> (B * choices, 1)."""
        return self.classifier(self.dropout(outputs.pooler_output))

    def answer(self, outputs: Any, choices: int, labels: Tensor | None) -> MultipleChoiceModelOutput:
        """The body's outputs for B * choices rows, and labels -> scores and loss."""
        logits = self.classify(outputs).view(-1, choices)
        return MultipleChoiceModelOutput(
            loss=None if labels is None else cross_entropy(logits, labels),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

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
    ) -> MultipleChoiceModelOutput:
        """As the body with one dimension more, and: labels (B,), the right choice."""
        first = input_ids if input_ids is not None else inputs_embeds
        if first is None:
            raise ValueError(f"{type(self).__name__} needs exactly one of input_ids and inputs_embeds.")
        choices = first.shape[1]
        outputs = self.base_model(
            rows(input_ids),
            attention_mask=rows(attention_mask),
            token_type_ids=rows(token_type_ids),
            position_ids=rows(position_ids),
            head_mask=head_mask,
            inputs_embeds=rows(inputs_embeds),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        return self.answer(outputs, choices, labels)


def rows(x: Tensor | None) -> Tensor | None:
    """(B, choices, ...) -> (B * choices, ...)."""
    return None if x is None else x.flatten(0, 1)
