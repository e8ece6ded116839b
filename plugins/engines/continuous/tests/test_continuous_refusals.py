"""What cannot be batched continuously is refused, and says so; the pool keeps to its size."""

from __future__ import annotations

from typing import Any

import pytest
from continuous_models import COMMON, llama
from hypothesis import given, settings
from hypothesis import strategies as st

from xf import ContinuousBatchingConfig, GenerationConfig
from xf_plugin_engine_continuous.pool import ROOT, OutOfPages, PagePool


def t5() -> Any:
    from xf import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=0)
    return T5ForConditionalGeneration(config).eval()


def with_states() -> Any:
    """One layer keeps a state, as those of Mamba do."""
    model = llama()
    model.config.layer_types = ["full_attention", "mamba"]
    return model


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (t5, "encoder"),
        (with_states, "mamba"),
        (lambda: llama().train(), r"model.eval\(\)"),
        (lambda: llama(rope_scaling={"rope_type": "dynamic", "factor": 2.0}), "dynamic"),
    ],
)
def test_models_that_cannot_be_paged(build: Any, told: str) -> None:
    model = build()
    with pytest.raises(ValueError, match=told):
        model.generate_batch([[1, 2]])
    with pytest.raises(ValueError, match=told):
        model.init_continuous_batching()


def test_a_model_that_makes_its_own_mask_is_refused() -> None:
    import torch

    model = llama()
    layer = model.model.layers[0]
    forward = layer.forward

    def with_own_mask(x: Any, rotation: Any, attention_mask: Any = None, *rest: Any, **options: Any) -> Any:
        return forward(x, rotation, torch.zeros(1, 1, x.shape[1], x.shape[1]), *rest, **options)

    layer.forward = with_own_mask
    output = model.generate_batch([[9, 12, 13]], max_new_tokens=2)["req_0"]
    assert "cannot be batched continuously" in str(output.error)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"page_size": 0}, "page_size"),
        ({"num_blocks": -1}, "num_blocks"),
        ({"num_blocks": 2, "pool_bytes": 4096}, "twice"),
        ({"max_batch_tokens": 1.5}, "max_batch_tokens"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ContinuousBatchingConfig(**given)


def test_older_code_sets_the_pool_in_its_generation_config() -> None:
    config = GenerationConfig(num_blocks=9, block_size=4, max_batch_tokens=32, max_new_tokens=3, do_sample=False)
    manager = llama().init_continuous_batching(config)
    assert manager.statistics()["pages"] == 9
    assert (manager.engine.pool.page_size, manager.engine.settings.max_batch_tokens) == (4, 32)
    with manager:
        assert len(manager.get_result(manager.add_request([9, 12])).generated_tokens) == 3


def test_the_pool_is_as_large_as_was_said() -> None:
    model = llama()
    token_bytes = 2 * 2 * 8 * COMMON["num_hidden_layers"] * 4  # keys and values, 2 heads of 8, float32
    config = ContinuousBatchingConfig(page_size=4, pool_bytes=10 * 4 * token_bytes + 5)
    manager = model.init_continuous_batching(continuous_batching_config=config)
    assert manager.statistics()["pages"] == 10
    assert manager.statistics()["pool_bytes"] == 10 * 4 * token_bytes
    with pytest.raises(ValueError, match="one page of 16 tokens takes"):
        model.init_continuous_batching(continuous_batching_config=ContinuousBatchingConfig(pool_bytes=100))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(1, 4)), max_size=60))
def test_every_page_is_free_held_or_cached(actions: list[tuple[int, int, int]]) -> None:
    """Whatever is taken, shared, registered, planned and given back, in any order."""
    pool, held = PagePool(12, 2), {owner: [] for owner in range(6)}  # type: dict[int, list[int]]
    for action, owner, count in actions:
        if action == 0:
            pool.plan(owner, count)
        elif action == 1:
            try:
                held[owner] += [pool.take(owner, held[owner][-1] if held[owner] else None)]
            except OutOfPages:
                assert pool.available == 0
        elif action == 2 and held[owner]:
            pool.register(held[owner][-1], ROOT, (owner, count))
        elif action == 3 and (found := pool.find(ROOT, (owner, count))) and found[0] not in held[owner]:
            pool.hold(found[0])
            held[owner].append(found[0])
        elif action == 4:
            pool.unplan(owner)
            pool.give_back(held[owner])
            held[owner] = []
        in_use = {page for pages in held.values() for page in pages}
        assert pool.available == 12 - len(in_use)
    for pages in held.values():
        pool.give_back(pages)
    assert pool.available == 12
    assert len({pool.take("all") for _ in range(12)}) == 12
    with pytest.raises(OutOfPages):
        pool.take("all")
