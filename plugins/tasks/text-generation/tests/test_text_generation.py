"""The task text-generation writes what the recorded reference wrote, and does what every task must."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from xf import pipeline
from xf.pipelines.text_generation import ReturnType
from xf_testing import PipelineConformance

sys.path.insert(0, str(Path(__file__).parent))
from text_generation_cases import CALLS, CHAT, GREEDY, outcome

HERE = Path(__file__).parent / "goldens"
GOLDEN = json.loads((HERE / "text_generation.json").read_text("utf-8"))


def make(**parameters: Any) -> Any:
    return pipeline("text-generation", model=str(HERE / "llama"), device="cpu", **parameters)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make()


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_call(pipe: Any, number: int) -> None:
    assert json.loads(json.dumps(outcome(pipe, CALLS[number]))) == GOLDEN[number], CALLS[number]


def test_most_recorded_calls_succeeded() -> None:
    assert sum(expected != "error" for expected in GOLDEN) > 22


def test_a_generator_of_texts_and_conversations(pipe: Any) -> None:
    inputs = ["hello", CHAT]
    found = list(pipe((item for item in inputs), **GREEDY))
    assert found == [pipe(item, **GREEDY) for item in inputs]


def test_no_inputs_no_results(pipe: Any) -> None:
    assert pipe([], **GREEDY) == []


def test_the_limit_of_the_user_counts(pipe: Any) -> None:
    prompt = len(pipe.tokenizer("hello world")["input_ids"])
    for limited in (pipe, make(max_length=prompt + 3, do_sample=False)):
        parameters = {"max_length": prompt + 3, "do_sample": False} if limited is pipe else {}
        ids = limited("hello world", return_tensors=True, **parameters)[0]["generated_token_ids"]
        assert len(ids) <= prompt + 3


def test_parameters_of_the_pipeline_are_defaults(pipe: Any) -> None:
    short = make(max_new_tokens=3, do_sample=False, return_full_text=False)
    new = short("hello")[0]["generated_text"]
    assert short("hello", return_full_text=True)[0]["generated_text"] == "hello" + new
    assert pipe("hello", max_new_tokens=3, do_sample=False, return_full_text=False)[0]["generated_text"] == new


def test_the_beginning_of_a_long_text_is_dropped(pipe: Any) -> None:
    pipe.tokenizer.model_max_length = 20
    try:
        found = pipe("hello world " * 10, handle_long_generation="hole", return_tensors=True, **GREEDY)
        assert len(found[0]["generated_token_ids"]) <= 20
        with pytest.raises(ValueError, match="no room for an input"):
            pipe("hello " * 30, handle_long_generation="hole", max_new_tokens=30)
    finally:
        pipe.tokenizer.model_max_length = int(1e30)


def test_arguments_of_the_tokenizer(pipe: Any) -> None:
    cut = pipe("hello world the quick", tokenizer_encode_kwargs={"truncation": True, "max_length": 4}, **GREEDY)
    assert cut[0]["generated_text"].startswith("hello")
    tools = pipe(CHAT, tokenizer_encode_kwargs={"tools": [{"type": "function"}]}, **GREEDY)
    assert tools == pipe(CHAT, **GREEDY)


def test_errors_say_what_is_wrong(pipe: Any) -> None:
    for inputs, parameters, says in (
        (5, {}, "texts or conversations, not int"),
        ([{"role": "user"}], {}, "'role' and 'content'"),
        ([["a", "b"]], {}, "'role' and 'content'"),
        ("a", {"return_type": 2}, "must be a ReturnType"),
        ("a", {"handle_long_generation": "x"}, "None or 'hole'"),
        ("a", {"stop_sequence": ""}, "has no token"),
        ("a", {"nonsense": 1}, "nonsense"),
    ):
        with pytest.raises(ValueError, match=says):
            pipe(inputs, **{**GREEDY, **parameters})
    found = pipe("hello", return_type=ReturnType.NEW_TEXT, **GREEDY)
    assert found == pipe("hello", return_full_text=False, **GREEDY)


def test_a_batch_needs_a_padding_token(pipe: Any) -> None:
    token = pipe.tokenizer.pad_token
    pipe.tokenizer.pad_token = None
    try:
        with pytest.raises(ValueError, match="padding token"):
            pipe(["hello", "the quick"], batch_size=2, **GREEDY)
    finally:
        pipe.tokenizer.pad_token = token


class TestTextGenerationConformance(PipelineConformance):
    name = "text-generation"
    inputs = ("hello world", "a", "the quick brown fox jumps", CHAT)
    wrong = (object(), None, 5)

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**{**GREEDY, **parameters})
