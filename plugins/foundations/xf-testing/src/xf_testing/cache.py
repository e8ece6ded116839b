"""What every cache must do.

Shapes: B batch, G key-value heads, T new tokens, K tokens so far, D head width; keys and values are (B, G, K, D).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from xf.interfaces.cache import Cache
from xf.interfaces.mask import causal_mask_function, expand_mask, sliding_window_causal_mask_function

from .attention import oracle
from .base import Conformance

B, G, D, LAYERS, LIMIT, WINDOW = 3, 2, 16, 2, 24, 6


class _Config(SimpleNamespace):
    """What a cache may read from a model's config."""

    def get_text_config(self, decoder: bool = False) -> _Config:
        return self


class CacheConformance(Conformance):
    """Subclass, set `name` (as `cache_implementation`), and every check of the cache contract runs on it.

    Flags: can_crop, can_slide (serves sliding layers), is_bounded (has a limit that must be enforced), is_exact (gives
    back bit for bit what it was given; else `atol`), can_reorder.
    """

    contract: ClassVar[str] = "cache"
    name: ClassVar[str] = ""
    can_crop: ClassVar[bool] = True
    can_slide: ClassVar[bool] = True
    can_reorder: ClassVar[bool] = True
    is_bounded: ClassVar[bool] = False
    is_exact: ClassVar[bool] = True
    atol: ClassVar[float] = 0.0
    cache_config: ClassVar[dict[str, Any]] = {}

    def make_config(self, kinds: list[str] | None = None) -> Any:
        """A model's config: two layers of the given kinds."""
        kinds = kinds or ["full_attention"] * LAYERS
        return _Config(
            num_hidden_layers=len(kinds), num_attention_heads=4, num_key_value_heads=G, head_dim=D, hidden_size=4 * D,
            layer_types=kinds, sliding_window=WINDOW if "sliding_attention" in kinds else None,
            max_position_embeddings=LIMIT,
        )  # fmt: skip

    def cache_class(self) -> type[Cache]:
        from xf.plugins import registry

        return registry("cache").get(self.name)

    def make_cache(self, config: Any = None, batch_size: int = B) -> Cache:
        """A fresh cache, made as `generate` makes it."""
        return self.cache_class().for_generation(
            config or self.make_config(),
            batch_size=batch_size,
            max_length=LIMIT,
            device=torch.device("cpu"),
            dtype=torch.float32,
            **self.cache_config,
        )

    # -- helpers

    def states(self, tokens: int, seed: int = 0, batch_size: int = B) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        k, v = (torch.randn(batch_size, G, tokens, D, generator=generator) for _ in range(2))
        return k, v

    def feed(self, cache: Cache, k: Tensor, v: Tensor, layer: int = 0) -> tuple[Tensor, Tensor]:
        """Add tokens to one layer; asserts that the mask sizes announced before fit what comes back."""
        start = cache.get_seq_length(layer)
        positions = torch.arange(start, start + k.shape[2])
        length, offset = cache.get_mask_sizes(positions, layer)
        keys, values = cache.update(k, v, layer, {"cache_position": positions})
        if len(cache.layers) > layer and start:  # an untouched layer may not know its kind of storage yet
            assert keys.shape[2] == length, f"announced {length} keys from {offset}, returned {keys.shape[2]}"
        return keys, values

    def kept(self, cache: Cache, layer: int = 0) -> tuple[Tensor, Tensor]:
        """The keys and values of the tokens seen so far."""
        keys, values = cache[layer][:2]
        seen = cache.get_seq_length(layer)
        return keys[:, :, :seen], values[:, :, :seen]

    def same(self, actual: Tensor, expected: Tensor) -> None:
        if self.is_exact:
            assert torch.equal(actual, expected)
        else:
            torch.testing.assert_close(actual.to(expected.dtype), expected, atol=self.atol, rtol=0)

    # -- storage

    def test_is_a_cache(self) -> None:
        assert isinstance(self.make_cache(), Cache)

    def test_returns_what_it_was_given(self) -> None:
        cache, (k, v) = self.make_cache(), self.states(7)
        self.feed(cache, k[:, :, :4], v[:, :, :4])
        keys, values = self.feed(cache, k[:, :, 4:], v[:, :, 4:])
        self.same(keys[:, :, :7], k)
        self.same(values[:, :, :7], v)

    def test_one_token_at_a_time(self) -> None:
        cache, (k, v) = self.make_cache(), self.states(LIMIT)
        for t in range(LIMIT):
            keys, values = self.feed(cache, k[:, :, t : t + 1], v[:, :, t : t + 1])
            self.same(keys[:, :, : t + 1], k[:, :, : t + 1])
            self.same(values[:, :, : t + 1], v[:, :, : t + 1])

    def test_counts_tokens_per_layer(self) -> None:
        cache, (k, v) = self.make_cache(), self.states(5)
        assert cache.get_seq_length() == 0
        for layer in range(LAYERS):
            self.feed(cache, k, v, layer)
            assert cache.get_seq_length(layer) == 5

    def test_layers_do_not_mix(self) -> None:
        cache = self.make_cache()
        first, second = self.states(5, seed=1), self.states(5, seed=2)
        self.feed(cache, *first, 0)
        self.feed(cache, *second, 1)
        self.same(self.kept(cache, 0)[0], first[0])
        self.same(self.kept(cache, 1)[0], second[0])

    def test_what_was_returned_stays_valid(self) -> None:
        """Keys handed to attention must hold their values until the next update of the layer, also in other layers."""
        cache, (k, v) = self.make_cache(), self.states(6)
        keys, _ = self.feed(cache, k, v, 0)
        before = keys[:, :, :6].clone()
        self.feed(cache, *self.states(6, seed=3), 1)
        assert torch.equal(keys[:, :, :6], before)

    def test_inputs_are_not_changed(self) -> None:
        cache, (k, v) = self.make_cache(), self.states(6)
        k_before, v_before = k.clone(), v.clone()
        self.feed(cache, k, v)
        self.feed(cache, *self.states(3, seed=5))
        assert torch.equal(k, k_before) and torch.equal(v, v_before)

    def test_reset_forgets(self) -> None:
        cache, (k, v) = self.make_cache(), self.states(6)
        self.feed(cache, k, v)
        cache.reset()
        assert cache.get_seq_length() == 0
        other = self.states(4, seed=9)
        keys, _ = self.feed(cache, *other)
        self.same(keys[:, :, :4], other[0])

    # -- rows

    def test_beams_take_over_rows(self) -> None:
        if not self.can_reorder:
            self.not_claimed("can_reorder")
        cache, (k, v) = self.make_cache(), self.states(5)
        self.feed(cache, k, v)
        order = torch.tensor([2, 0, 0])
        cache.reorder_cache(order)
        keys, values = self.kept(cache)
        self.same(keys, k[order])
        self.same(values, v[order])
        more = self.states(1, seed=4)
        keys, _ = self.feed(cache, *more)
        self.same(keys[:, :, :6], torch.cat([k[order], more[0]], 2))

    def test_rows_can_be_selected_and_repeated(self) -> None:
        if not self.can_reorder:
            self.not_claimed("can_reorder")
        cache, (k, v) = self.make_cache(), self.states(5)
        self.feed(cache, k, v)
        cache.batch_select_indices(torch.tensor([0, 2]))
        self.same(self.kept(cache)[0], k[[0, 2]])
        cache.batch_repeat_interleave(2)
        self.same(self.kept(cache)[0], k[[0, 0, 2, 2]])

    # -- length

    @pytest.mark.parametrize("by", [4, -3])
    def test_crop(self, by: int) -> None:
        if not self.can_crop:
            cache = self.make_cache()
            self.feed(cache, *self.states(7))
            with pytest.raises(ValueError):
                cache.crop(by)
            return
        cache, (k, v) = self.make_cache(), self.states(7)
        self.feed(cache, k, v)
        cache.crop(by)
        assert cache.get_seq_length() == 4
        self.same(self.kept(cache)[0], k[:, :, :4])
        more = self.states(2, seed=8)
        keys, _ = self.feed(cache, *more)
        self.same(keys[:, :, :6], torch.cat([k[:, :, :4], more[0]], 2))

    def test_the_limit_is_enforced(self) -> None:
        cache = self.make_cache()
        self.feed(cache, *self.states(LIMIT))
        if not self.is_bounded:
            assert cache.get_max_cache_shape() == -1
            return
        assert cache.get_max_cache_shape() == LIMIT
        with pytest.raises((ValueError, IndexError), match=str(LIMIT)):
            self.feed(cache, *self.states(1))

    # -- attention over it

    @pytest.mark.parametrize("steps", [(9,), (5, 4), (1,) * 9, (4, 1, 1, 3), (7, 2)])
    @pytest.mark.parametrize("kind", ["full_attention", "sliding_attention"])
    def test_attention_over_the_cache_equals_attention_at_once(self, kind: str, steps: tuple[int, ...]) -> None:
        if kind == "sliding_attention" and not self.can_slide:
            self.not_claimed("can_slide")
        cache, total = self.make_cache(self.make_config([kind] * LAYERS)), sum(steps)
        k, v = self.states(total)
        q = torch.randn(B, 4, total, D, generator=torch.Generator().manual_seed(6))
        function = causal_mask_function if kind == "full_attention" else sliding_window_causal_mask_function(WINDOW)
        everything = torch.arange(total)
        expected, _ = oracle(q, k, v, expand_mask(function, B, everything, everything, None))
        done, outputs = 0, []
        for step in steps:
            positions = torch.arange(done, done + step)
            new = slice(done, done + step)
            keys, values = cache.update(k[:, :, new], v[:, :, new], 0, {"cache_position": positions})
            # sizes are asked of the state before the update; a fresh cache answers for its first tokens alone
            length = keys.shape[2]
            offset = self.first_position(cache, length, done + step)
            allowed = expand_mask(function, B, positions, torch.arange(offset, offset + length), None)
            allowed = allowed & (torch.arange(offset, offset + length) < done + step)
            outputs.append(oracle(q[:, :, new], keys, values, allowed)[0])
            done += step
        torch.testing.assert_close(torch.cat(outputs, 1), expected, atol=max(1e-9, self.atol), rtol=0)

    def first_position(self, cache: Cache, length: int, seen: int) -> int:
        """Absolute position of the first key returned: caches without preallocated slots return the latest ones."""
        return 0 if length >= seen else seen - length
