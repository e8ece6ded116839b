"""umT5 (arXiv:2304.09151): config, model and heads; what differs from T5.

Shapes: B batch, T tokens, K keys, H heads.
"""

from __future__ import annotations

from torch import Tensor

from xf.interfaces.cache import Cache
from xf_blocks.attention_bias import mask_with_bias

from .configuration import T5Config
from .heads import (
    T5ForConditionalGeneration,
    T5ForQuestionAnswering,
    T5ForSequenceClassification,
    T5ForTokenClassification,
)
from .layers import T5Block
from .modeling import T5EncoderModel, T5Model, T5PreTrainedModel, T5Stack


class UMT5Config(T5Config):
    """The defaults are those of umT5 small."""

    model_type = "umt5"
    vocab_size: int = 250112
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    feed_forward_proj: str = "gated-gelu"
    tokenizer_class: str | None = "T5Tokenizer"
    tie_word_embeddings: bool = True
    decoder_start_token_id: int | None = 0


class UMT5PreTrainedModel(T5PreTrainedModel):
    """What all umT5 models declare."""

    config_class = UMT5Config


class UMT5Block(T5Block):
    """A block with relative biases of its own."""

    biases_in_every_layer = True


class UMT5Stack(T5Stack):
    """A stack of such blocks."""

    block_class = UMT5Block

    def self_masks(self, x_BTC: Tensor, mask: Tensor | None, positions_T: Tensor, cache: Cache | None) -> list[Tensor]:
        keys, allowed = self._allowed(x_BTC, mask, positions_T, cache)
        biases = (block.layer[0].SelfAttention.position_bias(positions_T, keys).to(x_BTC.dtype) for block in self.block)
        return [mask_with_bias(allowed, bias, is_causal=False) for bias in biases]


class UMT5Model(UMT5PreTrainedModel, T5Model):
    """Encoder and decoder without a head."""

    stack_class = UMT5Stack


class UMT5EncoderModel(UMT5PreTrainedModel, T5EncoderModel):
    """The encoder alone."""

    stack_class = UMT5Stack


class UMT5ForConditionalGeneration(UMT5PreTrainedModel, T5ForConditionalGeneration):
    """umT5 with next-token logits of the decoder."""

    stack_class = UMT5Stack


class UMT5ForSequenceClassification(UMT5PreTrainedModel, T5ForSequenceClassification):
    """umT5 that classifies a text by the decoder's state at its last end token."""

    body_class = UMT5Model


class UMT5ForTokenClassification(UMT5PreTrainedModel, T5ForTokenClassification):
    """umT5's encoder with classes for each token."""

    body_class = UMT5EncoderModel


class UMT5ForQuestionAnswering(UMT5PreTrainedModel, T5ForQuestionAnswering):
    """umT5 that marks the span of an answer."""

    stack_class = UMT5Stack
