"""Static caches: places that never change, limits, counting, tracing, and the window that slides in a fixed room."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import xf
from xf.interfaces.attention import AttentionModule
from xf.interfaces.mask import create_causal_mask, create_masks_for_layers
from xf_plugin_cache_static.caches import HybridCache, SlidingWindowCache, StaticCache
from xf_plugin_cache_static.layers import ChunkedSlidingLayer, SlidingWindowLayer, StaticLayer

torch.set_num_threads(1)
G, D = 2, 4


class Config(SimpleNamespace):
    def get_text_config(self, decoder: bool = False) -> Config:
        return self


def config(**changes: Any) -> Config:
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": G, "hidden_size": 16}
    return Config(**{**sizes, "max_position_embeddings": 32, "_attn_implementation": "sdpa", **changes})


def states(tokens: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, G, tokens, D), torch.randn(batch, G, tokens, D)


def test_the_names_are_public() -> None:
    assert xf.StaticCache is StaticCache and xf.StaticLayer is StaticLayer and xf.HybridCache is HybridCache
    assert {xf.SlidingWindowLayer, xf.ChunkedSlidingLayer} == {SlidingWindowLayer, ChunkedSlidingLayer}


def test_sizes() -> None:
    cache = StaticCache(config(), max_batch_size=2, max_cache_len=10, dtype=torch.bfloat16)
    assert [layer.keys.shape for layer in cache.layers] == [(2, 2, 10, 4)] * 3
    assert cache.is_compileable and cache.max_cache_len == 10 and cache.max_batch_size == 2
    assert cache.layers[0].keys.dtype == torch.bfloat16
    assert StaticCache(config()).max_cache_len == 32
    assert StaticCache(config(head_dim=6)).layers[0].keys.shape[-1] == 6
    assert StaticCache(config(), tp_size=2).layers[0].keys.shape[1] == 1
    mapped = StaticCache(config(), device="cpu", layer_device_map={1: "meta"})
    assert [layer.keys.device.type for layer in mapped.layers] == ["cpu", "meta", "cpu"]


def test_layers_follow_the_model() -> None:
    kinds = ["sliding_attention", "full_attention", "chunked_attention"]
    cache = HybridCache(config(layer_types=kinds, sliding_window=4, attention_chunk_size=6), max_cache_len=20)
    assert [type(layer) for layer in cache.layers] == [SlidingWindowLayer, StaticLayer, ChunkedSlidingLayer]
    assert [layer.get_max_cache_shape() for layer in cache.layers] == [4, 20, 6]
    assert cache.is_sliding == [True, False, True] and cache.first_layer_of_kind("chunked_attention") == 2
    with pytest.raises(ValueError, match=r"needs config\.sliding_window; use 'static'"):
        SlidingWindowCache(config())


def test_tensors_stay_where_they_are() -> None:
    for layer in (StaticLayer(8, 2, G, D), SlidingWindowLayer(4, 8, 2, G, D)):
        place = layer.keys.data_ptr()
        for tokens in (3, 1, 1, 2, 1):
            layer.update(*states(tokens, 2))
        layer.reorder_cache(torch.tensor([1, 0]))
        layer.reset()
        layer.update(*states(1, 2))
        assert layer.keys.data_ptr() == place


def test_what_does_not_fit_is_refused_and_nothing_is_lost() -> None:
    layer = StaticLayer(4, 1, G, D)
    keys, values = states(3)
    layer.update(keys, values)
    with pytest.raises(ValueError, match=r"holds 4 tokens, 5 are needed: make it larger \(max_cache_len\)"):
        layer.update(*states(2))
    with pytest.raises(ValueError, match="is for 1 rows, not 2: set max_batch_size"):
        layer.update(*states(1, batch=2))
    assert layer.get_seq_length() == 3 and torch.equal(layer.keys[:, :, :3], keys)
    short = SlidingWindowLayer(100, 4, 1, G, D)  # a window that the text was said not to reach
    with pytest.raises(ValueError, match="holds 4 tokens, 5 are needed"):
        short.update(*states(5))
    with pytest.raises(ValueError, match="needs room: max_cache_len=0"):
        StaticLayer(0, 1, G, D)
    with pytest.raises(ValueError, match="sliding_window is 0"):
        SlidingWindowLayer(0, 4, 1, G, D)


def test_positions_may_be_given_or_counted() -> None:
    layer, (keys, values) = StaticLayer(8, 1, G, D), states(3)
    layer.update(keys, values, {"cache_position": torch.tensor([0, 1, 2])})
    layer.update(*states(1))
    assert layer.get_seq_length() == 4
    new = states(2)
    layer.update(*new, {"cache_position": torch.tensor([5, 3])})  # any slots
    assert torch.equal(layer.keys[:, :, [5, 3]], new[0]) and layer.get_seq_length() == 4
    sliding = SlidingWindowLayer(4, 8, 1, G, D)
    sliding.update(*states(2))
    with pytest.raises(ValueError, match="of 2 tokens goes on there, not at position 5"):
        sliding.update(*states(1), {"cache_position": torch.tensor([5])})


def test_a_cache_made_in_inference_mode_works_outside_of_it() -> None:
    with torch.inference_mode():
        cache = StaticCache(config(), max_cache_len=4)
        cache.update(*states(1), 0)
    cache.update(*states(1), 0)
    assert cache.get_seq_length() == 2


def test_crop_forgets_the_latest_tokens() -> None:
    layer, (keys, values) = StaticLayer(8, 1, G, D), states(5)
    layer.update(keys, values)
    layer.crop(-2)
    assert layer.get_seq_length() == 3 and not layer.keys[:, :, 3:].any()
    sliding = SlidingWindowLayer(4, 8, 1, G, D)
    sliding.update(*states(6))
    with pytest.raises(ValueError, match="passed its 4 slots cannot be cropped to 3"):
        sliding.crop(3)


@settings(deadline=None, max_examples=50)
@given(window=st.integers(1, 5), pieces=st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_a_window_returns_all_that_new_tokens_may_see(window: int, pieces: list[int]) -> None:
    layer, seen = SlidingWindowLayer(window, 64, 1, G, D), 0
    all_keys = torch.arange(float(sum(pieces)))[None, None, :, None].expand(1, G, -1, D)
    for tokens in pieces:
        positions = torch.arange(seen, seen + tokens)
        length, offset = layer.get_mask_sizes(positions)
        keys, values = layer.update(all_keys[:, :, positions], -all_keys[:, :, positions])
        assert keys.shape[2] == length and torch.equal(keys, -values)
        at = dict(zip(range(offset, offset + length), keys[0, 0, :, 0].tolist(), strict=True))
        for query in positions.tolist():
            for key in range(max(query - window + 1, 0), query + 1):
                assert at[key] == key
        seen += tokens
    assert layer.get_seq_length() == seen


class Decoder(AttentionModule):
    """As little of a decoder as needs a cache and masks."""

    is_causal, scaling = True, 0.5

    def __init__(self, settings: Config, kinds: list[str]) -> None:
        super().__init__(settings)
        self.settings, self.kinds = settings, kinds

    def forward(self, x_BGTD: Tensor, cache_position: Tensor, cache: Any = None) -> Tensor:
        cache = self.cache if cache is None else cache
        embeds = x_BGTD.transpose(1, 2).flatten(2)
        masks = create_masks_for_layers(self.settings, self.kinds, embeds, None, cache_position, cache)
        for index, kind in enumerate(self.kinds):
            keys, values = cache.update(x_BGTD, x_BGTD + index, index, {"cache_position": cache_position})
            x_BGTD = x_BGTD + self.attend(x_BGTD, keys, values, masks[kind])[0].transpose(1, 2)
        return x_BGTD


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_decoder_with_a_static_cache_can_be_exported(strict: bool) -> None:
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    settings = config(layer_types=kinds, sliding_window=3)
    model = Decoder(settings, kinds).eval()
    model.cache = HybridCache(settings, max_cache_len=9)
    for index, layer in enumerate(model.cache.layers):
        model.register_buffer(f"key_cache_{index}", layer.keys, persistent=False)
        model.register_buffer(f"value_cache_{index}", layer.values, persistent=False)
    x = torch.randn(1, G, 9, D)
    expected = model(x, torch.arange(9), xf.DynamicCache(config=settings))
    with torch.no_grad():
        program = torch.export.export(model, (x[:, :, :1], torch.tensor([0])), strict=strict).module()
        steps = [program(x[:, :, t : t + 1], torch.tensor([t])) for t in range(9)]
    torch.testing.assert_close(torch.cat(steps, 2), expected)


def test_a_traced_program_needs_positions() -> None:
    class NoPositions(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return StaticLayer(4, 1, G, D).update(x, x)[0]

    with pytest.raises(ValueError, match="must give cache_position to a static cache"), torch.no_grad():
        torch.export.export(NoPositions(), (torch.randn(1, G, 1, D),), strict=False)


def test_masks_hide_slots_that_no_token_has_reached() -> None:
    cache = StaticCache(config(), max_cache_len=6)
    cache.update(*states(2), 0)
    mask = create_causal_mask(config(), torch.zeros(1, 1, 4), None, torch.tensor([2]), cache)
    assert mask.int().tolist() == [[[[1, 1, 1, 0, 0, 0]]]]


def test_the_heads_of_an_encoder_decoder_are_those_of_its_decoder() -> None:
    sizes = {"hidden_size": 8, "num_attention_heads": 4, "decoder_attention_heads": 2, "num_hidden_layers": 1}
    cache = StaticCache(xf.PretrainedConfig(**sizes), max_batch_size=1, max_cache_len=5)
    states = torch.ones(1, 2, 1, 4)
    keys, _ = cache.update(states, states, 0, {"cache_position": torch.tensor([0])})
    assert keys.shape == (1, 2, 5, 4)
