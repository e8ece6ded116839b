"""Marian (Junczys-Dowmunt et al. 2018, arXiv:1804.00344): encoder, decoder and heads, of the parts in
`xf_blocks.seq2seq_*`. Encoder and decoder may have one vocabulary or two.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import nn

from xf_blocks.seq2seq_causal import Seq2SeqDecoderWrapper, Seq2SeqForCausalLM
from xf_blocks.seq2seq_heads import Seq2SeqForConditionalGeneration
from xf_blocks.seq2seq_model import ScaledOutsideDecoder, ScaledOutsideEncoder, Seq2SeqModel, Seq2SeqPreTrainedModel
from xf_blocks.seq2seq_positions import SinusoidalPositions
from xf_generation.mixin import GenerationMixin

from .configuration import MarianConfig


class MarianPreTrainedModel(Seq2SeqPreTrainedModel):
    """What all Marian models declare."""

    config_class = MarianConfig
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


class MarianEncoder(ScaledOutsideEncoder, MarianPreTrainedModel):
    """The encoder."""


class MarianDecoder(ScaledOutsideDecoder, MarianPreTrainedModel):
    """The decoder."""

    @staticmethod
    def decoder_vocabulary(config: Any) -> int:
        return int(config.decoder_vocab_size)


class MarianModel(Seq2SeqModel, MarianPreTrainedModel):
    """Encoder and decoder without a head."""

    encoder_class = MarianEncoder
    decoder_class = MarianDecoder

    def build_stacks(self, config: MarianConfig) -> None:
        """One embedding for both stacks, or one for each."""
        if config.share_encoder_decoder_embeddings:
            super().build_stacks(config)
            return
        self.always_tied_weights = {}
        self.encoder, self.decoder = MarianEncoder(config), MarianDecoder(config)
        self.shared = None

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's token embedding, which may be the decoder's as well."""
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the encoder's token embedding, and the decoder's where they share it."""
        if self.config.share_encoder_decoder_embeddings:
            self.shared = self.decoder.embed_tokens = cast(nn.Embedding, value)
        self.encoder.embed_tokens = cast(nn.Embedding, value)

    def get_decoder_input_embeddings(self) -> nn.Module:
        """The decoder's own token embedding.

        Raises: ValueError where it is the encoder's.
        """
        self._check_two_vocabularies("get_input_embeddings")
        return self.decoder.embed_tokens

    def set_decoder_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's own token embedding.

        Raises: ValueError where it is the encoder's.
        """
        self._check_two_vocabularies("set_input_embeddings")
        self.decoder.embed_tokens = cast(nn.Embedding, value)

    def resize_decoder_token_embeddings(self, new_num_tokens: int) -> nn.Module:
        """Grow or shrink the decoder's own vocabulary; returns its embedding.

        Raises: ValueError where it is the encoder's.
        """
        self._check_two_vocabularies("resize_token_embeddings")
        old = self.decoder.embed_tokens
        new = nn.Embedding(new_num_tokens, old.embedding_dim, old.padding_idx)
        new.weight = self._resized(old.weight, new_num_tokens, mean=True)
        self.decoder.embed_tokens = new.train(old.training)
        self.config.decoder_vocab_size = new_num_tokens
        return new

    def _check_two_vocabularies(self, instead: str) -> None:
        if self.config.share_encoder_decoder_embeddings:
            raise ValueError(f"config.share_encoder_decoder_embeddings is True: use {instead}.")


class MarianMTModel(Seq2SeqForConditionalGeneration, MarianPreTrainedModel, GenerationMixin):
    """Marian with next-token logits of the decoder."""

    body_class = MarianModel
    allow_missing: ClassVar = (*Seq2SeqForConditionalGeneration.allow_missing, *MarianPreTrainedModel.allow_missing)

    def build_head(self, config: MarianConfig) -> None:
        if not config.share_encoder_decoder_embeddings:
            self.tied_weights = {"lm_head.weight": "model.decoder.embed_tokens.weight"}  # type: ignore[misc]
        self.register_buffer("final_logits_bias", torch.zeros(1, config.decoder_vocab_size))
        self.lm_head = nn.Linear(config.d_model, config.decoder_vocab_size, bias=False)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Module:
        """Grow or shrink the vocabulary: the encoder's alone, where the decoder has its own."""
        if not self.config.share_encoder_decoder_embeddings:
            return self.model.resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        found = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        self.config.decoder_vocab_size = self.config.vocab_size
        return found

    def resize_decoder_token_embeddings(self, new_num_tokens: int) -> nn.Module:
        """Grow or shrink the decoder's own vocabulary and its logits; returns its embedding.

        Raises: ValueError where it is the encoder's.
        """
        new = self.model.resize_decoder_token_embeddings(new_num_tokens)
        self.lm_head.weight = self._resized(self.lm_head.weight, new_num_tokens, mean=True)
        self.lm_head.out_features = new_num_tokens
        self.final_logits_bias = F.pad(self.final_logits_bias, (0, new_num_tokens - self.final_logits_bias.shape[1]))
        self.tie_weights()
        return new


class MarianDecoderWrapper(Seq2SeqDecoderWrapper, MarianPreTrainedModel):
    """Holds the decoder."""

    decoder_class = MarianDecoder


class MarianForCausalLM(Seq2SeqForCausalLM, MarianPreTrainedModel, GenerationMixin):
    """The decoder alone."""

    wrapper_class = MarianDecoderWrapper

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Module:
        """Grow or shrink the vocabulary."""
        found = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        self.config.decoder_vocab_size = self.config.vocab_size
        return found
