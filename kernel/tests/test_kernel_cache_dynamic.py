"""Caches: what was handed out never changes, crops and reorders do what they say, sliding layers equal full ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from torch import Tensor

from xf.interfaces.attention import eager_attention
from xf.interfaces.cache import (
    Cache,
    CacheProcessor,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    EncoderDecoderCache,
    layer_kinds,
)
from xf.interfaces.mask import create_sliding_window_causal_mask

torch.set_num_threads(1)
B, G, D = 2, 2, 3


class Config(SimpleNamespace):
    def get_text_config(self, decoder: bool = False) -> Config:
        return self


def states(tokens: int, batch: int = B) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, G, tokens, D), torch.randn(batch, G, tokens, D)


class DynamicLayerModel(RuleBasedStateMachine):
    """Any sequence of operations on a layer does what the same operations do on plain tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = DynamicLayer()
        self.layer._spare_tokens = 2  # so that storage is outgrown often
        self.keys, self.values = torch.zeros(B, G, 0, D), torch.zeros(B, G, 0, D)
        self.handed_out: list[tuple[Tensor, Tensor]] = []

    @rule(tokens=st.integers(1, 5), mode=st.sampled_from(["plain", "inference", "grad"]))
    def update(self, tokens: int, mode: str) -> None:
        keys, values = states(tokens, len(self.keys))
        with torch.inference_mode(mode == "inference"):
            if mode == "grad":
                keys.requires_grad_(True)
            got_keys, got_values = self.layer.update(keys, values)
        self.keys = torch.cat([self.keys, keys.detach()], 2)
        self.values = torch.cat([self.values, values], 2)
        assert torch.equal(got_keys, self.keys) and torch.equal(got_values, self.values)
        self.handed_out.append((got_keys, got_keys.detach().clone()))

    @rule(length=st.integers(-4, 12))
    def crop(self, length: int) -> None:
        self.layer.crop(length)
        have = self.keys.shape[2]
        keep = have if length >= have else max(have + length, 0) if length < 0 else length
        self.keys, self.values = self.keys[:, :, :keep], self.values[:, :, :keep]

    @rule(rows=st.lists(st.integers(0, B - 1), min_size=B, max_size=B))
    def reorder(self, rows: list[int]) -> None:
        index = torch.tensor([row % len(self.keys) for row in rows][: len(self.keys)])
        self.layer.reorder_cache(index)
        self.keys, self.values = self.keys[index], self.values[index]

    @rule()
    def reset(self) -> None:
        self.layer.reset()
        self.keys, self.values = self.keys[:, :, :0], self.values[:, :, :0]

    @invariant()
    def holds_what_it_should(self) -> None:
        assert self.layer.get_seq_length() == self.keys.shape[2]
        if self.keys.shape[2]:
            assert torch.equal(self.layer.keys, self.keys) and torch.equal(self.layer.values, self.values)

    @invariant()
    def what_was_handed_out_stays(self) -> None:
        for view, snapshot in self.handed_out:
            assert torch.equal(view, snapshot)


TestDynamicLayer = DynamicLayerModel.TestCase
TestDynamicLayer.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


@settings(deadline=None)
@given(window=st.integers(1, 5), pieces=st.lists(st.integers(1, 6), min_size=1, max_size=6), padded=st.booleans())
def test_a_sliding_layer_is_a_full_one_with_a_window_mask(window: int, pieces: list[int], padded: bool) -> None:
    config = Config(_attn_implementation="eager", sliding_window=window, num_hidden_layers=1)
    sliding, full = Cache(lambda: DynamicSlidingWindowLayer(window)), Cache(DynamicLayer)
    module, seen = torch.nn.Module().eval(), 0
    for tokens in pieces:
        q, (k, v), x = torch.randn(B, G, tokens, D), states(tokens), torch.zeros(B, tokens, 1)
        positions = torch.arange(seen, seen + tokens)
        seen += tokens
        padding = torch.ones(B, seen)
        padding[0, : int(padded)] = 0
        outputs = []
        for cache in (sliding, full):
            mask = create_sliding_window_causal_mask(config, x, padding, positions, cache)
            keys, values = cache.update(k, v, 0)
            assert mask.shape[-1] == keys.shape[2]
            outputs.append(eager_attention(module, q, keys, values, mask)[0])
            assert cache.get_seq_length() == seen
        real = slice(int(padded), None) if seen == tokens else slice(None)  # a padding token may see nothing
        torch.testing.assert_close(outputs[0][:, real], outputs[1][:, real])
    assert sliding.layers[0].keys.shape[2] <= max(window - 1, 0) or window == 1


def test_sliding_layers_keep_only_what_they_need_and_say_so() -> None:
    layer = DynamicSlidingWindowLayer(4)
    layer.update(*states(10))
    assert layer.keys.shape[2] == 3 and layer.get_seq_length() == 10 and layer.get_max_cache_shape() == 4
    with pytest.raises(ValueError, match="passed its window of 4 tokens cannot be cropped to 9"):
        layer.crop(9)
    layer.crop(10)
    fresh = DynamicSlidingWindowLayer(4)
    fresh.update(*states(3))
    fresh.crop(-1)
    assert fresh.get_seq_length() == 2 and fresh.keys.shape[2] == 2
    with pytest.raises(ValueError, match="sliding_window is 0"):
        DynamicSlidingWindowLayer(0)


def test_growth_copies_rarely() -> None:
    layer, storages = DynamicLayer(), set()
    for _ in range(1000):
        keys, _ = layer.update(*states(1, batch=1))
        storages.add(keys.untyped_storage().data_ptr())
    assert keys.shape[2] == 1000 and len(storages) < 15


def test_layers_are_of_the_kinds_that_the_config_declares() -> None:
    config = Config(num_hidden_layers=3, sliding_window=4, layer_types=["full_attention", "sliding_attention"] * 2)
    cache = DynamicCache(config=config)
    for index in range(3):
        cache.update(*states(9), index)
    assert cache.is_sliding == [False, True, False]
    assert cache.first_layer_of_kind("sliding_attention") == 1
    assert [keys.shape[2] for keys in cache.key_cache] == [9, 3, 9]
    assert layer_kinds(Config(num_hidden_layers=2, sliding_window=4)) == ["sliding_attention"] * 2
    assert (
        layer_kinds(Config(num_hidden_layers=2, sliding_window=4, use_sliding_window=False)) == ["full_attention"] * 2
    )
    assert layer_kinds(Config(num_hidden_layers=1, attention_chunk_size=4)) == ["chunked_attention"]


def test_rows_are_selected_and_repeated() -> None:
    keys, values = states(4, batch=3)
    for change, expected in (
        (lambda c: c.batch_repeat_interleave(2), keys.repeat_interleave(2, 0)),
        (lambda c: c.batch_select_indices(torch.tensor([2, 0])), keys[[2, 0]]),
        (lambda c: c.batch_select_indices(torch.tensor([True, False, True])), keys[[0, 2]]),
        (lambda c: c.reorder_cache(torch.tensor([1, 1, 0])), keys[[1, 1, 0]]),
    ):
        cache = DynamicCache()
        cache.update(keys, values, 0)
        change(cache)
        assert torch.equal(cache[0][0], expected) and cache.max_batch_size == len(expected)
        cache.update(*states(1, batch=len(expected)), 0)
        assert torch.equal(cache[0][0][:, :, :4], expected)


def test_legacy_tuples_there_and_back() -> None:
    legacy = tuple(states(3) for _ in range(2))
    cache = DynamicCache.from_legacy_cache(legacy)
    back = cache.to_legacy_cache()
    assert all(torch.equal(a, b) for old, new in zip(legacy, back, strict=True) for a, b in zip(old, new, strict=True))
    assert [k.shape for k, _ in cache] == [(B, G, 3, D)] * 2 and len(cache) == 2
    assert len(DynamicCache(legacy)) == 2
    with pytest.raises(KeyError, match="has 2 layers; there is no layer 2"):
        cache[2]


def test_an_encoder_decoder_cache_keeps_both_sides() -> None:
    own, cross = DynamicCache(), DynamicCache()
    cache = EncoderDecoderCache(own, cross)
    cache.update(*states(2), 0)
    assert len(cache[0]) == 2 and not cache.is_updated.get(0)
    cross.update(*states(5), 0)
    cache.is_updated[0] = True
    assert [x.shape[2] for x in cache[0]] == [2, 2, 5, 5]
    cache.crop(1)
    assert [x.shape[2] for x in cache[0]] == [1, 1, 5, 5]
    again = EncoderDecoderCache.from_legacy_cache(cache.to_legacy_cache())
    assert again.is_updated == {0: True} and torch.equal(again[0][2], cache[0][2])
    first, second = cache.batch_split(2, 1)
    assert torch.equal(second[0][3], cache[0][3][1:]) and first.get_seq_length() == 1
    cache.reorder_cache(torch.tensor([1, 0]))
    assert torch.equal(cache[0][2], again[0][2].flip(0))
    cache.reset()
    assert cache.get_seq_length() == 0 and cache.is_updated == {0: False}


class Negate(CacheProcessor):
    def __init__(self, cache: Cache, **kwargs: object) -> None:
        self.seen = kwargs.get("note")

    def pre_update(self, cache: Cache, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs=None):
        return -key_states, value_states

    def post_update(self, cache: Cache, key_tensors: Tensor, value_tensors: Tensor, layer_idx: int, cache_kwargs=None):
        return -key_tensors, value_tensors + layer_idx


def test_a_processor_sees_every_update() -> None:
    cache = Cache(cache_processor=Negate, note="kept")
    keys, values = states(2)
    cache.update(keys, values, 0)
    got = cache.update(keys, values, 1)
    assert torch.equal(got[0], keys) and torch.equal(got[1], values + 1) and torch.equal(cache[1][0], -keys)
    assert cache.cache_processor.seen == "kept"
