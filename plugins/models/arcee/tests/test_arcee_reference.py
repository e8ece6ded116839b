"""Arcee (AFM) equals the reference on recorded answers: states, attentions, losses, gradients, tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("arcee_*.safetensors"))


class TestArceeConformance(ModelConformance):
    name = "arcee"


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 3


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    case, inputs, expected = load_golden(next(path for path in GOLDENS if path.stem.endswith("_lm")))
    answer_case({**case, "save": str(tmp_path)}, library=xf)
    ours = answer_case({**case, "inputs": inputs, "checkpoint": str(tmp_path)}, library=xf)
    assert_same_outputs(ours, expected)
