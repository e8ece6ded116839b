"""Masks: every maker equals a brute-force definition, for every kind, size, padding, cache and backend."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xf.interfaces.cache import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from xf.interfaces.mask import (
    and_masks,
    bidirectional_mask_function,
    causal_mask_function,
    create_bidirectional_mask,
    create_causal_mask,
    create_chunked_causal_mask,
    create_masks_for_generate,
    create_sliding_window_causal_mask,
    expand_mask,
    find_packed_sequence_indices,
    or_masks,
    padding_mask_function,
    prefix_mask_function,
    to_additive,
)

torch.set_num_threads(1)
WINDOW, CHUNK = 3, 4
MAKERS = {
    "full": (create_causal_mask, lambda q, k: k <= q),
    "sliding": (create_sliding_window_causal_mask, lambda q, k: q - WINDOW < k <= q),
    "chunked": (create_chunked_causal_mask, lambda q, k: k <= q and k // CHUNK == q // CHUNK),
}


class Config(SimpleNamespace):
    def get_text_config(self, decoder: bool = False) -> Config:
        return self


def config(backend: str) -> Config:
    return Config(_attn_implementation=backend, sliding_window=WINDOW, attention_chunk_size=CHUNK, num_hidden_layers=1)


def filled(layer: DynamicLayer, tokens: int) -> Cache:
    cache = Cache(layer_classes=lambda: layer)
    if tokens:
        cache.update(torch.zeros(1, 1, tokens, 2), torch.zeros(1, 1, tokens, 2), 0)
    return cache


def allowed(mask: Tensor | None, batch: int, queries: int, keys: int) -> Tensor:
    """A mask of any backend as bool (B, Q, K); None as what a kernel then does: causal among the last queries."""
    if mask is None:
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).expand(batch, -1, -1)
    assert mask.shape == (batch, 1, queries, keys)
    return mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] == 0


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(MAKERS)),
    backend=st.sampled_from(["eager", "sdpa"]),
    past=st.integers(0, 9),
    queries=st.integers(1, 6),
    slides=st.booleans(),
    padding=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    side=st.sampled_from(["none", "left", "right"]),
)
def test_causal_masks_are_their_definition(
    kind: str, backend: str, past: int, queries: int, slides: bool, padding: list[int], side: str
) -> None:
    maker, predicate = MAKERS[kind]
    layer = DynamicSlidingWindowLayer(WINDOW) if slides and kind == "sliding" else DynamicLayer()
    cache, batch, total = filled(layer, past), len(padding), past + queries
    mask = None
    if side != "none":
        mask = torch.ones(batch, total, dtype=torch.long)
        for row, count in enumerate(padding):
            mask[row, :count] = 0
        mask = mask if side == "left" else mask.flip(1)
    positions = torch.arange(past, total)
    made = maker(config(backend), torch.zeros(batch, queries, 4), mask, positions, cache)
    kv_length, kv_offset = cache.get_mask_sizes(positions)
    expected = torch.tensor(
        [
            [
                [
                    predicate(q, k) and (mask is None or bool(mask[row, k]))
                    for k in range(kv_offset, kv_offset + kv_length)
                ]
                for q in range(past, total)
            ]
            for row in range(batch)
        ]
    )
    assert torch.equal(allowed(made, batch, queries, kv_length), expected)


def test_no_mask_is_built_where_causal_order_says_all() -> None:
    positions, x = torch.arange(5), torch.zeros(2, 5, 4)
    assert create_causal_mask(config("sdpa"), x, None, positions, None) is None
    assert create_causal_mask(config("sdpa"), x, torch.ones(2, 5), positions, None) is None
    one = create_causal_mask(config("sdpa"), x[:, :1], None, torch.tensor([7]), filled(DynamicLayer(), 7))
    assert one is None
    assert create_sliding_window_causal_mask(config("sdpa"), x, None, positions, None) is not None
    assert create_causal_mask(config("eager"), x, None, positions, None) is not None


def test_slots_of_a_preallocated_cache_that_lie_ahead_are_masked() -> None:
    class Slots(DynamicLayer):
        is_compileable = True

        def get_mask_sizes(self, cache_position: Tensor) -> tuple[int, int]:
            return 8, 0

    positions = torch.arange(2, 4)
    made = create_causal_mask(config("sdpa"), torch.zeros(1, 2, 4), torch.ones(1, 4), positions, filled(Slots(), 2))
    assert allowed(made, 1, 2, 8).int().tolist() == [[[1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]]]


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_packed_sequences_do_not_see_each_other(backend: str) -> None:
    ids = torch.tensor([[0, 1, 2, 0, 1], [0, 1, 0, 1, 2]])
    numbers = find_packed_sequence_indices(ids)
    assert numbers.tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    made = create_causal_mask(config(backend), torch.zeros(2, 5, 4), None, torch.arange(5), None, position_ids=ids)
    same = numbers[:, :, None] == numbers[:, None]
    assert torch.equal(allowed(made, 2, 5, 5), same & torch.ones(5, 5).tril().bool())
    plain = create_causal_mask(config("sdpa"), torch.zeros(2, 5, 4), None, torch.arange(5), None, torch.arange(5)[None])
    assert plain is None


@given(data=st.data())
def test_combinations_are_and_and_or(data: st.DataObject) -> None:
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, 6), min_size=2, max_size=2)))
    padding = torch.tensor(data.draw(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=2, max_size=2)))
    parts = [causal_mask_function, prefix_mask_function(lengths), padding_mask_function(padding)]
    tables = [
        torch.ones(6, 6).tril().bool().expand(2, 6, 6),
        (torch.arange(6) < lengths[:, None])[:, None].expand(2, 6, 6),
        padding[:, None].expand(2, 6, 6),
    ]
    at = torch.arange(6)

    def expand(function: object) -> Tensor:
        return expand_mask(function, 2, at, at, None)[:, 0]

    assert torch.equal(expand(and_masks(*parts)), tables[0] & tables[1] & tables[2])
    assert torch.equal(expand(or_masks(*parts)), tables[0] | tables[1] | tables[2])
    assert torch.equal(expand(and_masks(or_masks(*parts[:2]), parts[2])), (tables[0] | tables[1]) & tables[2])
    assert expand(bidirectional_mask_function).all()


def test_makers_take_further_predicates() -> None:
    x, at = torch.zeros(2, 4, 4), torch.arange(4)
    prefix = prefix_mask_function(torch.tensor([2, 0]))
    made = create_causal_mask(config("sdpa"), x, None, at, None, or_mask_function=prefix)
    assert made[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    only_even = create_causal_mask(
        config("sdpa"), x, None, at, None, and_mask_function=lambda b, h, q, k: (k % 2 == 0) & (q >= 0)
    )
    assert only_even[1, 0].int().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]]


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_bidirectional_masks(backend: str) -> None:
    x, padding = torch.zeros(2, 3, 4), torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert create_bidirectional_mask(config(backend), x, None) is None
    assert create_bidirectional_mask(config(backend), x, torch.ones(2, 3)) is None
    made = create_bidirectional_mask(config(backend), x, padding)
    assert torch.equal(allowed(made, 2, 3, 3), padding.bool()[:, None].expand(2, 3, 3))
    encoder = torch.zeros(2, 5, 4)
    cross = create_bidirectional_mask(config(backend), x, torch.tensor([[1, 0, 0, 0, 0], [1] * 5]), encoder)
    assert allowed(cross, 2, 3, 5)[0].sum() == 3
    whole = torch.rand(2, 3, 3) > 0.5
    assert torch.equal(allowed(create_bidirectional_mask(config(backend), x, whole.long()), 2, 3, 3), whole)


def test_ready_masks_are_used_as_they_are() -> None:
    x, at = torch.zeros(1, 2, 4), torch.arange(2)
    ready = torch.tensor([[[[True, False], [True, True]]]])
    assert create_causal_mask(config("sdpa"), x, ready, at, None) is ready
    assert torch.equal(create_causal_mask(config("sdpa"), x, ready.long(), at, None), ready)
    assert torch.equal(create_causal_mask(config("eager"), x, ready, at, None), to_additive(ready, torch.float32))
    blocks = object()
    assert create_causal_mask(config("sdpa"), x, blocks, at, None) is blocks
    with pytest.raises(ValueError, match=r"attention_mask has 1 dimensions, shape \(3,\): give \(batch, positions\)"):
        create_causal_mask(config("sdpa"), x, torch.ones(3), at, None)
    with pytest.raises(ValueError, match="attention_mask is for 4 positions, the input has 2"):
        create_bidirectional_mask(config("sdpa"), x, torch.ones(1, 4))


def test_a_local_mask_needs_its_size() -> None:
    with pytest.raises(ValueError, match=r"config\.sliding_window is not set"):
        create_sliding_window_causal_mask(
            Config(_attn_implementation="sdpa"), torch.zeros(1, 2, 4), None, torch.arange(2), None
        )
    with pytest.raises(ValueError, match=r"config\.attention_chunk_size is not set"):
        create_chunked_causal_mask(
            Config(_attn_implementation="sdpa"), torch.zeros(1, 2, 4), None, torch.arange(2), None
        )


def test_masks_for_generate_follow_the_layers() -> None:
    mixed = config("eager")
    mixed.layer_types = ["sliding_attention", "full_attention", "sliding_attention"]
    x, at = torch.zeros(1, 5, 4), torch.arange(5)
    made = create_masks_for_generate(mixed, x, None, at, DynamicCache(config=mixed))
    assert list(made) == ["sliding_attention", "full_attention"]
    assert (made["sliding_attention"] == 0).sum() < (made["full_attention"] == 0).sum()
    plain = Config(_attn_implementation="eager", num_hidden_layers=2)
    assert create_masks_for_generate(plain, x, None, at, None).shape == (1, 1, 5, 5)
