"""The task question-answering: the recorded answers of the reference, and what only xf promises."""

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
    return pipeline("question-answering", model=str(GOLDENS / "checkpoint"))


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
def test_the_answers_of_question_answering_are_those_of_the_reference(pipe, i):
    case, golden = CASES[i], ANSWERS[i]
    if isinstance(golden, dict) and list(golden) == ["error"]:
        with pytest.raises((ValueError, KeyError, TypeError)) as caught:
            pipe(*case.get("args", []), **case.get("kwargs", {}))
        assert str(caught.value), "an error says what was wrong"
    else:
        assert same(plain(pipe(*case.get("args", []), **case.get("kwargs", {}))), golden)


def test_the_answer_stands_where_it_is_said_to_stand(pipe):
    context = "hello world, my name is sarah and i live in london."
    for answer in pipe(question="who", context=context, top_k=5):
        assert context[answer["start"] : answer["end"]] == answer["answer"]


def test_batches_of_questions_of_different_lengths_give_the_same(pipe):
    inputs = [{"question": "hello?", "context": "world " * n + "a b"} for n in (2, 3, 9, 4, 40, 2)]
    for options in ({}, {"top_k": 3, "align_to_words": False}):
        together, singly = pipe(inputs, batch_size=4, **options), [pipe(item, **options) for item in inputs]
        assert same(plain(together), plain(singly))


def test_answers_of_several_windows_with_one_text_are_one(pipe):
    item = {"question": "hello?", "context": "world a " * 30}
    found = pipe(item, top_k=5, align_to_words=False, max_seq_len=24, doc_stride=8)
    texts = [answer["answer"].lower() for answer in found]
    assert len(set(texts)) == len(texts)
