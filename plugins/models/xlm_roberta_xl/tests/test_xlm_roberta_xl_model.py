"""XLM-RoBERTa-XL equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_floats, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("xlm_roberta_xl_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 16


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "xlm-roberta-xl"

    def left_position_ids(self, mask: torch.Tensor) -> torch.Tensor:
        return mask.cumsum(1) * mask + 1


SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}


def test_a_text_that_is_too_long_is_an_error() -> None:
    model = fill_weights(xf.XLMRobertaXLModel(xf.XLMRobertaXLConfig(**SIZES))).eval()
    assert model(tiny_ids((1, 18), 60)).last_hidden_state.shape == (1, 18, 16)
    with pytest.raises(ValueError, match="19 tokens long, but the model has 18 positions"):
        model(tiny_ids((1, 19), 60))
    with pytest.raises(ValueError, match="19 tokens long, but the model has 18 positions"):
        model(inputs_embeds=tiny_floats((1, 19, 16)))


def test_padding_on_either_side_changes_nothing() -> None:
    model = fill_weights(xf.XLMRobertaXLModel(xf.XLMRobertaXLConfig(**SIZES))).eval()
    ids, pad = tiny_ids((1, 6), 60), torch.ones(1, 3, dtype=torch.long)
    alone = model(ids).last_hidden_state
    for parts, where in (((ids, pad), slice(0, 6)), ((pad, ids), slice(3, 9))):
        padded = torch.cat(parts, 1)
        found = model(padded, attention_mask=(padded != 1).long()).last_hidden_state[:, where]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_a_pruned_head_is_a_head_that_is_masked(tmp_path: Path) -> None:
    model = fill_weights(xf.XLMRobertaXLModel(xf.XLMRobertaXLConfig(**SIZES))).eval()
    ids, heads = tiny_ids((2, 7), 60), torch.ones(2, 4)
    heads[0, 1] = heads[1, 0] = heads[1, 3] = 0
    masked = model(ids, head_mask=heads).last_hidden_state
    model.prune_heads({0: [1], 1: [0]})
    model.prune_heads({1: [0, 3]})  # head 0 is gone already
    torch.testing.assert_close(model(ids).last_hidden_state, masked)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.XLMRobertaXLModel.from_pretrained(tmp_path)(ids).last_hidden_state, masked)


def test_decoding_step_by_step_is_decoding_at_once() -> None:
    model = fill_weights(xf.XLMRobertaXLForCausalLM(xf.XLMRobertaXLConfig(**SIZES, is_decoder=True))).eval()
    ids = tiny_ids((2, 7), 60)
    first = model(ids[:, :4])
    second = model(ids[:, 4:], past_key_values=first.past_key_values)
    whole = model(ids, use_cache=False).logits
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole, atol=1e-5, rtol=1e-5)
