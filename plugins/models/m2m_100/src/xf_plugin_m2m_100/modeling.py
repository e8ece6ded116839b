"""M2M100 (arXiv:2010.11125, arXiv:2207.04672): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from xf_blocks.seq2seq_heads import Seq2SeqForConditionalGeneration
from xf_blocks.seq2seq_layers import PreNormDecoderLayer, PreNormEncoderLayer
from xf_blocks.seq2seq_model import (
    LEFTOVERS,
    Seq2SeqDecoder,
    Seq2SeqEncoder,
    Seq2SeqModel,
    Seq2SeqPreTrainedModel,
)
from xf_blocks.seq2seq_positions import PaddedSinusoidalPositions
from xf_generation.mixin import GenerationMixin

from .configuration import M2M100Config


class M2M100PreTrainedModel(Seq2SeqPreTrainedModel):
    """What all M2M100 models declare."""

    config_class = M2M100Config
    encoder_layer_class = PreNormEncoderLayer
    decoder_layer_class = PreNormDecoderLayer
    normalises_output = True
    normalises_embeddings = False
    # tables of positions that early checkpoints hold
    ignore_unexpected: ClassVar = (*LEFTOVERS, "*embed_positions.weights", "*embed_positions._float_tensor")

    @classmethod
    def build_positions(cls, config: Any, decoder: bool) -> nn.Module:
        """Fixed sines and cosines, numbered by the tokens that are no padding."""
        return PaddedSinusoidalPositions(config.max_position_embeddings, config.d_model, config.pad_token_id)


class M2M100Encoder(Seq2SeqEncoder, M2M100PreTrainedModel):
    """The encoder."""


class M2M100Decoder(Seq2SeqDecoder, M2M100PreTrainedModel):
    """The decoder."""


class M2M100Model(Seq2SeqModel, M2M100PreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = M2M100Encoder
    decoder_class = M2M100Decoder


class M2M100ForConditionalGeneration(Seq2SeqForConditionalGeneration, M2M100PreTrainedModel, GenerationMixin):
    """M2M100 with next-token logits of the decoder."""

    body_class = M2M100Model

    def build_head(self, config: Any) -> None:
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def logits(self, x_BTC: Tensor) -> Tensor:
        return self.lm_head(x_BTC)

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        """There is no bias per token."""
