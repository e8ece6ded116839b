"""The task token-classification: the recorded answers of the reference, and what only xf promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xf import pipeline

GOLDENS = Path(__file__).parent / "goldens"
CASES = json.loads((GOLDENS / "cases.json").read_text())
ANSWERS = json.loads((GOLDENS / "answers.json").read_text())


@pytest.fixture(scope="module")
def pipe():
    return pipeline("token-classification", model=str(GOLDENS / "checkpoint"))


def plain(value):
    """As JSON would give it back."""
    return json.loads(json.dumps(value, default=float))


def same(ours, golden):
    if isinstance(golden, float):
        return isinstance(ours, (int, float)) and abs(ours - golden) < 1e-5
    if isinstance(golden, dict):
        return isinstance(ours, dict) and list(ours) == list(golden) and all(same(ours[k], golden[k]) for k in golden)
    if isinstance(golden, list):
        return isinstance(ours, list) and len(ours) == len(golden) and all(map(same, ours, golden))
    return ours == golden


@pytest.mark.parametrize("i", range(len(CASES)), ids=lambda i: json.dumps(CASES[i])[:60])
def test_the_answers_of_token_classification_are_those_of_the_reference(pipe, i):
    case, golden = CASES[i], ANSWERS[i]
    if isinstance(golden, dict) and list(golden) == ["error"]:
        with pytest.raises((ValueError, KeyError, TypeError)) as caught:
            pipe(*case.get("args", []), **case.get("kwargs", {}))
        assert str(caught.value), "an error says what was wrong"
    else:
        assert same(plain(pipe(*case.get("args", []), **case.get("kwargs", {}))), golden)


def test_an_input_of_another_kind_is_an_error_that_says_so(pipe):
    with pytest.raises(ValueError, match="text"):
        pipe(7)
    with pytest.raises(ValueError, match="nonsense"):
        pipe("hello", aggregation_strategy="nonsense")


def test_one_input_of_words_gives_a_list_of_one_result(pipe):
    (found,) = pipe(["hello", "world"], is_split_into_words=True, ignore_labels=[])
    assert [token["word"] for token in found] == ["hello", "world"]
