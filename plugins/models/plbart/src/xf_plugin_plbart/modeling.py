"""PLBART (arXiv:2103.06333): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import Seq2SeqForConditionalGeneration, Seq2SeqForSequenceClassification
from xf_blocks.seq2seq_inputs import wrap_last_token
from xf_blocks.seq2seq_model import Seq2SeqDecoder, Seq2SeqEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_generation.mixin import GenerationMixin

from .configuration import PLBartConfig


class PLBartPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all PLBART models declare."""

    config_class = PLBartConfig
    decoder_inputs_from_text = True

    def shift_labels(self, labels: Tensor) -> Tensor:
        """Decoder inputs (B, T) for labels (B, T): a language code that ends them begins the inputs."""
        return wrap_last_token(labels, self.config.pad_token_id)


class PLBartEncoder(Seq2SeqEncoder, PLBartPreTrainedModel):
    """The encoder."""


class PLBartDecoder(Seq2SeqDecoder, PLBartPreTrainedModel):
    """The decoder."""


class PLBartModel(Seq2SeqModel, PLBartPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = PLBartEncoder
    decoder_class = PLBartDecoder


class PLBartForConditionalGeneration(Seq2SeqForConditionalGeneration, PLBartPreTrainedModel, GenerationMixin):
    """PLBART with next-token logits of the decoder."""

    body_class = PLBartModel


class PLBartForSequenceClassification(Seq2SeqForSequenceClassification, PLBartPreTrainedModel):
    """PLBART that classifies a text by the decoder's state at its last end token."""

    body_class = PLBartModel


class PLBartDecoderWrapper(Seq2SeqDecoderWrapper, PLBartPreTrainedModel):
    """Holds the decoder."""

    decoder_class = PLBartDecoder


class PLBartForCausalLM(Seq2SeqForCausalLM, PLBartPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = PLBartDecoderWrapper
