"""OffloadedCache (spec: internal/generation_utils.md)."""

from __future__ import annotations

from typing import Any

from xf.interfaces.cache import DynamicCache

from .processor import OffloadedCacheProcessor


class OffloadedCache(DynamicCache):
    """The growing cache, with all layers but the current one on the CPU: memory of one layer, time for the transfer."""

    def __init__(self, config: Any = None, **kwargs: Any) -> None:
        super().__init__(config=config, cache_processor=OffloadedCacheProcessor, **kwargs)
