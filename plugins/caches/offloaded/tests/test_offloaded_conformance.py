"""The offloaded caches do what every cache must, and move what they should."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import xf
from xf.interfaces.cache import Cache, DynamicCache
from xf_plugin_cache_offloaded import processor
from xf_plugin_cache_offloaded.processor import OffloadedCacheProcessor
from xf_testing import CacheConformance

torch.set_num_threads(1)


class TestOffloaded(CacheConformance):
    name = "offloaded"


class TestOffloadedStatic(CacheConformance):
    name = "offloaded_static"
    is_bounded = True


class TestOffloadedHybrid(CacheConformance):
    name = "offloaded_hybrid"
    is_bounded = True


def test_layers_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no accelerator here, the moves are noted instead of made."""
    cache = DynamicCache(cache_processor="offloaded", offload_device="meta")
    assert isinstance(cache.cache_processor, OffloadedCacheProcessor)
    moves: list[tuple[int, str]] = []
    monkeypatch.setattr(
        processor, "_move", lambda layer, device: moves.append((cache.layers.index(layer), device.type))
    )
    keys = torch.zeros(1, 1, 3, 4)
    for layer_idx in range(3):
        cache.update(keys, keys, layer_idx)
    moves.clear()
    for layer_idx in (0, 1, 2, 0):
        cache.update(keys, keys, layer_idx)
    # each comes when it is used, and the one before it leaves
    assert moves == [(0, "cpu"), (2, "meta"), (1, "cpu"), (0, "meta"), (2, "cpu"), (1, "meta"), (0, "cpu"), (2, "meta")]


def test_moving_keeps_the_tokens() -> None:
    cache, keys = DynamicCache(), torch.randn(1, 1, 3, 4)
    cache.update(keys, keys, 0)
    processor._move(cache.layers[0], torch.device("cpu"))
    assert torch.equal(cache[0][0], keys)
    processor._move(cache.layers[0], torch.device("meta"))
    assert cache[0][0].device.type == "meta" and cache.get_seq_length() == 3


def test_nothing_moves_where_layers_wait_already() -> None:
    moved = []

    class Watching(OffloadedCacheProcessor):
        def _evict(self, layer: object) -> None:
            moved.append(layer)

    cache = Cache(cache_processor=Watching)
    keys = torch.randn(1, 1, 2, 4)
    for layer_idx in (0, 1):
        cache.update(keys, keys, layer_idx)
    assert not moved and torch.equal(cache[0][0], keys)


class Config(SimpleNamespace):
    def get_text_config(self, decoder: bool = False) -> Config:
        return self


def test_documented_names_and_settings() -> None:
    config = Config(num_hidden_layers=2, num_attention_heads=2, hidden_size=8, max_position_embeddings=16)
    fixed = xf.OffloadedStaticCache(config, max_batch_size=1, max_cache_len=5, offload_device="meta")
    assert fixed.cache_processor.offload_device.type == "meta"
    assert isinstance(fixed, xf.StaticCache) and not fixed.is_compileable
    assert isinstance(xf.OffloadedHybridCache(config), xf.HybridCache)
    assert isinstance(xf.OffloadedCache(), DynamicCache)
    assert xf.OffloadedCacheProcessor is OffloadedCacheProcessor
