"""Blenderbot (arXiv:2004.13637): encoder, decoder and heads, of the parts in `xf_blocks.seq2seq_*`.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import Seq2SeqForConditionalGeneration
from xf_blocks.seq2seq_layers import PreNormDecoderLayer, PreNormEncoderLayer
from xf_blocks.seq2seq_model import Seq2SeqDecoder, Seq2SeqEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_blocks.seq2seq_positions import LearnedPositions
from xf_generation.mixin import GenerationMixin

from .configuration import BlenderbotConfig


class BlenderbotPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all Blenderbot models declare."""

    config_class = BlenderbotConfig
    encoder_layer_class = PreNormEncoderLayer
    decoder_layer_class = PreNormDecoderLayer
    normalises_output = True
    normalises_embeddings = False

    @classmethod
    def build_positions(cls, config: Any, decoder: bool) -> nn.Module:
        """A trained row per position."""
        return LearnedPositions(config.max_position_embeddings, config.d_model)


class BlenderbotEncoder(Seq2SeqEncoder, BlenderbotPreTrainedModel):
    """The encoder."""


class BlenderbotDecoder(Seq2SeqDecoder, BlenderbotPreTrainedModel):
    """The decoder."""


class BlenderbotModel(Seq2SeqModel, BlenderbotPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = BlenderbotEncoder
    decoder_class = BlenderbotDecoder


class BlenderbotForConditionalGeneration(Seq2SeqForConditionalGeneration, BlenderbotPreTrainedModel, GenerationMixin):
    """Blenderbot with next-token logits of the decoder."""

    body_class = BlenderbotModel


class BlenderbotDecoderWrapper(Seq2SeqDecoderWrapper, BlenderbotPreTrainedModel):
    """Holds the decoder."""

    decoder_class = BlenderbotDecoder


class BlenderbotForCausalLM(Seq2SeqForCausalLM, BlenderbotPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = BlenderbotDecoderWrapper
