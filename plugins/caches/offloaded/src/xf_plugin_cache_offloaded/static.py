"""OffloadedStaticCache and OffloadedHybridCache: the caches of fixed size that are installed, with offloading."""

from __future__ import annotations

from typing import Any

from xf.plugins import registry

from .processor import OffloadedCacheProcessor

StaticCache: Any = registry("cache").get("static")
HybridCache: Any = registry("cache").get("hybrid_chunked")


class OffloadedStaticCache(StaticCache):
    """The static cache, with all layers but the current one on offload_device."""

    is_compileable = False  # its tensors change their place

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, cache_processor=OffloadedCacheProcessor, **kwargs)


class OffloadedHybridCache(HybridCache):
    """The hybrid cache, with all layers but the current one on offload_device."""

    is_compileable = False  # its tensors change their place

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, cache_processor=OffloadedCacheProcessor, **kwargs)
