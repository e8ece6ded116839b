"""Processors against repetition, of the text itself or of the encoder's input.

Shapes: B rows, T tokens so far, V vocabulary, N length of n-grams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.interfaces.logits import LogitsContext, LogitsProcessor

logger = logging.get_logger(__name__)


def _penalty(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"A repetition penalty must be a number greater than 0, not {value!r}.")
    return float(value)


def _ngram_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"An n-gram size must be a positive integer, not {value!r}.")
    return value


def _penalized(scores: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Scores (B, V) of tokens (B, T) divided by the penalty where positive, multiplied where negative."""
    seen = scores.gather(1, tokens)
    return scores.scatter(1, tokens, torch.where(seen < 0, seen * penalty, seen / penalty))


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Make tokens that the text already has less likely (arXiv:1909.05858, section 4.1).

    prompt_ignore_length: this many tokens at the beginning are not counted.
    """

    options = {"repetition_penalty": 1.0}
    order = 50

    def __init__(self, penalty: float, prompt_ignore_length: int | None = None) -> None:
        self.penalty = _penalty(penalty)
        if prompt_ignore_length is not None and (not isinstance(prompt_ignore_length, int) or prompt_ignore_length < 0):
            raise ValueError(f"prompt_ignore_length must be an integer of at least 0, not {prompt_ignore_length!r}.")
        self.prompt_ignore_length = prompt_ignore_length

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["repetition_penalty"]
        return cls(value) if value is not None and value != 1.0 else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.prompt_ignore_length:
            input_ids = input_ids[:, self.prompt_ignore_length :]
        return _penalized(scores, input_ids, self.penalty)


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Make tokens that the encoder's input has more likely (penalty > 1) or less (< 1)."""

    options = {"encoder_repetition_penalty": 1.0}
    order = 40

    def __init__(self, penalty: float, encoder_input_ids: Tensor) -> None:
        self.penalty, self.encoder_input_ids = 1 / _penalty(penalty), encoder_input_ids

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["encoder_repetition_penalty"]
        ids = None if value is None or value == 1.0 else _encoder_ids("encoder_repetition_penalty", context)
        return None if ids is None else cls(value, ids)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ids = self.encoder_input_ids.to(scores.device)
        return _penalized(scores, _per_row(ids, scores.shape[0]), self.penalty)


def _encoder_ids(option: str, context: LogitsContext) -> Tensor | None:
    """The token ids of the input; None, with a warning, where it was given as embeddings or features."""
    ids = context.encoder_input_ids
    if ids is None or ids.shape[-1] == 0:
        logger.warning_once(f"{option} is ignored: the input was given as embeddings or features, not as token ids.")
        return None
    return ids


def _per_row(ids: Tensor, rows: int) -> Tensor:
    """(batch, T) repeated to one row per beam."""
    return ids.repeat_interleave(rows // ids.shape[0], dim=0) if ids.shape[0] != rows else ids


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No n-gram of ngram_size tokens twice (arXiv:1705.04304, section 2.5)."""

    options = {"no_repeat_ngram_size": 0}
    order = 60

    def __init__(self, ngram_size: int) -> None:
        self.ngram_size = _ngram_size(ngram_size)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["no_repeat_ngram_size"]
        return cls(value) if value is not None and value > 0 else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return _ban_continuations(input_ids, input_ids, self.ngram_size, scores)


def _ban_continuations(source_BS: Tensor, text_BT: Tensor, size: int, scores: Tensor) -> Tensor:
    """-inf for every token that would complete an n-gram of source_BS with the last size - 1 tokens of text_BT."""
    if source_BS.shape[1] < size or text_BT.shape[1] < size - 1:
        return scores.clone()
    windows_BWN = source_BS.unfold(1, size, 1)
    recent_BN = text_BT[:, text_BT.shape[1] - size + 1 :]
    repeats_BW = (windows_BWN[..., :-1] == recent_BN[:, None]).all(-1)
    counts_BV = torch.zeros_like(scores).scatter_add_(1, windows_BWN[..., -1], repeats_BW.to(scores.dtype))
    return scores.masked_fill(counts_BV > 0, -math.inf)


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No n-gram of encoder_ngram_size tokens that the encoder's input has."""

    options = {"encoder_no_repeat_ngram_size": 0}
    order = 70

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Tensor) -> None:
        self.ngram_size = _ngram_size(encoder_ngram_size)
        self.encoder_input_ids = encoder_input_ids[None] if encoder_input_ids.ndim == 1 else encoder_input_ids

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["encoder_no_repeat_ngram_size"]
        ids = _encoder_ids("encoder_no_repeat_ngram_size", context) if value else None
        return None if ids is None else cls(value, ids)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        source = _per_row(self.encoder_input_ids.to(scores.device), scores.shape[0])
        return _ban_continuations(source, input_ids, self.ngram_size, scores)
