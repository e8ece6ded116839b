"""PEGASUS (arXiv:1912.08777): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import Seq2SeqForConditionalGeneration
from xf_blocks.seq2seq_layers import PreNormDecoderLayer, PreNormEncoderLayer
from xf_blocks.seq2seq_model import ScaledOutsideDecoder, ScaledOutsideEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_blocks.seq2seq_positions import SinusoidalPositions
from xf_generation.mixin import GenerationMixin

from .configuration import PegasusConfig


class PegasusPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all PEGASUS models declare."""

    config_class = PegasusConfig
    encoder_layer_class = PreNormEncoderLayer
    decoder_layer_class = PreNormDecoderLayer
    normalises_output = True
    normalises_embeddings = False
    allow_missing: ClassVar = ("*embed_positions.weight",)  # sines, which files leave out

    @classmethod
    def build_tokens(cls, config: Any, vocab_size: int) -> nn.Embedding:
        """Token embeddings; the stacks multiply them by their scale."""
        return nn.Embedding(vocab_size, config.d_model, config.pad_token_id)

    @classmethod
    def build_positions(cls, config: Any, decoder: bool) -> nn.Module:
        """Fixed sines and cosines."""
        return SinusoidalPositions(config.max_position_embeddings, config.d_model)


class PegasusEncoder(ScaledOutsideEncoder, PegasusPreTrainedModel):
    """The encoder."""


class PegasusDecoder(ScaledOutsideDecoder, PegasusPreTrainedModel):
    """The decoder."""


class PegasusModel(Seq2SeqModel, PegasusPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = PegasusEncoder
    decoder_class = PegasusDecoder


class PegasusForConditionalGeneration(Seq2SeqForConditionalGeneration, PegasusPreTrainedModel, GenerationMixin):
    """PEGASUS with next-token logits of the decoder."""

    body_class = PegasusModel
    allow_missing: ClassVar = (*Seq2SeqForConditionalGeneration.allow_missing, *PegasusPreTrainedModel.allow_missing)


class PegasusDecoderWrapper(Seq2SeqDecoderWrapper, PegasusPreTrainedModel):
    """Holds the decoder."""

    decoder_class = PegasusDecoder


class PegasusForCausalLM(Seq2SeqForCausalLM, PegasusPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = PegasusDecoderWrapper
