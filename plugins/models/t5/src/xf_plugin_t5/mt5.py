"""mT5 (arXiv:2010.11934): config, model and heads; what differs from T5.

Shapes: B batch, T tokens, K keys, H heads.
"""

from __future__ import annotations

from .configuration import T5Config
from .heads import (
    T5ForConditionalGeneration,
    T5ForQuestionAnswering,
    T5ForSequenceClassification,
    T5ForTokenClassification,
)
from .modeling import T5EncoderModel, T5Model, T5PreTrainedModel


class MT5Config(T5Config):
    """The defaults are those of mT5 small."""

    model_type = "mt5"
    vocab_size: int = 250112
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    feed_forward_proj: str = "gated-gelu"
    tokenizer_class: str | None = "T5Tokenizer"
    tie_word_embeddings: bool = False
    decoder_start_token_id: int | None = 0


class MT5PreTrainedModel(T5PreTrainedModel):
    """What all mT5 models declare."""

    config_class = MT5Config


class MT5Model(MT5PreTrainedModel, T5Model):
    """Encoder and decoder without a head."""


class MT5EncoderModel(MT5PreTrainedModel, T5EncoderModel):
    """The encoder alone."""


class MT5ForConditionalGeneration(MT5PreTrainedModel, T5ForConditionalGeneration):
    """mT5 with next-token logits of the decoder."""


class MT5ForSequenceClassification(MT5PreTrainedModel, T5ForSequenceClassification):
    """mT5 that classifies a text by the decoder's state at its last end token."""

    body_class = MT5Model


class MT5ForTokenClassification(MT5PreTrainedModel, T5ForTokenClassification):
    """mT5's encoder with classes for each token."""

    body_class = MT5EncoderModel


class MT5ForQuestionAnswering(MT5PreTrainedModel, T5ForQuestionAnswering):
    """mT5 that marks the span of an answer."""
