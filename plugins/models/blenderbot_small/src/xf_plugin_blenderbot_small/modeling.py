"""Blenderbot Small (arXiv:2004.13637): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import Seq2SeqForConditionalGeneration
from xf_blocks.seq2seq_model import ScaledOutsideEncoder, Seq2SeqDecoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_blocks.seq2seq_positions import LearnedPositions
from xf_generation.mixin import GenerationMixin

from .configuration import BlenderbotSmallConfig


class BlenderbotSmallPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all Blenderbot Small models declare."""

    config_class = BlenderbotSmallConfig

    @classmethod
    def build_tokens(cls, config: Any, vocab_size: int) -> nn.Embedding:
        """Token embeddings; the encoder multiplies them by its scale, the decoder does not."""
        return nn.Embedding(vocab_size, config.d_model, config.pad_token_id)

    @classmethod
    def build_positions(cls, config: Any, decoder: bool) -> nn.Module:
        """A trained row per position."""
        return LearnedPositions(config.max_position_embeddings, config.d_model)


class BlenderbotSmallEncoder(ScaledOutsideEncoder, BlenderbotSmallPreTrainedModel):
    """The encoder."""


class BlenderbotSmallDecoder(Seq2SeqDecoder, BlenderbotSmallPreTrainedModel):
    """The decoder."""

    def place(self, x_BTC: Tensor, positions: Tensor) -> Tensor:
        """The norm is that of the tokens alone."""
        return self.layernorm_embedding(x_BTC) + positions


class BlenderbotSmallModel(Seq2SeqModel, BlenderbotSmallPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = BlenderbotSmallEncoder
    decoder_class = BlenderbotSmallDecoder


class BlenderbotSmallForConditionalGeneration(
    Seq2SeqForConditionalGeneration, BlenderbotSmallPreTrainedModel, GenerationMixin
):
    """Blenderbot Small with next-token logits of the decoder."""

    body_class = BlenderbotSmallModel


class BlenderbotSmallDecoderWrapper(Seq2SeqDecoderWrapper, BlenderbotSmallPreTrainedModel):
    """Holds the decoder."""

    decoder_class = BlenderbotSmallDecoder


class BlenderbotSmallForCausalLM(Seq2SeqForCausalLM, BlenderbotSmallPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = BlenderbotSmallDecoderWrapper
