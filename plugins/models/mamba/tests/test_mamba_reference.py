"""Mamba equals the reference: outputs, states, attentions, losses, gradients, greedy tokens, on recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("mamba_*.safetensors"))


class TestMambaConformance(ModelConformance):
    name = "mamba"
    has_attention_weights = False

    def left_position_ids(self, mask: torch.Tensor) -> None:
        """A state knows no positions."""


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 3


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", [None])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    case, inputs, expected = load_golden(next(path for path in GOLDENS if path.stem.endswith("_lm")))
    answer_case({**case, "save": str(tmp_path)}, library=xf)
    ours = answer_case({**case, "inputs": inputs, "checkpoint": str(tmp_path)}, library=xf)
    assert_same_outputs(ours, expected)


def test_a_text_in_parts_is_the_text_at_once() -> None:
    from xf_testing.tiny import fill_weights, tiny_ids

    model = fill_weights(xf.MambaForCausalLM(xf.MambaConfig(vocab_size=60, hidden_size=16, num_hidden_layers=2))).eval()
    ids = tiny_ids((2, 60), 60)
    with torch.no_grad():
        whole, outputs, cache = model(ids).logits, [], None
        for begin, end in ((0, 37), (37, 38), (38, 60)):  # long, one token, long
            position = torch.arange(begin, end)
            part = model(ids[:, begin:end], cache_params=cache, cache_position=position, use_cache=True)
            outputs, cache = [*outputs, part.logits], part.cache_params
    torch.testing.assert_close(torch.cat(outputs, 1), whole, atol=1e-5, rtol=1e-5)


def test_beams_keep_their_own_state() -> None:
    from xf_testing.tiny import fill_weights, tiny_ids

    config = xf.MambaConfig(vocab_size=60, hidden_size=16, state_size=4, num_hidden_layers=2, eos_token_id=2)
    model = fill_weights(xf.MambaForCausalLM(config)).eval()
    options = {"max_new_tokens": 8, "num_beams": 3, "do_sample": False}
    ids = tiny_ids((2, 9), 60)
    torch.testing.assert_close(model.generate(ids, **options), model.generate(ids, use_cache=False, **options))
