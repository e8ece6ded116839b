"""The static caches do what every cache must."""

from __future__ import annotations

from typing import Any

import torch

from xf_testing import CacheConformance

torch.set_num_threads(1)


class TestStatic(CacheConformance):
    name = "static"
    is_bounded = True


class TestHybrid(CacheConformance):
    name = "hybrid"
    is_bounded = True


class TestHybridChunked(CacheConformance):
    name = "hybrid_chunked"
    is_bounded = True


class TestSlidingWindow(CacheConformance):
    name = "sliding_window"
    is_bounded = True

    def make_config(self, kinds: list[str] | None = None) -> Any:
        """A window that the text does not reach, except where sliding layers are asked for."""
        config = super().make_config(kinds)
        if config.sliding_window is None:
            config.sliding_window = config.max_position_embeddings + 1
        return config
