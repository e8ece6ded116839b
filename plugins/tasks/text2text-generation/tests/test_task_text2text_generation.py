"""The task text2text-generation: the recorded answers of the reference, and what only xf promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xf import pipeline
from xf_testing import PipelineConformance

HERE = Path(__file__).parent / "goldens"
CASES = json.loads((HERE / "cases.json").read_text("utf-8"))
ANSWERS = json.loads((HERE / "answers.json").read_text("utf-8"))
SHORT = {"max_new_tokens": 6}


def make(task: str = "text2text-generation", **parameters: Any) -> Any:
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


def test_a_limit_of_the_user_takes_the_place_of_the_tasks_own(pipe: Any) -> None:
    (long,) = make(return_tensors=True)("hello")
    for limited, parameters in ((pipe, {"max_length": 5}), (make(max_length=5), {})):
        (short,) = limited("hello", return_tensors=True, **parameters)
        assert len(short["generated_token_ids"]) <= 5 < len(long["generated_token_ids"])


def test_ids_in_a_batch_are_those_of_single_texts(pipe: Any) -> None:
    texts = ["hello", "the quick brown fox jumps", "lazy dog", "over"]
    options = {"return_tensors": True, "max_new_tokens": 30}
    singly = [pipe(text, **options)[0]["generated_token_ids"] for text in texts]
    assert len({len(ids) for ids in singly}) > 1, "they end at different places"
    together = pipe(texts, batch_size=4, **options)
    assert all(torch.equal(a["generated_token_ids"], b) for a, b in zip(together, singly, strict=True))


def test_a_text_longer_than_the_model_is_cut_where_that_is_asked_for(pipe: Any) -> None:
    seen = []
    handle = pipe.model.encoder.register_forward_pre_hook(lambda _, a, k: seen.append(k["input_ids"]), with_kwargs=True)
    try:
        pipe("hello world " * 100, truncation=True, **SHORT)
    finally:
        handle.remove()
    assert seen[0].shape == (1, 32) and int(seen[0][0, -1]) == 1  # the tokenizer's limit; the end token stays


def test_the_prefix_of_the_config_comes_first(pipe: Any) -> None:
    prefixed = make()
    prefixed.prefix = "the quick "
    assert prefixed("brown fox", **SHORT) == pipe("the quick brown fox", **SHORT)


def test_several_texts_in_one_input_are_refused_rather_than_all_but_the_first_dropped(pipe: Any) -> None:
    with pytest.raises(TypeError, match="not list"):
        pipe([["hello", "world"], ["fox"]], **SHORT)


def test_one_bad_text_is_an_error_of_its_own_where_that_is_asked_for(pipe: Any) -> None:
    good, bad, other = pipe(["hello", None, "fox"], on_error="return", **SHORT)
    assert bad.index == 1 and isinstance(bad.__cause__, TypeError)
    assert [good, other] == pipe(["hello", "fox"], **SHORT)


class TestText2TextGenerationConformance(PipelineConformance):
    name = "text2text-generation"
    inputs = ("hello world", "a", "the quick brown fox jumps", "")
    wrong = (object(), None, 5, {"text": "hello"})

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**{**SHORT, **parameters})
