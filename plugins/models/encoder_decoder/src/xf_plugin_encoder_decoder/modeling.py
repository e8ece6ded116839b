"""A text encoder and a causal decoder as one model (arXiv:1907.12461).

Shapes: B batch, T tokens, S tokens of the encoder, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xf.interfaces.cache import Cache
from xf.interfaces.model import model_forward
from xf.outputs import Seq2SeqLMOutput
from xf_blocks.composite_seq2seq import CompositeSeq2Seq
from xf_blocks.seq2seq_inputs import as_encoder_output
from xf_generation.mixin import GenerationMixin

from .configuration import EncoderDecoderConfig


class EncoderDecoderModel(CompositeSeq2Seq, GenerationMixin):
    """`encoder` reads a text, `decoder` writes one: EncoderDecoderModel.from_encoder_decoder_pretrained(...)."""

    config_class = EncoderDecoderConfig

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
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
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """Encode input_ids (B, S), unless encoder_outputs are given, and decode decoder_input_ids (B, T).

        attention_mask (B, S), decoder_attention_mask (B, all tokens so far): 0 at padding. labels (B, T), -100 where
        there is no loss; the decoder's inputs are made from them. kwargs: decoder_... for the decoder, others for the
        encoder.
        Raises: ValueError for labels without config.pad_token_id or config.decoder_start_token_id.
        """
        decoder_extra = {n.removeprefix("decoder_"): v for n, v in kwargs.items() if n.startswith("decoder_")}
        encoder_extra = {n: v for n, v in kwargs.items() if not n.startswith("decoder_")}
        asked = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                return_dict=True,
                **asked,
                **encoder_extra,
            )
        inputs = {
            "input_ids": decoder_input_ids,
            "attention_mask": decoder_attention_mask,
            "inputs_embeds": decoder_inputs_embeds,
            "past_key_values": past_key_values,
            "use_cache": use_cache,
            "cache_position": cache_position,
        }
        encoded = as_encoder_output(encoder_outputs)
        return self.decode(encoded, attention_mask, labels, num_items_in_batch, {**inputs, **asked, **decoder_extra})
