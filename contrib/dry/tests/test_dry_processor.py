"""The option reaches `generate` by being installed, and does what its description says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xf
from xf_contrib_dry.processor import DRYLogitsProcessor
from xf_testing import LogitsProcessorConformance, fill_weights


class TestContract(LogitsProcessorConformance):
    name = "dry"
    settings = {"dry_multiplier": 0.8, "dry_allowed_length": 1}

    def inputs(self, rows=3):
        _, scores = super().inputs(rows)
        return torch.tensor([[5, 6, 7, 5, 6], [4, 4, 4, 4, 4], [3, 9, 8, 7, 3]])[:rows], scores


def penalties(ids, multiplier=1.0, base=2.0, allowed_length=1, breakers=()):
    """What is taken off each token, {token: penalty}."""
    scores = torch.zeros(1, 10, dtype=torch.double)
    result = DRYLogitsProcessor(multiplier, base, allowed_length, breakers)(torch.tensor([ids]), scores)
    return {token: -value for token, value in enumerate(result[0].tolist()) if value}


def test_the_token_that_would_go_on_is_penalised():
    assert penalties([1, 2, 3, 1, 2]) == {3: 2.0}


def test_longer_repetitions_cost_more():
    assert penalties([1, 2, 3, 4, 5, 1, 2, 3, 4]) == {5: 8.0}


def test_short_repetitions_are_allowed():
    assert penalties([1, 2, 3, 1, 2], allowed_length=3) == {}


def test_the_longest_of_several_counts():
    assert penalties([1, 2, 7, 2, 7, 1, 2]) == {7: 2.0}


def test_nothing_reaches_across_a_breaker():
    assert penalties([1, 9, 2, 5, 1, 9, 2], breakers=[9]) == {5: 1.0}


def test_one_token_has_nothing_to_repeat():
    assert penalties([1]) == {}


def by_hand(ids, multiplier, base, allowed):
    found = {}
    for t in range(len(ids) - 1):
        length = 0
        while length <= t and ids[t - length] == ids[len(ids) - 1 - length]:
            length += 1
        if length >= allowed:
            found[ids[t + 1]] = max(found.get(ids[t + 1], 0), multiplier * base ** (length - allowed))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(1, 3))
def test_equals_the_description_word_for_word(ids, allowed):
    assert penalties(ids, 0.5, 1.5, allowed) == pytest.approx(by_hand(ids, 0.5, 1.5, allowed))


def model():
    config = xf.LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return fill_weights(xf.LlamaForCausalLM(config)).eval()


def test_generate_knows_the_option():
    torch.manual_seed(0)
    llama, prompt = model(), torch.tensor([[3, 4, 5]])
    call = {"max_new_tokens": 24, "min_new_tokens": 24, "do_sample": False}
    plain = llama.generate(prompt, **call)[0].tolist()
    fresh = llama.generate(prompt, **call, dry_multiplier=50.0, dry_allowed_length=1)[0].tolist()
    assert repeated(plain) > repeated(fresh), "greedy search on a random model loops; with DRY it must not"


def repeated(ids, length=3):
    grams = [tuple(ids[i : i + length]) for i in range(len(ids) - length + 1)]
    return len(grams) - len(set(grams))


def test_off_it_changes_nothing():
    llama, prompt = model(), torch.tensor([[3, 4, 5]])
    call = {"max_new_tokens": 8, "do_sample": False}
    assert torch.equal(llama.generate(prompt, **call), llama.generate(prompt, **call, dry_multiplier=0.0))


@pytest.mark.parametrize(("setting", "value"), [
    ("dry_multiplier", -1.0), ("dry_base", 0.5), ("dry_allowed_length", 0),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(setting, value):
    call = {"dry_multiplier": 0.8, setting: value}
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        model().generate(torch.tensor([[3, 4]]), max_new_tokens=2, **call)
