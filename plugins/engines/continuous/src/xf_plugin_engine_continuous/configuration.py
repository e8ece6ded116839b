"""Settings of an engine: how large its pool is, how much one step may do."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

_DEFAULT_SHARE = 8  # the pool may take an eighth of the memory where its size is not set
_FALLBACK_BYTES = 1 << 30  # where the system does not tell how much memory it has


@dataclass
class ContinuousBatchingConfig:
    """How the engine divides memory and time.

    page_size: tokens in a page. num_blocks, pool_bytes: size of the pool in pages or in bytes (at most one of them;
    neither: an eighth of the machine's memory, of which only what is used is touched). max_batch_tokens: tokens in one
    forward pass; longer prompts go through in chunks. max_requests_per_batch: requests that run at the same time.
    allow_block_sharing: requests whose prompts begin alike share the pages of what they have in common.
    return_logprobs: note the log-probability of each chosen token.

    Raises: ValueError for what makes no sense.
    """

    page_size: int = 16
    num_blocks: int | None = None
    pool_bytes: int | None = None
    max_batch_tokens: int = 512
    max_requests_per_batch: int = 256
    allow_block_sharing: bool = True
    return_logprobs: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("allow_block_sharing", "return_logprobs"):
                continue
            optional = value is None and field.name in ("num_blocks", "pool_bytes")
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"{field.name} must be a positive whole number, not {value!r}.")
        if self.num_blocks is not None and self.pool_bytes is not None:
            raise ValueError("The size of the pool is set twice: give num_blocks (pages) or pool_bytes, not both.")
        if self.max_batch_tokens < self.max_requests_per_batch:
            self.max_requests_per_batch = self.max_batch_tokens

    @classmethod
    def of(cls, generation_config: Any) -> ContinuousBatchingConfig:
        """The defaults, with what older code writes into a generation config: num_blocks, block_size,
        max_batch_tokens.
        """
        names = {"num_blocks": "num_blocks", "block_size": "page_size", "max_batch_tokens": "max_batch_tokens"}
        given = {name: getattr(generation_config, old, None) for old, name in names.items()}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def pages(self, page_bytes: int) -> int:
        """Pages in the pool, where one takes page_bytes in all layers together.

        Raises: ValueError if not even one fits.
        """
        if self.num_blocks is not None:
            return self.num_blocks
        size = self.pool_bytes if self.pool_bytes is not None else _memory() // _DEFAULT_SHARE
        if size < page_bytes:
            raise ValueError(
                f"pool_bytes is {size}, but one page of {self.page_size} tokens takes {page_bytes} bytes in this model."
            )
        return size // page_bytes


def _memory() -> int:
    """Bytes of memory that the machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return _FALLBACK_BYTES * _DEFAULT_SHARE
