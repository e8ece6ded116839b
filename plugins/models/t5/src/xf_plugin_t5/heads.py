"""Heads of T5: text to text, classes of sequences and tokens, answer spans.

Shapes: B batch, S tokens of the encoder, T tokens of the decoder, C width, V vocabulary, N labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import (
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
    TokenClassifierOutput,
)
from xf_blocks.losses import classification_loss, question_answering_loss, token_loss
from xf_generation.mixin import GenerationMixin

from .configuration import T5Config
from .modeling import _STACKS, T5EncoderDecoder, T5EncoderModel, T5Model, T5PreTrainedModel


class T5ForConditionalGeneration(T5EncoderDecoder, GenerationMixin):
    """T5 with next-token logits of the decoder."""

    tied_weights: ClassVar = {"lm_head.weight": "shared.weight"}
    allow_missing: ClassVar = ("lm_head.weight",)  # begins anew on T5Model's checkpoint, where it is not tied

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.model_dim = config.d_model
        self.build_stacks(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        # a head tied to the embedding, whose rows have unit variance, reads smaller states
        self.head_scale = config.d_model**-0.5 if config.tie_word_embeddings else 1.0
        self.post_init()

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """The decoder's inputs for labels (B, T)."""
        return self._shift_right(labels)

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
        num_items_in_batch: int | Tensor | None = None,
    ) -> Seq2SeqLMOutput:
        """As T5Model, and: labels (B, T), -100 where there is no loss; the decoder's inputs are made from them.

        The loss is divided by the labels that count, or by num_items_in_batch.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._shift_right(labels)
        outputs = self.run_stacks(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "inputs_embeds": inputs_embeds,
                "head_mask": head_mask,
            },
            {
                "input_ids": decoder_input_ids,
                "attention_mask": decoder_attention_mask,
                "inputs_embeds": decoder_inputs_embeds,
                "head_mask": decoder_head_mask,
                "cross_attn_head_mask": cross_attn_head_mask,
                "past_key_values": past_key_values,
                "use_cache": use_cache,
                "cache_position": cache_position,
            },
            encoder_outputs,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits_BTV = self.lm_head(outputs.last_hidden_state * self.head_scale)
        return Seq2SeqLMOutput(
            loss=None if labels is None else token_loss(logits_BTV, labels, num_items_in_batch),
            logits=logits_BTV,
            **_without_last(outputs),
        )


def _without_last(outputs: Seq2SeqModelOutput) -> dict[str, Any]:
    return {name: value for name, value in outputs.items() if name != "last_hidden_state"}


class T5ClassificationHead(nn.Module):
    """out_proj(tanh(dense(x))), each after dropout."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.out_proj = nn.Linear(config.d_model, config.num_labels)

    def forward(self, x_BC: Tensor) -> Tensor:
        """(B, C) -> (B, N)."""
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(x_BC)))))


class T5ForSequenceClassification(T5PreTrainedModel):
    """T5 that classifies a text by the decoder's state at its last end token (arXiv:1910.13461, section 3.1)."""

    ignore_unexpected: ClassVar = (*T5PreTrainedModel.ignore_unexpected, "lm_head.weight")
    body_class: ClassVar[type[T5Model]] = T5Model

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.transformer = self.body_class(config)
        self.classification_head = T5ClassificationHead(config)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Seq2SeqSequenceClassifierOutput:
        """As T5Model, and: labels (B,) classes or values, (B, N) for several; the decoder reads input_ids by default.

        Raises: ValueError if rows have different numbers of end tokens; NotImplementedError for inputs_embeds alone,
        which do not show where the end is.
        """
        if input_ids is None:
            raise NotImplementedError(f"{type(self).__name__} needs input_ids: it reads the state at their end token.")
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._shift_right(input_ids)
        outputs = self.transformer(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoder_outputs,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=False if labels is not None else use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        ends_BS = input_ids.eq(self.config.eos_token_id)
        counts_B = ends_BS.sum(1)
        if len(counts_B.unique()) > 1 or int(counts_B[0]) == 0:
            raise ValueError(
                f"Every row needs the same number of end tokens, at least one; here are {counts_B.tolist()}."
            )
        last_B = ends_BS.long().cumsum(1).argmax(1)
        rows_B = torch.arange(len(last_B), device=last_B.device)
        logits_BN = self.classification_head(outputs.last_hidden_state[rows_B, last_B])
        return Seq2SeqSequenceClassifierOutput(
            loss=None if labels is None else classification_loss(logits_BN, labels, self.config),
            logits=logits_BN,
            **_without_last(outputs),
        )


class T5ForTokenClassification(T5PreTrainedModel):
    """T5's encoder with classes for each token."""

    ignore_unexpected: ClassVar = ("decoder.*", "transformer.decoder.*", "lm_head.weight")
    body_class: ClassVar[type[T5EncoderModel]] = T5EncoderModel

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = self.body_class(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.d_model, config.num_labels)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> TokenClassifierOutput:
        """As T5EncoderModel, and: labels (B, S), -100 where there is no loss."""
        outputs = self.transformer(
            input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits_BSN = self.classifier(self.dropout(outputs.last_hidden_state))
        return TokenClassifierOutput(
            loss=None if labels is None else token_loss(logits_BSN, labels),
            logits=logits_BSN,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class T5ForQuestionAnswering(T5EncoderDecoder):
    """T5 that marks the span of an answer in the decoder's text, which is the encoder's by default."""

    always_tied_weights: ClassVar = _STACKS
    allow_missing: ClassVar = ("qa_outputs.*",)  # begins anew on the checkpoint of another model
    ignore_unexpected: ClassVar = (*T5PreTrainedModel.ignore_unexpected, "lm_head.weight")

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.model_dim, self.num_labels = config.d_model, config.num_labels
        self.build_stacks(config)
        self.qa_outputs = nn.Linear(config.d_model, config.num_labels)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Seq2SeqQuestionAnsweringModelOutput:
        """As T5Model, and: start_positions, end_positions (B,); positions outside of the text give no loss.

        Raises: ValueError if neither the decoder's inputs nor input_ids, of which they are made, are given.
        """
        training = start_positions is not None and end_positions is not None
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if input_ids is None:
                raise ValueError(
                    "Without decoder_input_ids or decoder_inputs_embeds, input_ids are needed to make them."
                )
            decoder_input_ids = self._shift_right(input_ids)
        outputs = self.run_stacks(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "inputs_embeds": inputs_embeds,
                "head_mask": head_mask,
            },
            {
                "input_ids": decoder_input_ids,
                "attention_mask": decoder_attention_mask,
                "inputs_embeds": decoder_inputs_embeds,
                "head_mask": decoder_head_mask,
                "cross_attn_head_mask": cross_attn_head_mask,
                "use_cache": False if training else use_cache,
            },
            encoder_outputs,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        start_BT, end_BT = (logits.contiguous() for logits in self.qa_outputs(outputs.last_hidden_state).unbind(-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start_BT, end_BT, start_positions, end_positions)
        return Seq2SeqQuestionAnsweringModelOutput(
            loss=loss, start_logits=start_BT, end_logits=end_BT, **_without_last(outputs)
        )
