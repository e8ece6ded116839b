"""A request: what was asked, how far it is, what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .rules import Rules


class RequestStatus(str, Enum):
    """Where a request stands."""

    PENDING = "pending"
    PREFILLING = "prefilling"
    DECODING = "decoding"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self in (RequestStatus.FINISHED, RequestStatus.FAILED, RequestStatus.CANCELLED)


@dataclass
class GenerationOutput:
    """What a request has come to so far, or in the end.

    generated_tokens: without the prompt. logprobs: one per token, with return_logprobs. finish_reason: "eos",
    "length", "criterion" (a stop string, a time limit ...), "closed" (by its streamer), None before the end.
    error: why it failed.
    """

    request_id: str
    prompt_ids: list[int] = field(default_factory=list)
    generated_tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    error: str | None = None
    status: RequestStatus = RequestStatus.PENDING
    finish_reason: str | None = None
    created_time: float = field(default_factory=time.time)

    def is_finished(self) -> bool:
        """Whether it came to its end as asked: not failed, not cancelled."""
        return self.status is RequestStatus.FINISHED


@dataclass(eq=False)
class Request:
    """A request inside the engine.

    tokens: prompt and what was generated. computed: how many of them have their keys and values in `pages`. nodes: the
    prefix index's number of each page that is full and registered. told: receives the output at
    the end, and with `streaming` after every token.
    """

    request_id: str
    prompt_length: int
    tokens: list[int]
    rules: Rules
    told: Callable[[GenerationOutput], None] | None = None
    streaming: bool = False
    streamer: Any = None
    computed: int = 0
    pages: list[int] = field(default_factory=list)
    contiguous: bool = True
    nodes: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    status: RequestStatus = RequestStatus.PENDING
    finish_reason: str | None = None
    error: str | None = None
    cancelled: bool = False
    created_time: float = field(default_factory=time.time)

    @property
    def most_tokens(self) -> int:
        """Tokens whose keys and values it may come to hold: the last token is never fed back."""
        return self.rules.max_length - 1

    def output(self) -> GenerationOutput:
        """A snapshot."""
        return GenerationOutput(
            self.request_id,
            self.tokens[: self.prompt_length],
            self.tokens[self.prompt_length :],
            list(self.logprobs),
            self.error,
            self.status,
            self.finish_reason,
            self.created_time,
        )
