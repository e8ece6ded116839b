"""Outputs of Longformer: those of every encoder, and global_attentions.

attentions: one (B, H, T, X + window + 1) a layer, the weights of each token to the X global tokens and to its window; 0
for tokens that are global themselves. global_attentions: one (B, H, T, X) a layer, the weights of each global token to
every token.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xf.outputs import ModelOutput

Tensors = tuple[Tensor, ...]


@dataclass(repr=False)
class LongformerBaseModelOutput(ModelOutput):
    """last_hidden_state (B, T, C)."""

    last_hidden_state: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    global_attentions: Tensors | None = None


@dataclass(repr=False)
class LongformerBaseModelOutputWithPooling(ModelOutput):
    """last_hidden_state (B, T, C), pooler_output (B, C)."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    global_attentions: Tensors | None = None


@dataclass(repr=False)
class LongformerMaskedLMOutput(ModelOutput):
    """logits (B, T, V)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    global_attentions: Tensors | None = None


@dataclass(repr=False)
class LongformerQuestionAnsweringModelOutput(ModelOutput):
    """start_logits and end_logits (B, T)."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    global_attentions: Tensors | None = None


@dataclass(repr=False)
class LongformerSequenceClassifierOutput(LongformerMaskedLMOutput):
    """logits (B, N)."""


@dataclass(repr=False)
class LongformerMultipleChoiceModelOutput(LongformerMaskedLMOutput):
    """logits (B, choices)."""


@dataclass(repr=False)
class LongformerTokenClassifierOutput(LongformerMaskedLMOutput):
    """logits (B, T, N)."""
