"""The task text-classification: the recorded answers of the reference, and what only xf promises."""

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
    return pipeline("text-classification", model=str(GOLDENS / "checkpoint"))


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
def test_the_answers_of_text_classification_are_those_of_the_reference(pipe, i):
    case, golden = CASES[i], ANSWERS[i]
    if isinstance(golden, dict) and list(golden) == ["error"]:
        with pytest.raises((ValueError, KeyError, TypeError)) as caught:
            pipe(*case.get("args", []), **case.get("kwargs", {}))
        assert str(caught.value), "an error says what was wrong"
    else:
        assert same(plain(pipe(*case.get("args", []), **case.get("kwargs", {}))), golden)


def test_batches_keep_the_order_and_the_numbers(pipe):
    texts = ["hello", "a much longer text than the others", "b", "world " * 20] * 3
    singly = [pipe(text)[0] for text in texts]
    assert same(plain(pipe(texts, batch_size=5)), plain(singly))
    assert same(plain(list(pipe(text for text in texts))), plain(singly))


def test_one_bad_text_is_an_error_of_its_own_where_that_is_asked_for(pipe):
    results = pipe(["hello", 7, "world"], on_error="return")
    assert "score" in results[0] and "score" in results[2] and results[1].index == 1
