"""Logits processors: invariants, their order, options of one's own, and what a user's own list replaces."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xf
from xf.interfaces.logits import LogitsContext, LogitsProcessor
from xf.plugins import registry
from xf_generation.assemble import CUSTOM_PROCESSORS_AT
from xf_generation.options import providers


def answers_module() -> ModuleType:
    if "generation_answers" in sys.modules:  # another file of tests has loaded it, with its models
        return sys.modules["generation_answers"]
    path = Path(__file__).with_name("generation_answers.py")
    spec = importlib.util.spec_from_file_location("generation_answers", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ANSWERS = answers_module()
IDS = torch.tensor([[5, 9, 30, 11], [7, 22, 3, 18]])
numbers = st.floats(-20, 20, width=32)
rows = st.lists(st.lists(numbers, min_size=6, max_size=6), min_size=1, max_size=3).map(torch.tensor)
WARPERS = {
    "top_k": lambda: xf.TopKLogitsWarper(3),
    "top_p": lambda: xf.TopPLogitsWarper(0.7),
    "min_p": lambda: xf.MinPLogitsWarper(0.2),
    "typical": lambda: xf.TypicalLogitsWarper(0.6),
    "epsilon": lambda: xf.EpsilonLogitsWarper(0.1),
    "eta": lambda: xf.EtaLogitsWarper(0.1),
}


@pytest.mark.parametrize("name", WARPERS)
@settings(max_examples=60, deadline=None)
@given(scores=rows)
def test_warpers_drop_tokens_and_change_no_other_score(name: str, scores: torch.Tensor) -> None:
    before = scores.clone()
    found = WARPERS[name]()(torch.zeros(len(scores), 1, dtype=torch.long), scores)
    kept = found != -math.inf
    assert kept.any(dim=1).all()  # something can be drawn
    assert torch.equal(found[kept], before[kept])
    assert torch.equal(scores, before)  # the model's scores are not written on
    if name != "typical":  # which may drop the likeliest
        assert torch.equal(found.amax(dim=1), before.amax(dim=1))


@settings(max_examples=60, deadline=None)
@given(scores=rows, mass=st.floats(0.05, 0.95))
def test_top_p_keeps_the_mass_and_not_more_tokens_than_that_takes(scores: torch.Tensor, mass: float) -> None:
    kept = xf.TopPLogitsWarper(mass)(torch.zeros(len(scores), 1, dtype=torch.long), scores) != -math.inf
    probs = scores.softmax(dim=-1)
    assert ((probs * kept).sum(dim=1) >= mass - 1e-4).all()
    least = probs.masked_fill(~kept, 2.0).amin(dim=1)
    many = kept.sum(dim=1) > 1
    assert (((probs * kept).sum(dim=1) - least)[many] < mass + 1e-4).all()  # without the last one it is less


@settings(max_examples=60, deadline=None)
@given(scores=rows, penalty=st.floats(1.01, 5.0))
def test_a_repetition_penalty_makes_tokens_of_the_text_less_likely_and_no_others(
    scores: torch.Tensor, penalty: float
) -> None:
    text = torch.tensor([[1, 4, 1]]).expand(len(scores), -1)
    found = xf.RepetitionPenaltyLogitsProcessor(penalty)(text, scores)
    assert (found[:, [1, 4]] <= scores[:, [1, 4]]).all()
    assert torch.equal(found[:, [0, 2, 3, 5]], scores[:, [0, 2, 3, 5]])


@settings(max_examples=80, deadline=None)
@given(ids=st.lists(st.integers(0, 4), min_size=1, max_size=14), size=st.integers(1, 4))
def test_no_ngram_comes_twice(ids: list[int], size: int) -> None:
    found = xf.NoRepeatNGramLogitsProcessor(size)(torch.tensor([ids]), torch.zeros(1, 5))
    known = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
    for token in range(5):
        repeats = len(ids) >= size - 1 and (*ids[len(ids) - size + 1 :], token) in known
        assert (found[0, token] == -math.inf) == repeats


def test_penalties_come_before_warpers_and_normalization_last() -> None:
    names = [provider.__name__ for provider in providers("logits")]
    place = {name: names.index(name) for name in names}
    assert place["RepetitionPenaltyLogitsProcessor"] < place["TemperatureLogitsWarper"]
    warpers = ["TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "MinPLogitsWarper"]
    assert sorted(warpers, key=place.__getitem__) == warpers
    assert place["LogitNormalization"] > max(place[name] for name in warpers)


class OnlyEven(LogitsProcessor):
    """Lets even tokens through: turned on by the option only_even."""

    options = {"only_even": False}
    order = CUSTOM_PROCESSORS_AT - 1

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        return cls() if options["only_even"] else None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.masked_fill(torch.arange(scores.shape[-1]) % 2 == 1, -math.inf)


def test_a_plugin_adds_an_option_without_touching_the_loop() -> None:
    model = ANSWERS.model(xf, "llama")
    with pytest.raises(ValueError, match="only_even"):
        model.generate(IDS, max_new_tokens=3, only_even=True)
    registry("logits").register("only_even", OnlyEven)
    try:
        for strategy in ({}, {"do_sample": True}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 2}):
            ids = IDS[:1] if "prompt_lookup_num_tokens" in strategy else IDS
            found = model.generate(ids, max_new_tokens=8, only_even=True, eos_token_id=None, **strategy)
            assert (found[:, 4:] % 2 == 0).all()
    finally:
        registry("logits").unregister("only_even")


def test_a_processor_of_the_users_replaces_that_of_the_settings() -> None:
    model = ANSWERS.model(xf, "llama")
    strong = model.generate(IDS, max_new_tokens=10, repetition_penalty=3.0)
    mine = [xf.RepetitionPenaltyLogitsProcessor(3.0)]
    assert torch.equal(model.generate(IDS, max_new_tokens=10, repetition_penalty=1.01, logits_processor=mine), strong)
    assert not torch.equal(model.generate(IDS, max_new_tokens=10, repetition_penalty=1.01), strong)
    with pytest.raises(ValueError, match="list of callables"):
        model.generate(IDS, max_new_tokens=3, logits_processor=["loud"])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: xf.TemperatureLogitsWarper(0.0), "do_sample=False"),
        (lambda: xf.TemperatureLogitsWarper("hot"), "greater than 0"),
        (lambda: xf.TopKLogitsWarper(0), "positive integer"),
        (lambda: xf.TopPLogitsWarper(1.2), "between 0 and 1"),
        (lambda: xf.TopPLogitsWarper(0.5, min_tokens_to_keep=0), "min_tokens_to_keep"),
        (lambda: xf.MinPLogitsWarper(-0.1), "between 0 and 1"),
        (lambda: xf.TypicalLogitsWarper(1.0), "less than 1"),
        (lambda: xf.EpsilonLogitsWarper(0.0), "greater than 0"),
        (lambda: xf.RepetitionPenaltyLogitsProcessor(0.0), "greater than 0"),
        (lambda: xf.NoRepeatNGramLogitsProcessor(0), "positive integer"),
        (lambda: xf.MinLengthLogitsProcessor(-1, 2), "min_length"),
        (lambda: xf.ForcedEOSTokenLogitsProcessor(5, -2), "at least 0"),
        (lambda: xf.SequenceBiasLogitsProcessor({}), "sequence_bias"),
        (lambda: xf.NoBadWordsLogitsProcessor([], 2), "bad_words_ids"),
        (lambda: xf.ClassifierFreeGuidanceLogitsProcessor(1.0), "greater than 1"),
    ],
)
def test_arguments_that_make_no_sense(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()
