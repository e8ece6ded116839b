"""Stopping criteria: when a row is finished (spec: internal/generation_utils.md).

A plugin adds one with its generation options as a logits processor does, in the registry `xf.v1.stopping`.
Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf import logging
from xf.interfaces.logits import LogitsContext

logger = logging.get_logger(__name__)


class StoppingCriteria:
    """Base of all criteria. `options`: generation options declared here with defaults; `order`: place in the list."""

    options: ClassVar[Mapping[str, Any]] = {}
    order: ClassVar[int] = 1000

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> StoppingCriteria | None:
        """The criterion for these option values (every key of `cls.options` is there), None where they leave it off."""
        return None

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """input_ids: (B, T) tokens so far; scores: those of the last step, or of all. Returns bool (B,): True ends the
        row.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(input_ids, scores).")


class StoppingCriteriaList(list[Any]):
    """A row ends when any of the criteria ends it."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Returns bool (B,)."""
        done_B = torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
        for criterion in self:
            done_B = done_B | torch.as_tensor(criterion(input_ids, scores, **kwargs), device=input_ids.device)
        return done_B

    @property
    def max_length(self) -> int | None:
        """The length of the first length criterion."""
        return next((c.max_length for c in self if isinstance(c, MaxLengthCriteria)), None)


def _all(input_ids: Tensor, value: bool) -> Tensor:
    return torch.full((input_ids.shape[0],), value, dtype=torch.bool, device=input_ids.device)


class MaxLengthCriteria(StoppingCriteria):
    """Ends all rows at max_length tokens, prompt included; warns when the model's own bound is passed."""

    options = {"max_length": 20}
    order = 10

    def __init__(self, max_length: int, max_position_embeddings: int | None = None) -> None:
        self.max_length, self.max_position_embeddings = max_length, max_position_embeddings

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> MaxLengthCriteria | None:
        if options["max_length"] is None:
            return None
        config = getattr(context.model, "config", None)
        return cls(options["max_length"], getattr(config, "max_position_embeddings", None))

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        length = input_ids.shape[1]
        done = length >= self.max_length
        if not done and self.max_position_embeddings is not None and length >= self.max_position_embeddings:
            logger.warning_once(
                f"The text is now as long as the model's positions go ({self.max_position_embeddings}): what "
                "follows may be meaningless, or fail. Lower max_new_tokens."
            )
        return _all(input_ids, done)


class MaxTimeCriteria(StoppingCriteria):
    """Ends all rows when more than max_time seconds have passed since initial_timestamp (default: now)."""

    options = {"max_time": None}
    order = 20

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = max_time
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> MaxTimeCriteria | None:
        return None if options["max_time"] is None else cls(options["max_time"])

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return _all(input_ids, time.time() - self.initial_timestamp > self.max_time)


class EosTokenCriteria(StoppingCriteria):
    """Ends a row whose last token is one of eos_token_id."""

    options = {"eos_token_id": None}
    order = 40

    def __init__(self, eos_token_id: int | list[int] | Tensor) -> None:
        self.eos_token_id = token_tensor(eos_token_id)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> EosTokenCriteria | None:
        return None if options["eos_token_id"] is None else cls(options["eos_token_id"])

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.isin(input_ids[:, -1], self.eos_token_id.to(input_ids.device))


class ConfidenceCriteria(StoppingCriteria):
    """Ends a draft whose last token was less likely than assistant_confidence_threshold (one row; scores per step)."""

    options = {"is_assistant": False, "assistant_confidence_threshold": 0.4}
    order = 50

    def __init__(self, assistant_confidence_threshold: float) -> None:
        self.assistant_confidence_threshold = assistant_confidence_threshold

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> ConfidenceCriteria | None:
        threshold = options["assistant_confidence_threshold"]
        return cls(threshold) if options["is_assistant"] and threshold else None

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        last_BV = scores[-1] if isinstance(scores, (tuple, list)) else scores
        probability = last_BV.softmax(-1)[0, input_ids[0, -1]]
        return _all(input_ids, bool(probability < self.assistant_confidence_threshold))


def token_tensor(token_ids: int | list[int] | tuple[int, ...] | Tensor) -> Tensor:
    """Token ids as a 1-dimensional int64 tensor.

    Raises: ValueError for what are no token ids.
    """
    if isinstance(token_ids, Tensor):
        return token_ids.reshape(-1).to(torch.int64)
    ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
    if not ids or not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
        raise ValueError(f"Expected a token id or a list of token ids, not {token_ids!r}.")
    return torch.tensor(ids, dtype=torch.int64)


def validate_stopping_criteria(stopping_criteria: StoppingCriteriaList, max_length: int) -> StoppingCriteriaList:
    """A copy that stops at max_length: with a length criterion added if there is none; warns if there is another."""
    checked = StoppingCriteriaList(stopping_criteria)
    bound = checked.max_length
    if bound is None:
        checked.append(MaxLengthCriteria(max_length))
    elif bound != max_length:
        logger.warning(f"The stopping criteria end at max_length={bound}, which differs from max_length={max_length}.")
    return checked
