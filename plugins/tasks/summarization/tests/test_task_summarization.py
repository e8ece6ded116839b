"""The task summarization: the recorded answers of the reference, the conformance class, and what only xf promises."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from xf import pipeline
from xf_testing import PipelineConformance

HERE = Path(__file__).parent / "goldens"
CASES = json.loads((HERE / "cases.json").read_text("utf-8"))
ANSWERS = json.loads((HERE / "answers.json").read_text("utf-8"))
SHORT = {"max_new_tokens": 6}


def make(task: str = "summarization", **parameters: Any) -> Any:
    return pipeline(task, model=str(HERE / "t5"), device="cpu", **parameters)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda tensor: tensor.tolist()))


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make()


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: json.dumps(CASES[number])[:70])
def test_the_answers_are_those_of_the_reference(number: int) -> None:
    (task, inputs, parameters), golden = CASES[number], ANSWERS[number]
    if golden == "error":
        with pytest.raises((ValueError, TypeError, KeyError)) as caught:
            make(task)(inputs, **parameters)
        assert len(str(caught.value)) > 10, "an error says what was wrong"
    else:
        assert plain(make(task)(inputs, **parameters)) == golden


def test_lengths_that_make_little_sense_are_said(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        pipe("hello world", max_length=10, min_length=2)
        assert "The text has 5 tokens and its summary may have 10" in caplog.text  # "summarize:", the text, the end
        with pytest.raises(ValueError, match="At least 9"):  # generate cannot do that
            pipe("hello world", max_length=6, min_length=9)
        assert "min_length (9) is greater than max_length (6)" in caplog.text
        caplog.clear()
        pipe("hello world the quick brown fox", max_length=6, min_length=2)
    assert caplog.text == ""


def test_a_call_may_allow_less_than_the_models_settings_ask_for(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (result,) = pipe("hello world", max_new_tokens=3, return_tensors=True)
    assert len(result["summary_token_ids"]) == 4 and "at least 5 tokens; this call allows 4" in caplog.text
    assert pipe.generation_config.min_length == 5


class TestSummarizationConformance(PipelineConformance):
    name = "summarization"
    inputs = ("hello world", "a", "the quick brown fox jumps", "")
    wrong = (object(), None, 5, {"text": "hello"})

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**{**SHORT, **parameters})
