"""Outputs of LED: those of any encoder-decoder, and what the encoder's global tokens attend to.

Shapes: B batch, S tokens of the encoder, T tokens of the decoder, X global tokens, W window, H heads, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xf.outputs import (
    BaseModelOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
)


@dataclass(repr=False)
class LEDEncoderBaseModelOutput(BaseModelOutput):
    """attentions: (B, H, S, X + W + 1) per layer; global_attentions: (B, H, S in whole windows, X) per layer."""

    global_attentions: tuple[Tensor, ...] | None = None


@dataclass(repr=False)
class LEDSeq2SeqModelOutput(Seq2SeqModelOutput):
    """Of LEDModel."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclass(repr=False)
class LEDSeq2SeqLMOutput(Seq2SeqLMOutput):
    """Of LEDForConditionalGeneration."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclass(repr=False)
class LEDSeq2SeqSequenceClassifierOutput(Seq2SeqSequenceClassifierOutput):
    """Of LEDForSequenceClassification."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclass(repr=False)
class LEDSeq2SeqQuestionAnsweringModelOutput(Seq2SeqQuestionAnsweringModelOutput):
    """Of LEDForQuestionAnswering."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None
