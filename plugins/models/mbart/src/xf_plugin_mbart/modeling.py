"""mBART (arXiv:2001.08210, arXiv:2008.00401): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import (
    Seq2SeqForConditionalGeneration,
    Seq2SeqForQuestionAnswering,
    Seq2SeqForSequenceClassification,
)
from xf_blocks.seq2seq_inputs import wrap_last_token
from xf_blocks.seq2seq_layers import PreNormDecoderLayer, PreNormEncoderLayer
from xf_blocks.seq2seq_model import Seq2SeqDecoder, Seq2SeqEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_generation.mixin import GenerationMixin

from .configuration import MBartConfig


class MBartPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all mBART models declare."""

    config_class = MBartConfig
    encoder_layer_class = PreNormEncoderLayer
    decoder_layer_class = PreNormDecoderLayer
    normalises_output = True
    decoder_inputs_from_text = True

    def shift_labels(self, labels: Tensor) -> Tensor:
        """Decoder inputs (B, T) for labels (B, T): a language code that ends them begins the inputs."""
        return wrap_last_token(labels, self.config.pad_token_id)


class MBartEncoder(Seq2SeqEncoder, MBartPreTrainedModel):
    """The encoder."""


class MBartDecoder(Seq2SeqDecoder, MBartPreTrainedModel):
    """The decoder."""


class MBartModel(Seq2SeqModel, MBartPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = MBartEncoder
    decoder_class = MBartDecoder


class MBartForConditionalGeneration(Seq2SeqForConditionalGeneration, MBartPreTrainedModel, GenerationMixin):
    """mBART with next-token logits of the decoder."""

    body_class = MBartModel


class MBartForSequenceClassification(Seq2SeqForSequenceClassification, MBartPreTrainedModel):
    """mBART that classifies a text by the decoder's state at its last end token."""

    body_class = MBartModel


class MBartForQuestionAnswering(Seq2SeqForQuestionAnswering, MBartPreTrainedModel):
    """mBART that marks the span of an answer."""

    body_class = MBartModel


class MBartDecoderWrapper(Seq2SeqDecoderWrapper, MBartPreTrainedModel):
    """Holds the decoder."""

    decoder_class = MBartDecoder


class MBartForCausalLM(Seq2SeqForCausalLM, MBartPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = MBartDecoderWrapper
