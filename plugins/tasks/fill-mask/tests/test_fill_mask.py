"""The task fill-mask does what the recorded reference did, and what every task must."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from xf import PipelineException, pipeline
from xf_testing import PipelineConformance

sys.path.insert(0, str(Path(__file__).parent))
from fill_mask_cases import CALLS, outcome

HERE = Path(__file__).parent / "goldens"
GOLDEN = json.loads((HERE / "fill_mask.json").read_text("utf-8"))


def make(**parameters: Any) -> Any:
    return pipeline("fill-mask", model=str(HERE / "bert"), device="cpu", **parameters)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make()


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        assert found["score"] == pytest.approx(expected["score"], abs=1e-5)
        assert {k: v for k, v in found.items() if k != "score"} == {k: v for k, v in expected.items() if k != "score"}
    else:
        assert found == expected


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_call(pipe: Any, number: int) -> None:
    same(outcome(pipe, CALLS[number]), GOLDEN[number])


def test_errors_say_what_is_wrong(pipe: Any) -> None:
    with pytest.raises(PipelineException, match=r"No mask_token \(\[MASK\]\) found"):
        pipe("hello")
    for parameters, says in (
        ({"targets": []}, "At least one target"),
        ({"targets": [5]}, "a word or a list of words"),
        ({"top_k": -1}, "top_k must be"),
        ({"top_k": "many"}, "top_k must be"),
    ):
        with pytest.raises(ValueError, match=says):
            pipe("hello [MASK]", **parameters)


def test_more_results_than_tokens_are_all_tokens(pipe: Any) -> None:
    found = pipe("hello [MASK]", top_k=10**6)
    assert len(found) == pipe.model.config.vocab_size
    assert sum(result["score"] for result in found) == pytest.approx(1.0, abs=1e-4)


def test_a_tokenizer_without_a_mask(pipe: Any) -> None:
    mask = pipe.tokenizer.mask_token
    pipe.tokenizer.mask_token = None
    try:
        with pytest.raises(PipelineException, match="mask_token"):
            pipe("hello")
    finally:
        pipe.tokenizer.mask_token = mask


class TestFillMaskConformance(PipelineConformance):
    name = "fill-mask"
    unwraps_one = True
    inputs = ("hello [MASK] world", "[MASK] a", "the quick brown fox [MASK] over the lazy dog")
    wrong = (object(), None, 5)

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**parameters)
