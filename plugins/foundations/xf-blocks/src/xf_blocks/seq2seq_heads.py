"""Heads of encoder-decoders in the layout of BART: text to text, class of a text, answer span.

A family subclasses one together with its own PreTrainedModel and names its body:

    class BartForSequenceClassification(Seq2SeqForSequenceClassification, BartPreTrainedModel):
        body_class = BartModel

Shapes: B batch, T tokens, S tokens of the encoder, C width, V vocabulary, N labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import (
    Seq2SeqLMOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
)

from .losses import classification_loss, question_answering_loss, token_loss
from .seq2seq_model import LEFTOVERS, LM_WEIGHTS, Seq2SeqModel, Seq2SeqPreTrainedModel


def without_last(outputs: Any) -> dict[str, Any]:
    """The body's outputs that a head hands on."""
    return {name: value for name, value in outputs.items() if name != "last_hidden_state"}


class Seq2SeqWithHead(Seq2SeqPreTrainedModel):
    """A body of `body_class` under `base_model_prefix`, and a head."""

    body_class: ClassVar[type[Seq2SeqModel]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.body_class(self.config))
        self.build_head(config)
        self.post_init()

    @property
    def body(self) -> Seq2SeqModel:
        """The encoder-decoder without its head."""
        return getattr(self, self.base_model_prefix)

    def build_head(self, config: Any) -> None:
        """Create the head's modules."""
        raise NotImplementedError(f"{type(self).__name__} has to build its head")

    def get_encoder(self) -> nn.Module:
        """The encoder."""
        return self.body.get_encoder()

    def get_decoder(self) -> nn.Module:
        """The decoder."""
        return self.body.get_decoder()


class Seq2SeqForConditionalGeneration(Seq2SeqWithHead):
    """Next-token logits of the decoder; families mix in GenerationMixin."""

    output_class: ClassVar[Any] = Seq2SeqLMOutput
    tied_weights: ClassVar = {"lm_head.weight": "model.shared.weight"}
    allow_missing: ClassVar = ("final_logits_bias",)  # zeros that early checkpoints leave out

    final_logits_bias: Tensor

    def build_head(self, config: Any) -> None:
        self.register_buffer("final_logits_bias", torch.zeros(1, config.vocab_size))
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def logits(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.lm_head(x_BTC) + self.final_logits_bias.to(x_BTC.device)

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        old = self.final_logits_bias
        self.final_logits_bias = F.pad(old, (0, size - old.shape[1]))  # crops where the size is smaller

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Decoder inputs (B, T) for labels (B, T)."""
        return self.shift_labels(labels)

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
        """As the body, and: labels (B, T), -100 where there is no loss; the decoder's inputs are made from them.

        The loss is divided by the labels that count, or by num_items_in_batch.
        """
        if labels is not None:
            use_cache = False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.shift_labels(labels)
        outputs = self.body(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        return self.answer(outputs, labels, num_items_in_batch)

    def answer(self, outputs: Any, labels: Tensor | None, num_items_in_batch: Any = None) -> Seq2SeqLMOutput:
        """The body's outputs and labels -> logits and loss."""
        logits_BTV = self.logits(outputs.last_hidden_state)
        return self.output_class(
            loss=None if labels is None else token_loss(logits_BTV, labels, num_items_in_batch),
            logits=logits_BTV,
            **without_last(outputs),
        )


class Seq2SeqClassificationHead(nn.Module):
    """out_proj(tanh(dense(x))), each after dropout."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(width, labels)

    def forward(self, x_BC: Tensor) -> Tensor:
        """(B, C) -> (B, N)."""
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(x_BC)))))


def last_end_places(input_ids_BS: Tensor, eos_token_id: int) -> Tensor:
    """(B,): where the last end token of each row is.

    Raises: ValueError if rows have different numbers of end tokens, or none.
    """
    ends_BS = input_ids_BS.eq(eos_token_id)
    counts_B = ends_BS.sum(1)
    if len(counts_B.unique()) > 1 or int(counts_B[0]) == 0:
        raise ValueError(f"Every row needs the same number of end tokens, at least one; here are {counts_B.tolist()}.")
    return ends_BS.long().cumsum(1).argmax(1)


class Seq2SeqForSequenceClassification(Seq2SeqWithHead):
    """Classifies a text by the decoder's state at its last end token (arXiv:1910.13461, section 3.1)."""

    output_class: ClassVar[Any] = Seq2SeqSequenceClassifierOutput
    ignore_unexpected: ClassVar = (*LEFTOVERS, *LM_WEIGHTS)

    def build_head(self, config: Any) -> None:
        self.classification_head = Seq2SeqClassificationHead(
            config.d_model, config.num_labels, config.classifier_dropout
        )

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
        """As the body, and: labels (B,) classes or values, (B, N) for several; the decoder reads input_ids by default.

        Raises: ValueError if rows have different numbers of end tokens; NotImplementedError for inputs_embeds alone,
        which do not show where the end is.
        """
        self.check_ids(input_ids)
        outputs = self.body(
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
        return self.answer(outputs, input_ids, labels)

    def check_ids(self, input_ids: Tensor | None) -> None:
        """Raises: NotImplementedError where there are no ids to find the end token in."""
        if input_ids is None:
            raise NotImplementedError(f"{type(self).__name__} needs input_ids: it reads the state at their end token.")

    def answer(self, outputs: Any, input_ids: Any, labels: Tensor | None) -> Seq2SeqSequenceClassifierOutput:
        """The body's outputs and labels -> scores and loss."""
        places_B = last_end_places(input_ids, self.config.eos_token_id)
        x_BTC = outputs.last_hidden_state
        logits_BN = self.classification_head(x_BTC[torch.arange(len(places_B), device=x_BTC.device), places_B])
        return self.output_class(
            loss=None if labels is None else classification_loss(logits_BN, labels, self.config),
            logits=logits_BN,
            **without_last(outputs),
        )


class Seq2SeqForQuestionAnswering(Seq2SeqWithHead):
    """Marks the span of an answer in the decoder's text, which is the encoder's by default."""

    output_class: ClassVar[Any] = Seq2SeqQuestionAnsweringModelOutput
    ignore_unexpected: ClassVar = (*LEFTOVERS, *LM_WEIGHTS)

    def __init__(self, config: Any) -> None:
        config.num_labels = 2  # start and end
        super().__init__(config)

    def build_head(self, config: Any) -> None:
        self.num_labels = config.num_labels
        self.qa_outputs = nn.Linear(config.d_model, config.num_labels)

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
        """As the body, and: start_positions, end_positions (B,); positions outside of the text give no loss."""
        training = start_positions is not None and end_positions is not None
        outputs = self.body(
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
            use_cache=False if training else use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        return self.answer(outputs, start_positions, end_positions)

    def answer(
        self, outputs: Any, start_positions: Tensor | None, end_positions: Tensor | None
    ) -> Seq2SeqQuestionAnsweringModelOutput:
        """The body's outputs and the right span -> scores and loss."""
        start_BT, end_BT = (scores.contiguous() for scores in self.qa_outputs(outputs.last_hidden_state).unbind(-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = question_answering_loss(start_BT, end_BT, start_positions, end_positions)
        return self.output_class(loss=loss, start_logits=start_BT, end_logits=end_BT, **without_last(outputs))
