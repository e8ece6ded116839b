"""StructuredOutputLogitsProcessor: only tokens that a JSON schema, a regular expression or a grammar allows.

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import llguidance
import numpy as np
import torch
from torch import Tensor

from xf import logging
from xf.interfaces.logits import LogitsContext, LogitsProcessor

from .grammar import compiled, first_line, grammar_of
from .vocabulary import vocabulary_of

logger = logging.get_logger(__name__)
#: modes that choose among what processors leave; others may take a token whose probability is 0
_MODES = frozenset(
    {"greedy_search", "sample", "beam_search", "group_beam_search", "assisted_generation", "dola_generation"}
)
_Text = tuple[int, ...]


class StructuredOutputLogitsProcessor(LogitsProcessor):
    """Every answer follows the structure, and ends as soon as it cannot go on; where it may, the model decides.

    matcher: before the first token of an answer. prompt_length: tokens that are not part of it. end_tokens: what ends
    an answer. max_length: of prompt and answer, to say so when an answer is cut.
    States are kept by the text that led to them, so that beams may change places and drafts may be taken back.
    """

    options = {"json_schema": None, "regex": None, "grammar": None}
    order = 200  # before sampling narrows the choice; after what forbids single tokens

    def __init__(
        self,
        matcher: llguidance.LLMatcher,
        prompt_length: int,
        end_tokens: tuple[int, ...],
        max_length: int | None = None,
        name: str = "grammar",
    ) -> None:
        self._prompt_length, self._ends, self._max_length, self._name = prompt_length, end_tokens, max_length, name
        self._states: OrderedDict[_Text, llguidance.LLMatcher | None] = OrderedDict({(): matcher})
        self._root = matcher

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        found = grammar_of(options)
        if found is None:
            return None
        name, grammar = found
        config, tokenizer = context.generation_config, context.extra.get("tokenizer")
        if tokenizer is None:
            raise ValueError(f"{name} needs the tokenizer: generate(..., {name}=..., tokenizer=tokenizer).")
        ends = config.eos_token_id
        ends = tuple(ends) if isinstance(ends, (list, tuple)) else () if ends is None else (int(ends),)
        if not ends:
            raise ValueError(f"{name} needs an end token, or no answer could end: set eos_token_id.")
        mode = config.get_generation_mode(context.extra.get("assistant_model")).value
        if mode not in _MODES:
            raise ValueError(
                f"{name} does not go with {mode}, which may choose tokens that are not allowed: use greedy search, "
                "sampling or beam search."
            )
        matcher = compiled(name, grammar, vocabulary_of(tokenizer, ends))
        return cls(matcher, context.prompt_length, ends, getattr(config, "max_length", None), name)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        texts = [tuple(text) for text in input_ids[:, self._prompt_length :].tolist()]
        matchers = [self._after(text) for text in texts]
        allowed = np.stack([self._allowed(matcher, scores.shape[-1]) for matcher in matchers])
        self._forget(2 * len(texts) + 64)
        if self._max_length is not None and input_ids.shape[1] + 1 == self._max_length:
            self._tell_if_cut(matchers)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -math.inf)

    def _after(self, text: _Text) -> llguidance.LLMatcher | None:
        """The state after `text`; None where it has ended, or does not follow the structure (a draft's wrong guess)."""
        if text in self._states:
            self._states.move_to_end(text)
            return self._states[text]
        if text[:-1] in self._states:
            before, new = self._states[text[:-1]], text[-1:]
        else:
            before, new = self._root, text
        state = None
        if before is not None and not set(new) & set(self._ends):
            state = before.deep_copy()
            if state.try_consume_tokens(list(new)) < len(new):
                state = None
            elif state.is_error():
                raise ValueError(f"{self._name} is too much work to follow: {first_line(state.get_error())}")
        self._states[text] = state
        return state

    def _allowed(self, matcher: llguidance.LLMatcher | None, size: int) -> Any:
        """(V,) bool. Only end tokens after the end."""
        allowed = np.zeros(size, dtype=bool)
        if matcher is not None:
            bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            known = np.unpackbits(bits, bitorder="little")[:size].astype(bool)
            allowed[: len(known)] = known
            stuck = "NoExtension" in first_line(matcher.get_error()) or not matcher.is_error() and not allowed.any()
            if stuck:
                raise ValueError(f"{self._name} asks for characters that no token of the tokenizer stands for.")
            if matcher.is_error():
                raise ValueError(f"{self._name} is too much work to follow: {first_line(matcher.get_error())}")
        else:
            allowed[[end for end in self._ends if end < size]] = True
        return allowed

    def _forget(self, count: int) -> None:
        while len(self._states) > count:
            self._states.popitem(last=False)

    def _tell_if_cut(self, matchers: list[llguidance.LLMatcher | None]) -> None:
        if any(matcher is not None and not matcher.is_accepting() for matcher in matchers):
            logger.warning(
                f"An answer reaches max_length ({self._max_length}) and may be cut before {self._name} is fulfilled: "
                "raise max_new_tokens."
            )
