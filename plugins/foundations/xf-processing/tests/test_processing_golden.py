"""Padding of features and sorting of arguments as recorded from the reference."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from xf import ImagesKwargs, ProcessingKwargs, SequenceFeatureExtractor
from xf_processing.kwargs import merge_kwargs

sys.path.insert(0, str(Path(__file__).parent))
from processing_cases import MERGES, outcome, pad_calls

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "processing.json").read_text("utf-8"))
CASES = pad_calls(3, 150)


class Extractor(SequenceFeatureExtractor):
    model_input_names = ["input_values", "attention_mask"]


class OwnImagesKwargs(ImagesKwargs, total=False):
    patches: int


class Kwargs(ProcessingKwargs, total=False):
    images_kwargs: OwnImagesKwargs
    _defaults = {"text_kwargs": {"padding": False}, "images_kwargs": {"do_resize": True}}


@pytest.mark.parametrize("number", range(len(CASES)))
def test_pad(number: int) -> None:
    found = json.loads(json.dumps(outcome(Extractor, CASES[number])))
    assert found == GOLDEN["pad"][number], CASES[number]


@pytest.mark.parametrize("number", range(len(MERGES)))
def test_arguments_by_kind(number: int) -> None:
    expected = GOLDEN["merged"][number]
    try:
        found = merge_kwargs(Kwargs, {"padding_side": "left", "vocab": 1}, MERGES[number], "Test")
    except ValueError as error:
        assert expected == "error" and "two times" in str(error)
        return
    assert found == expected


def test_a_class_adds_arguments(caplog: pytest.LogCaptureFixture) -> None:
    from xf import logging

    logging.enable_propagation()
    try:
        found = merge_kwargs(Kwargs, None, {"patches": 3, "nonsense": 1, "images_kwargs": {"do_pad": True}}, "Test")
    finally:
        logging.disable_propagation()
    assert found["images_kwargs"] == {"do_resize": True, "patches": 3, "do_pad": True}
    assert "`nonsense`" in caplog.text and "patches" not in caplog.text
