"""What `generate` returns with return_dict_in_generate=True (spec: internal/generation_utils.md).

Shapes: R returned sequences, B rows that are decoded (batch times beams or returned sequences), S their length, V
vocabulary; "per step" is a tuple with one entry for every forward pass of the decoder.

    sequences           (R, S) token ids, prompt included for decoder-only models
    sequences_scores    (R,) final beam scores: sum of log probabilities over length ** length_penalty
    scores              per step (B, V): the scores after all processors
    logits              per step (B, V): the model's own
    beam_indices        (R, generated) the row of every token's beam, -1 after the end
    attentions, hidden_states, decoder_*, cross_attentions   per step what the model returned, a tuple over layers
    encoder_*           what the encoder returned, a tuple over layers
    past_key_values     the cache
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xf.outputs import ModelOutput

PerStep = tuple[Tensor, ...]
PerStepAndLayer = tuple[tuple[Tensor, ...], ...]


@dataclass(repr=False)
class GenerateDecoderOnlyOutput(ModelOutput):
    """Of a decoder-only model without beams."""

    sequences: Tensor | None = None
    scores: PerStep | None = None
    logits: PerStep | None = None
    attentions: PerStepAndLayer | None = None
    hidden_states: PerStepAndLayer | None = None
    past_key_values: Any = None


@dataclass(repr=False)
class GenerateEncoderDecoderOutput(ModelOutput):
    """Of an encoder-decoder without beams."""

    sequences: Tensor | None = None
    scores: PerStep | None = None
    logits: PerStep | None = None
    encoder_attentions: PerStep | None = None
    encoder_hidden_states: PerStep | None = None
    decoder_attentions: PerStepAndLayer | None = None
    cross_attentions: PerStepAndLayer | None = None
    decoder_hidden_states: PerStepAndLayer | None = None
    past_key_values: Any = None


@dataclass(repr=False)
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Of a decoder-only model with beams."""

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: PerStep | None = None
    logits: PerStep | None = None
    beam_indices: Tensor | None = None
    attentions: PerStepAndLayer | None = None
    hidden_states: PerStepAndLayer | None = None
    past_key_values: Any = None


@dataclass(repr=False)
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """Of an encoder-decoder with beams."""

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: PerStep | None = None
    logits: PerStep | None = None
    beam_indices: Tensor | None = None
    encoder_attentions: PerStep | None = None
    encoder_hidden_states: PerStep | None = None
    decoder_attentions: PerStepAndLayer | None = None
    cross_attentions: PerStepAndLayer | None = None
    decoder_hidden_states: PerStepAndLayer | None = None
    past_key_values: Any = None


# The names by decoding strategy that older code uses.
GreedySearchDecoderOnlyOutput = SampleDecoderOnlyOutput = ContrastiveSearchDecoderOnlyOutput = GenerateDecoderOnlyOutput
GreedySearchEncoderDecoderOutput = SampleEncoderDecoderOutput = GenerateEncoderDecoderOutput
ContrastiveSearchEncoderDecoderOutput = GenerateEncoderDecoderOutput
BeamSearchDecoderOnlyOutput = BeamSampleDecoderOnlyOutput = GenerateBeamDecoderOnlyOutput
BeamSearchEncoderDecoderOutput = BeamSampleEncoderDecoderOutput = GenerateBeamEncoderDecoderOutput
