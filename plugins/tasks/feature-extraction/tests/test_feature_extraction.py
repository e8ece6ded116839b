"""The task feature-extraction gives the vectors of the recorded reference, and does what every task must."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xf import pipeline
from xf_testing import PipelineConformance

sys.path.insert(0, str(Path(__file__).parent))
from feature_extraction_cases import CALLS

HERE = Path(__file__).parent / "goldens"
GOLDEN = np.load(HERE / "feature_extraction.npz")


def make(**parameters: Any) -> Any:
    return pipeline("feature-extraction", model=str(HERE / "bert"), device="cpu", **parameters)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make()


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_vectors(pipe: Any, number: int) -> None:
    inputs, parameters = CALLS[number]
    results = pipe(inputs, **parameters)
    for i, result in enumerate(results if isinstance(inputs, list) else [results]):
        assert isinstance(result, torch.Tensor) == parameters.get("return_tensors", False)
        np.testing.assert_allclose(np.asarray(result), GOLDEN[f"{number} {i}"], atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_adds_nothing(pipe: Any, side: str) -> None:
    texts = ["hello", "the quick brown fox jumps", "a"]
    pipe.tokenizer.padding_side = side
    try:
        for batched, text in zip(pipe(texts, batch_size=3, return_tensors=True), texts, strict=True):
            torch.testing.assert_close(batched, pipe(text, return_tensors=True), atol=1e-5, rtol=0)
    finally:
        pipe.tokenizer.padding_side = "right"


def test_wrong_parameters(pipe: Any) -> None:
    with pytest.raises(ValueError, match="given twice"):
        pipe("a", truncation=True, tokenize_kwargs={"truncation": True})
    with pytest.raises(TypeError, match="does not know the parameters nonsense"):
        pipe("a", nonsense=1)
    with pytest.raises(ValueError, match="truncate"):
        pipe("hello world " * 30)


class TestFeatureExtractionConformance(PipelineConformance):
    name = "feature-extraction"
    inputs = ("hello world", "a", "the quick brown fox")
    wrong = (object(), None, 5)

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**parameters)
