"""Jamba equals the reference: outputs, states, attentions, losses, gradients, greedy tokens, on recorded answers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("jamba_*.safetensors"))


class TestJambaConformance(ModelConformance):
    name = "jamba"
    settings: ClassVar[dict] = {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 4, "mamba_d_state": 4}

    def left_position_ids(self, mask: torch.Tensor) -> None:
        """A state knows no positions."""


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 4


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


@pytest.fixture
def model() -> torch.nn.Module:
    config = xf.JambaConfig(
        vocab_size=60, hidden_size=16, intermediate_size=20, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, num_experts=4, attn_layer_period=2, attn_layer_offset=1, output_router_logits=True,
    )  # fmt: skip
    return fill_weights(xf.JambaForCausalLM(config)).eval()


def test_a_text_in_parts_is_the_text_at_once(model: torch.nn.Module) -> None:
    ids = tiny_ids((2, 30), 60)
    with torch.no_grad():
        whole, outputs, cache = model(ids).logits, [], None
        for begin, end in ((0, 19), (19, 20), (20, 30)):
            part = model(ids[:, begin:end], past_key_values=cache, use_cache=True)
            outputs, cache = [*outputs, part.logits], part.past_key_values
    torch.testing.assert_close(torch.cat(outputs, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_cache_changes_no_token(model: torch.nn.Module, beams: int) -> None:
    ids, mask = tiny_ids((2, 9), 60), torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = 0
    options = {"attention_mask": mask, "max_new_tokens": 10, "num_beams": beams, "do_sample": False}
    torch.testing.assert_close(model.generate(ids, **options), model.generate(ids, use_cache=False, **options))


def test_another_cache_is_refused(model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="StateSpaceCache"):
        model(tiny_ids((1, 4), 60), past_key_values=xf.DynamicCache())
    with pytest.raises(ValueError, match="cache_implementation"):
        model.generate(tiny_ids((1, 4), 60), cache_implementation="static", max_new_tokens=2)
