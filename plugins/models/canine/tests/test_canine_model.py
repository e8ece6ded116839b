"""CANINE equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("canine_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 13


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "canine"
    settings = {"num_hash_buckets": 50}
    has_token_embeddings = False
    has_padding = False  # molecules and convolutions mix the last characters with the padding

    def make_inputs(self, model, head, batch=2):  # type: ignore[no-untyped-def]
        shape = (batch, 2, 7) if head == "multiple_choice" else (batch, 7)
        return {"input_ids": tiny_ids(shape, 60000)}

    def hidden_state_count(self, model):  # type: ignore[no-untyped-def]
        return model.config.num_hidden_layers + 5  # and two of each character encoder


SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"max_position_embeddings": 20, "num_hash_buckets": 50}


def test_a_pruned_head_is_a_head_that_is_masked(tmp_path: Path) -> None:
    model = fill_weights(xf.CanineModel(xf.CanineConfig(**SIZES))).eval()
    ids, heads = tiny_ids((2, 7), 60), torch.ones(2, 4)
    heads[0, 1] = heads[1, 0] = heads[1, 3] = 0
    masked = model(ids, head_mask=heads).last_hidden_state
    model.prune_heads({0: [1], 1: [0]})
    model.prune_heads({1: [0, 3]})  # head 0 is gone already
    torch.testing.assert_close(model(ids).last_hidden_state, masked)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.CanineModel.from_pretrained(tmp_path)(ids).last_hidden_state, masked)


def test_weights_of_blocks_are_zero_outside_of_them() -> None:
    config = xf.CanineConfig(**SIZES, local_transformer_stride=4, attn_implementation="eager")
    weights = fill_weights(xf.CanineModel(config)).eval()(tiny_ids((2, 10), 60), output_attentions=True).attentions[0]
    assert weights.shape == (2, 4, 10, 10)
    block = torch.arange(10) // 4
    assert torch.equal(weights > 0, (block[:, None] == block[None]).expand_as(weights))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 10))


def test_clear_errors() -> None:
    model = xf.CanineModel(xf.CanineConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="21 tokens long, but the model has 20 positions"):
        model(tiny_ids((1, 21), 60))
    with pytest.raises(ValueError, match="a text of 3 must be padded"):
        model(tiny_ids((1, 3), 60))
    with pytest.raises(ValueError, match=r"attention_mask has shape \(1, 3\)"):
        model(tiny_ids((1, 5), 60), attention_mask=torch.ones(1, 3))
    with pytest.raises(ValueError, match="num_hash_functions is 3"):
        xf.CanineModel(xf.CanineConfig(**SIZES, num_hash_functions=3))
