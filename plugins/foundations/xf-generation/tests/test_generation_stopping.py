"""When a row stops: criteria alone, in lists, per row, and of one's own."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xf
from xf_generation.stop_strings import StopStringCriteria
from xf_generation.stopping import ConfidenceCriteria, MaxLengthCriteria, StoppingCriteriaList


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
PIECES = ["a", "ab", "b", "ba", " ", " a", "stop", "st", "op", "p!", "!", "\n"]


class Pieces:
    """A tokenizer whose tokens are PIECES, end to end."""

    def decode(self, ids: list[int], **kwargs: Any) -> str:
        return "".join(PIECES[i] for i in ids)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=12),
    st.lists(st.sampled_from(["stop", "a", "ba!", "b\n", " a", "ab ab", "op!"]), min_size=1, max_size=3),
)
def test_a_row_stops_when_its_last_token_completes_a_stop_string(ids: list[int], stops: list[str]) -> None:
    criterion = StopStringCriteria(Pieces(), stops)
    for end in range(1, len(ids) + 1):
        text, before = Pieces().decode(ids[:end]), Pieces().decode(ids[: end - 1])
        # a stop string that ends inside the last token
        expected = any(text.find(stop, max(len(before) - len(stop) + 1, 0)) >= 0 for stop in stops)
        assert bool(criterion(torch.tensor([ids[:end]]), None)[0]) == expected


def test_a_list_stops_a_row_when_any_criterion_does() -> None:
    criteria = StoppingCriteriaList([xf.EosTokenCriteria(11), lambda ids, scores: torch.tensor([False, True])])
    assert criteria(IDS, None).tolist() == [True, True]
    assert StoppingCriteriaList([xf.EosTokenCriteria([11, 4])])(IDS, None).tolist() == [True, False]
    assert StoppingCriteriaList()(IDS, None).tolist() == [False, False]
    assert StoppingCriteriaList([MaxLengthCriteria(9)]).max_length == 9


def test_a_list_gets_the_bound_it_lacks() -> None:
    empty = StoppingCriteriaList()
    assert xf.validate_stopping_criteria(empty, 7).max_length == 7
    assert len(empty) == 0  # a copy was changed
    assert xf.validate_stopping_criteria(StoppingCriteriaList([MaxLengthCriteria(5)]), 7).max_length == 5


def test_a_draft_stops_where_it_is_unsure() -> None:
    criterion = ConfidenceCriteria(0.6)
    sure, unsure = torch.tensor([[0.0, 3.0, 0.0]]), torch.tensor([[0.0, 0.5, 0.0]])
    ids = torch.tensor([[2, 1]])
    assert not criterion(ids, (unsure, sure))[0]
    assert criterion(ids, (sure, unsure))[0]


def test_time_that_is_up() -> None:
    assert xf.MaxTimeCriteria(5.0, initial_timestamp=time.time() - 6)(IDS, None).all()
    assert not xf.MaxTimeCriteria(5.0)(IDS, None).any()
    model = ANSWERS.model(xf, "llama")

    def slow(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return scores

    found = model.generate(IDS, max_new_tokens=100, max_time=0.2, logits_processor=[slow])
    assert 4 < found.shape[1] < 40


@pytest.mark.parametrize("strategy", [{}, {"do_sample": True}, {"num_beams": 3}, {"penalty_alpha": 0.6, "top_k": 3}])
def test_a_criterion_of_ones_own_ends_rows_one_by_one(strategy: dict[str, Any]) -> None:
    model = ANSWERS.model(xf, "llama")
    criterion = lambda ids, scores: (ids[:, 0] == 5) & (ids.shape[1] >= 7)  # noqa: E731
    ends = {"eos_token_id": 39, "pad_token_id": 4, "stopping_criteria": [criterion]}
    found = model.generate(IDS, max_new_tokens=8, seed=0, **ends, **strategy)
    assert (found[0, 7:] == 4).all()
    assert found.shape[1] > 7


def test_every_end_token_ends_its_row() -> None:
    model = ANSWERS.model(xf, "llama")
    plain = model.generate(IDS, max_new_tokens=10)
    ends = [int(plain[0, 6]), int(plain[1, 5])]
    found = model.generate(IDS, max_new_tokens=10, eos_token_id=ends)
    for row, known in zip(found.tolist(), plain.tolist(), strict=True):
        stop = next(i for i, token in enumerate(known) if i >= 4 and token in ends)
        assert row[: stop + 1] == known[: stop + 1]
        assert set(row[stop + 1 :]) <= {ANSWERS.PAD}


def test_stop_strings_end_rows_and_keep_what_completes_them() -> None:
    model, tokenizer = ANSWERS.model(xf, "llama"), ANSWERS.tokenizer(xf)
    plain = model.generate(IDS, max_new_tokens=10)
    stop = tokenizer.decode(plain[0, 5:7])
    found = model.generate(IDS, max_new_tokens=10, stop_strings=[stop], tokenizer=tokenizer)
    assert stop in tokenizer.decode(found[0])
    assert (found[0, 7:] == ANSWERS.PAD).all()
