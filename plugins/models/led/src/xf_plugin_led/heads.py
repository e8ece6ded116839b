"""Heads of LED: text to text, class of a text, answer span.

Shapes: B batch, S tokens of the encoder, T tokens of the decoder.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf_blocks.seq2seq_heads import (
    Seq2SeqForConditionalGeneration,
    Seq2SeqForQuestionAnswering,
    Seq2SeqForSequenceClassification,
)
from xf_generation.mixin import GenerationMixin

from .modeling import LEDModel, LEDPreTrainedModel
from .outputs import LEDSeq2SeqLMOutput, LEDSeq2SeqQuestionAnsweringModelOutput, LEDSeq2SeqSequenceClassifierOutput


class LEDForConditionalGeneration(Seq2SeqForConditionalGeneration, LEDPreTrainedModel, GenerationMixin):
    """LED with next-token logits of the decoder."""

    body_class = LEDModel
    output_class = LEDSeq2SeqLMOutput
    tied_weights: ClassVar = {"lm_head.weight": "led.shared.weight"}

    @model_forward
    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        global_attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        cache_position: Tensor | None = None,
        num_items_in_batch: int | Tensor | None = None,
    ) -> LEDSeq2SeqLMOutput:
        """As LEDModel, and: labels (B, T), -100 where there is no loss; the decoder's inputs are made from them."""
        if labels is not None:
            use_cache = False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.shift_labels(labels)
        outputs = self.led(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoder_outputs,
            global_attention_mask=global_attention_mask,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        return self.answer(outputs, labels, num_items_in_batch)


class LEDForSequenceClassification(Seq2SeqForSequenceClassification, LEDPreTrainedModel):
    """LED that classifies a text by the decoder's state at its last end token."""

    body_class = LEDModel
    output_class = LEDSeq2SeqSequenceClassifierOutput

    @model_forward
    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        global_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> LEDSeq2SeqSequenceClassifierOutput:
        """As LEDModel, and: labels (B,) classes or values, (B, N) for several."""
        self.check_ids(input_ids)
        outputs = self.led(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoder_outputs,
            global_attention_mask=global_attention_mask,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=False if labels is not None else use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        return self.answer(outputs, input_ids, labels)


class LEDForQuestionAnswering(Seq2SeqForQuestionAnswering, LEDPreTrainedModel):
    """LED that marks the span of an answer."""

    body_class = LEDModel
    output_class = LEDSeq2SeqQuestionAnsweringModelOutput

    @model_forward
    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        global_attention_mask: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> LEDSeq2SeqQuestionAnsweringModelOutput:
        """As LEDModel, and: start_positions, end_positions (B,); positions outside of the text give no loss."""
        training = start_positions is not None and end_positions is not None
        outputs = self.led(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            encoder_outputs=encoder_outputs,
            global_attention_mask=global_attention_mask,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=False if training else use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        return self.answer(outputs, start_positions, end_positions)
