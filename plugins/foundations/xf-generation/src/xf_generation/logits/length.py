"""Processors that decide when a text may, must or should begin and end.

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor

from ..stopping import token_tensor

TokenIds = int | list[int] | Tensor


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be an integer of at least 0, not {value!r}.")
    return value


def only(scores: Tensor, tokens: Tensor) -> Tensor:
    """Scores (B, V) that leave nothing but `tokens`: 0 for them, -inf for all others.

    Raises: ValueError for tokens that the vocabulary does not have.
    """
    if bool((tokens >= scores.shape[-1]).any()):
        raise ValueError(
            f"The forced tokens {tokens.tolist()} (forced_bos_token_id, forced_eos_token_id) are outside of the "
            f"vocabulary of {scores.shape[-1]}: are the settings those of this model?"
        )
    forced = torch.full_like(scores, -math.inf)
    forced[:, tokens.to(scores.device)] = 0.0
    return forced


def without(scores: Tensor, tokens: Tensor) -> Tensor:
    """Scores (B, V) with -inf for `tokens`; ids outside of the vocabulary are left out."""
    tokens = tokens.to(scores.device)
    tokens = tokens[(tokens >= 0) & (tokens < scores.shape[-1])]
    return scores.index_fill(-1, tokens, -math.inf)


class MinLengthLogitsProcessor(LogitsProcessor):
    """No end token before the text has min_length tokens, prompt included."""

    options = {"min_length": 0, "eos_token_id": None}
    order = 90

    def __init__(self, min_length: int, eos_token_id: TokenIds, device: str | torch.device = "cpu") -> None:
        self.min_length, self.eos_token_id = _count("min_length", min_length), token_tensor(eos_token_id).to(device)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        if options["eos_token_id"] is None or not options["min_length"] or options["min_length"] < 0:
            return None
        return cls(options["min_length"], options["eos_token_id"], context.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return without(scores, self.eos_token_id) if input_ids.shape[-1] < self.min_length else scores.clone()


class MinNewTokensLengthLogitsProcessor(LogitsProcessor):
    """No end token before min_new_tokens tokens beyond the prompt."""

    options = {"min_new_tokens": None, "eos_token_id": None}
    order = 100

    def __init__(
        self,
        prompt_length_to_skip: int,
        min_new_tokens: int,
        eos_token_id: TokenIds,
        device: str | torch.device = "cpu",
    ) -> None:
        self.prompt_length_to_skip = _count("prompt_length_to_skip", prompt_length_to_skip)
        self.min_new_tokens = _count("min_new_tokens", min_new_tokens)
        self.eos_token_id = token_tensor(eos_token_id).to(device)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        if options["eos_token_id"] is None or not options["min_new_tokens"] or options["min_new_tokens"] < 0:
            return None
        return cls(context.prompt_length, options["min_new_tokens"], options["eos_token_id"], context.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        new_tokens = input_ids.shape[-1] - self.prompt_length_to_skip
        return without(scores, self.eos_token_id) if new_tokens < self.min_new_tokens else scores.clone()


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """The first token after the decoder's start token is bos_token_id (a language code in multilingual models)."""

    options = {"forced_bos_token_id": None}
    order = 120

    def __init__(self, bos_token_id: int) -> None:
        self.bos_token_id = bos_token_id

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        token = options["forced_bos_token_id"]
        return None if token is None else cls(token)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return only(scores, torch.tensor([self.bos_token_id])) if input_ids.shape[-1] == 1 else scores


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """The last token that max_length leaves room for is one of eos_token_id."""

    options = {"forced_eos_token_id": None, "max_length": 20}
    order = 130

    def __init__(self, max_length: int, eos_token_id: TokenIds, device: str | torch.device = "cpu") -> None:
        self.max_length, self.eos_token_id = max_length, token_tensor(eos_token_id).to(device)
        if bool((self.eos_token_id < 0).any()):
            raise ValueError(f"forced_eos_token_id must be token ids of at least 0, not {eos_token_id!r}.")

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        token = options["forced_eos_token_id"]
        return None if token is None else cls(options["max_length"], token, context.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return only(scores, self.eos_token_id) if input_ids.shape[-1] == self.max_length - 1 else scores


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """After start_index new tokens the end token's score rises by |score| (factor ** tokens since then - 1).

    exponential_decay_length_penalty: (start_index, factor).
    """

    options = {"exponential_decay_length_penalty": None, "eos_token_id": None}
    order = 150

    def __init__(
        self, exponential_decay_length_penalty: tuple[int, float], eos_token_id: TokenIds, input_ids_seq_length: int
    ) -> None:
        pair = exponential_decay_length_penalty
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(f"exponential_decay_length_penalty must be (start_index, factor), not {pair!r}.")
        self.regulation_start, self.regulation_factor = pair[0] + input_ids_seq_length, pair[1]
        self.eos_token_id = token_tensor(eos_token_id)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        pair = options["exponential_decay_length_penalty"]
        if pair is None:
            return None
        if options["eos_token_id"] is None:
            raise ValueError("exponential_decay_length_penalty needs an eos_token_id, whose score it raises.")
        return cls(pair, options["eos_token_id"], context.prompt_length)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        length = input_ids.shape[-1]
        if length <= self.regulation_start:
            return scores
        eos = self.eos_token_id.to(scores.device)
        ends = scores[:, eos]
        raised = scores.clone()
        rise = ends.abs() * (self.regulation_factor ** (length - self.regulation_start) - 1)
        raised[:, eos] = torch.where(ends.isneginf(), ends, ends + rise)  # what is forbidden stays so
        return raised
