"""MambaCache: states that shift, are replaced, stay where they are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xf import MambaCache

CONFIG = SimpleNamespace(intermediate_size=3, state_size=5, conv_kernel=4, num_hidden_layers=2)


def make(rows: int = 2) -> MambaCache:
    return MambaCache(CONFIG, rows, dtype=torch.float32)


def test_sizes() -> None:
    cache = make()
    assert [s.shape for s in cache.conv_states] == [(2, 3, 4)] * 2
    assert [s.shape for s in cache.ssm_states] == [(2, 3, 5)] * 2
    assert MambaCache(CONFIG, 1).conv_states[0].dtype == torch.float16 and cache.is_compileable
    with pytest.raises(ValueError, match="max_batch_size is 0"):
        make(0)


@given(tokens=st.integers(1, 12))
def test_the_latest_inputs_are_kept_in_order(tokens: int) -> None:
    cache, inputs = make(), torch.arange(1.0, tokens + 1)
    for position, value in enumerate(inputs):
        # the first tokens fill up from the right only once the width is reached: a prompt is given whole
        state = cache.update_conv_state(0, value.expand(2, 3, 1), torch.tensor([max(position, 3)]))
    expected = torch.cat([torch.zeros(4), inputs])[-4:]
    assert torch.equal(state, expected.expand(2, 3, 4))


def test_a_prompt_is_given_whole() -> None:
    cache, prompt = make(), torch.randn(2, 3, 4)
    assert torch.equal(cache.update_conv_state(1, prompt, torch.arange(4)), prompt)
    assert not cache.conv_states[0].any()


def test_states_are_replaced_in_place_reset_and_reordered() -> None:
    cache, new = make(), torch.randn(2, 3, 5)
    place = cache.ssm_states[0].data_ptr()
    assert torch.equal(cache.update_ssm_state(0, new), new) and cache.ssm_states[0].data_ptr() == place
    cache.reorder_cache(torch.tensor([1, 1]))
    assert torch.equal(cache.ssm_states[0], new[[1, 1]]) and cache.ssm_states[0].data_ptr() == place
    cache.reset()
    assert not cache.ssm_states[0].any()


def test_it_may_be_made_in_inference_mode() -> None:
    with torch.inference_mode():
        cache = make()
    cache.update_ssm_state(0, torch.ones(2, 3, 5))
    assert cache.ssm_states[0].all()
