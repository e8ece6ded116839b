"""Llama equals the reference: outputs, states, attentions, losses, gradients, greedy tokens, on recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("llama_*.safetensors"))


def answers(path: Path, attention: str | None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict]:
    case, inputs, expected = load_golden(path)
    return answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf), expected, inputs


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path) -> None:
    ours, expected, _ = answers(path, "eager")
    assert_same_outputs(ours, expected)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_default_attention_gives_the_same_at_real_tokens(path: Path) -> None:
    ours, expected, inputs = answers(path, None)
    mask = inputs.get("attention_mask")
    if mask is None or bool(mask[:, 0].all()):
        assert_same_outputs(ours, expected)
        return
    for name, value in expected.items():  # padding on the left sees nothing, so what stands there is arbitrary
        if value.ndim >= 2 and value.shape[:2] == mask.shape:
            torch.testing.assert_close(ours[name][mask.bool()], value[mask.bool()], atol=1e-5, rtol=1e-5)
        elif name == "sequences":
            assert torch.equal(ours[name], value)


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 12


def test_default_attention_is_sdpa() -> None:
    case, _, _ = load_golden(GOLDENS[0])
    model = xf.LlamaModel(xf.LlamaConfig(**case["config"]))
    assert model.attention_choice.name == "sdpa"
    assert isinstance(model.norm.weight, torch.nn.Parameter)
