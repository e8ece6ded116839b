"""Processors that favour, forbid or prescribe tokens and sequences.

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor

from ..stopping import token_tensor
from .length import without

SequenceBias = Mapping[tuple[int, ...], float] | Sequence[Sequence[Any]]


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """Add a bias to the score of the token that would complete a sequence; single tokens always get theirs.

    sequence_bias: {(token, ...): bias} or [[[token, ...], bias], ...], biases as floats.
    """

    options = {"sequence_bias": None}
    order = 20

    def __init__(self, sequence_bias: SequenceBias) -> None:
        self.sequence_bias = _read_bias(sequence_bias)
        self._plan: tuple[Tensor, list[tuple[Tensor, int, float]]] | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        return None if options["sequence_bias"] is None else cls(options["sequence_bias"])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._plan is None:
            self._plan = self._prepare(scores)
        single_V, longer = self._plan
        bias_BV = single_V.expand_as(scores)
        if longer:
            bias_BV = bias_BV.clone()
        length = input_ids.shape[1]
        for prefix, last, bias in longer:
            if length > len(prefix):  # as long as the whole sequence
                matches_B = (input_ids[:, length - len(prefix) :] == prefix).all(dim=1)
                bias_BV[:, last] += torch.where(matches_B, bias, 0.0)
        return scores + bias_BV

    def _prepare(self, scores: Tensor) -> tuple[Tensor, list[tuple[Tensor, int, float]]]:
        """The biases of single tokens (V,), and (prefix, last token, bias) of longer sequences."""
        vocabulary = scores.shape[-1]
        outside = sorted({t for tokens in self.sequence_bias for t in tokens if t >= vocabulary})
        if outside:
            raise ValueError(
                f"Tokens {outside[:8]} are outside of the vocabulary of {vocabulary}: they can have no bias."
            )
        single_V = scores.new_zeros(vocabulary)
        longer = []
        for tokens, bias in self.sequence_bias.items():
            if len(tokens) == 1:
                single_V[tokens[0]] = bias
            else:
                prefix = torch.tensor(tokens[:-1], device=scores.device)
                longer.append((prefix, tokens[-1], bias))
        return single_V, longer


def _read_bias(given: Any) -> dict[tuple[int, ...], float]:
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise ValueError(f"sequence_bias must be a dict or a list of [tokens, bias] that is not empty, not {given!r}.")
    biases: dict[tuple[int, ...], float] = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError(f"sequence_bias has the entry {pair!r}; each must be (tokens, bias).")
        tokens, bias = pair
        if not isinstance(tokens, (list, tuple)) or not tokens or not all(_is_token(token) for token in tokens):
            raise ValueError(f"sequence_bias has the key {tokens!r}; each must be token ids of at least 0, not empty.")
        if not isinstance(bias, float):
            raise ValueError(f"sequence_bias gives {bias!r} for {tokens!r}; a bias must be a float.")
        biases[tuple(int(token) for token in tokens)] = bias
    return biases


def _is_token(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and value >= 0


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """None of the token sequences bad_words_ids; a sequence that is only an end token is allowed."""

    options = {"bad_words_ids": None, "eos_token_id": None}
    order = 80

    def __init__(self, bad_words_ids: list[list[int]], eos_token_id: int | list[int] | Tensor | None = None) -> None:
        if not isinstance(bad_words_ids, (list, tuple)) or not bad_words_ids:
            raise ValueError(
                f"bad_words_ids must be a list of lists of token ids that is not empty, not {bad_words_ids!r}."
            )
        if not all(isinstance(words, (list, tuple)) for words in bad_words_ids):
            raise ValueError(f"bad_words_ids must be a list of lists of token ids, not {bad_words_ids!r}.")
        if any(not _is_token(token) for words in bad_words_ids for token in words):
            raise ValueError(f"bad_words_ids must hold token ids of at least 0, not {bad_words_ids!r}.")
        ends = set() if eos_token_id is None else set(token_tensor(eos_token_id).tolist())
        kept = [words for words in bad_words_ids if not (len(words) == 1 and words[0] in ends)]
        self._nothing = not kept
        if kept:
            super().__init__({tuple(words): -math.inf for words in kept})

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        words = options["bad_words_ids"]
        return None if words is None else cls(words, options["eos_token_id"])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores if self._nothing else super().__call__(input_ids, scores)


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Only the tokens that prefix_allowed_tokens_fn(batch index, tokens so far) returns (arXiv:2010.00904)."""

    options = {}
    order = 110

    def __init__(self, prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]], num_beams: int) -> None:
        self._prefix_allowed_tokens_fn, self._num_beams = prefix_allowed_tokens_fn, num_beams

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        function, config = context.extra.get("prefix_allowed_tokens_fn"), context.generation_config
        if function is None:
            return None
        return cls(function, (config.num_beams or 1) // (config.num_beam_groups or 1))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        mask = torch.full_like(scores, -math.inf)
        for row, tokens in enumerate(input_ids):
            batch_index = row // self._num_beams
            allowed = self._prefix_allowed_tokens_fn(batch_index, tokens)
            if len(allowed) == 0:
                raise ValueError(
                    f"prefix_allowed_tokens_fn returned no tokens for row {batch_index} after "
                    f"{tokens.tolist()[-8:]}: something must always be allowed, for example the end token."
                )
            mask[row, allowed] = 0
        return scores + mask


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """None of suppress_tokens, ever."""

    options = {"suppress_tokens": None}
    order = 160

    def __init__(self, suppress_tokens: list[int] | Tensor, device: str | torch.device = "cpu") -> None:
        self.suppress_tokens = torch.as_tensor(suppress_tokens, dtype=torch.long, device=device).reshape(-1)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        tokens = options["suppress_tokens"]
        return None if tokens is None else cls(tokens, context.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return without(scores, self.suppress_tokens)


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """None of begin_suppress_tokens as the token at position begin_index."""

    options = {"begin_suppress_tokens": None, "forced_bos_token_id": None}
    order = 170

    def __init__(
        self, begin_suppress_tokens: list[int] | Tensor, begin_index: int, device: str | torch.device = "cpu"
    ) -> None:
        self.begin_suppress_tokens = torch.as_tensor(begin_suppress_tokens, dtype=torch.long, device=device).reshape(-1)
        self.begin_index = begin_index

    def set_begin_index(self, begin_index: int) -> None:
        """Move the position."""
        self.begin_index = begin_index

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        tokens = options["begin_suppress_tokens"]
        if tokens is None:
            return None
        forced = options["forced_bos_token_id"] is not None and context.prompt_length <= 1
        return cls(tokens, context.prompt_length + int(forced), context.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return without(scores, self.begin_suppress_tokens) if input_ids.shape[-1] == self.begin_index else scores
