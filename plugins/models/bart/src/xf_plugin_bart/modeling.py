"""BART (arXiv:1910.13461): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import (
    Seq2SeqForConditionalGeneration,
    Seq2SeqForQuestionAnswering,
    Seq2SeqForSequenceClassification,
)
from xf_blocks.seq2seq_model import Seq2SeqDecoder, Seq2SeqEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_generation.mixin import GenerationMixin

from .configuration import BartConfig


class BartPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all BART models declare."""

    config_class = BartConfig
    decoder_inputs_from_text = True


class BartEncoder(Seq2SeqEncoder, BartPreTrainedModel):
    """The encoder."""


class BartDecoder(Seq2SeqDecoder, BartPreTrainedModel):
    """The decoder."""


class BartModel(Seq2SeqModel, BartPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = BartEncoder
    decoder_class = BartDecoder


class BartForConditionalGeneration(Seq2SeqForConditionalGeneration, BartPreTrainedModel, GenerationMixin):
    """BART with next-token logits of the decoder."""

    body_class = BartModel


class BartForSequenceClassification(Seq2SeqForSequenceClassification, BartPreTrainedModel):
    """BART that classifies a text by the decoder's state at its last end token."""

    body_class = BartModel


class BartForQuestionAnswering(Seq2SeqForQuestionAnswering, BartPreTrainedModel):
    """BART that marks the span of an answer."""

    body_class = BartModel


class BartDecoderWrapper(Seq2SeqDecoderWrapper, BartPreTrainedModel):
    """Holds the decoder."""

    decoder_class = BartDecoder


class BartForCausalLM(Seq2SeqForCausalLM, BartPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = BartDecoderWrapper
