"""Gemma3 equals the reference: outputs, states, attentions, loss, gradients, greedy tokens, on recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

GOLDENS = [Path(__file__).parent / "goldens" / f"gemma3_{name}.safetensors" for name in ("causal_lm", "greedy")]


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": "eager"}, library=xf)
    assert_same_outputs(ours, expected)


def test_the_default_attention_gives_the_same_logits_at_real_tokens() -> None:
    case, inputs, expected = load_golden(GOLDENS[0])
    ours = answer_case({**case, "inputs": inputs, "call": {"use_cache": False}}, library=xf)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(ours["logits"][real], expected["logits"][real], atol=1e-5, rtol=1e-5)


def test_a_saved_model_is_the_same_model(tmp_path: Path) -> None:
    case, inputs, _ = load_golden(GOLDENS[0])
    torch.manual_seed(0)
    model = getattr(xf, case["model_class"])(getattr(xf, case["config_class"])(**case["config"])).eval()
    model.save_pretrained(tmp_path)
    again = xf.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is type(model) and not again.load_report.missing
    assert torch.equal(again(inputs["input_ids"]).logits, model(inputs["input_ids"]).logits)
