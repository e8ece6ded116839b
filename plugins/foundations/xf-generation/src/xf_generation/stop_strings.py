"""Stop strings: a row ends when its text contains one of them, whatever tokens it is spelled with.

A token can complete a stop string only if its own text has the last character of one. That is looked up once per token
id; only for such tokens the end of the text is decoded and searched. Characters that are spread over several tokens
(byte-level vocabularies) are whole in the decoded text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext

from .stopping import StoppingCriteria

_BROKEN = "\ufffd"  # how decoders show bytes that are no whole character yet


class StopStringCriteria(StoppingCriteria):
    """Ends a row whose text has just got one of stop_strings; the stop string may end inside the last token."""

    options = {"stop_strings": None}
    order = 30

    def __init__(self, tokenizer: Any, stop_strings: str | list[str]) -> None:
        strings = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings)
        if not strings or not all(isinstance(text, str) and text for text in strings):
            raise ValueError(
                f"stop_strings must be a text, or a list of texts, none of them empty; not {stop_strings!r}."
            )
        self.tokenizer, self.stop_strings = tokenizer, tuple(strings)
        self._longest = max(len(text) for text in strings)
        self._last_characters = frozenset(text[-1] for text in strings)
        # a decoder may drop spaces around single tokens, so a space at the end cannot be looked up
        self._all_may_complete = any(character.isspace() for character in self._last_characters)
        self._may_complete: dict[int, bool] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> StopStringCriteria | None:
        if options["stop_strings"] is None:
            return None
        tokenizer = context.extra.get("tokenizer")
        if tokenizer is None:
            raise ValueError("stop_strings need the tokenizer: generate(..., tokenizer=tokenizer).")
        return cls(tokenizer, options["stop_strings"])

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        done = torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
        for row, token in enumerate(input_ids[:, -1].tolist()):
            if self._can_complete(token) and self._completed(input_ids[row]):
                done[row] = True
        return done

    def _can_complete(self, token: int) -> bool:
        known = self._may_complete.get(token)
        if known is None:
            text = self._decode([token])
            known = self._all_may_complete or _BROKEN in text or not self._last_characters.isdisjoint(text)
            self._may_complete[token] = known
        return known

    def _completed(self, tokens_T: Tensor) -> bool:
        """Whether the text has a stop string that ends in its last token."""
        tokens = self._tail(tokens_T)
        text, before = self._decode(tokens), self._decode(tokens[:-1])
        known = len(before.rstrip(_BROKEN)) if text.startswith(before.rstrip(_BROKEN)) else 0
        for stop in self.stop_strings:
            if text.find(stop, max(known - len(stop) + 1, 0)) >= 0:
                return True
        return False

    def _tail(self, tokens_T: Tensor) -> list[int]:
        """The last tokens: enough that what comes before the last one is as long as the longest stop string."""
        count = self._longest + 2
        while True:
            tokens: list[int] = tokens_T[-count:].tolist()
            if count >= tokens_T.shape[0] or len(self._decode(tokens[:-1])) > self._longest:
                return tokens
            count *= 2

    def _decode(self, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)
