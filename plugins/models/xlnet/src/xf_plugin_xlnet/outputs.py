"""Outputs of XLNet: those of every encoder, and mems.

mems: one (K, B, C) a layer, states to be given to the next forward as its past. With target_mapping hidden_states has
those of content and of places to predict in turn, and attentions a pair for each layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xf.outputs import ModelOutput

Tensors = tuple[Tensor, ...]


@dataclass(repr=False)
class XLNetModelOutput(ModelOutput):
    """last_hidden_state (B, T, C), with target_mapping (B, M, C)."""

    last_hidden_state: Tensor | None = None
    mems: Tensors | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class XLNetLMHeadModelOutput(ModelOutput):
    """logits (B, T, V), with target_mapping (B, M, V)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    mems: Tensors | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class XLNetForSequenceClassificationOutput(XLNetLMHeadModelOutput):
    """logits (B, N)."""


@dataclass(repr=False)
class XLNetForTokenClassificationOutput(XLNetLMHeadModelOutput):
    """logits (B, T, N)."""


@dataclass(repr=False)
class XLNetForMultipleChoiceOutput(XLNetLMHeadModelOutput):
    """logits (B, choices)."""


@dataclass(repr=False)
class XLNetForQuestionAnsweringSimpleOutput(ModelOutput):
    """start_logits and end_logits (B, T)."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    mems: Tensors | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class XLNetForQuestionAnsweringOutput(ModelOutput):
    """loss while training; else the beams: start_top_* (B, S), end_top_* (B, S * E), cls_logits (B,): no answer."""

    loss: Tensor | None = None
    start_top_log_probs: Tensor | None = None
    start_top_index: Tensor | None = None
    end_top_log_probs: Tensor | None = None
    end_top_index: Tensor | None = None
    cls_logits: Tensor | None = None
    mems: Tensors | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
