"""ALBERT equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("albert_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 17


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "albert"

    def make_labels(self, model, head, inputs):  # type: ignore[no-untyped-def]
        labels = super().make_labels(model, head, inputs)
        order = {"sentence_order_label": torch.arange(len(inputs["input_ids"])) % 2}
        return labels | (order if head == "pretraining" else {})


SIZES = {
    "embedding_size": 8,
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}


def test_a_pruned_head_is_a_head_that_is_masked(tmp_path: Path) -> None:
    model = fill_weights(xf.AlbertModel(xf.AlbertConfig(**SIZES))).eval()
    ids, heads = tiny_ids((2, 7), 60), torch.ones(2, 4)
    heads[:, 1] = heads[:, 3] = 0
    masked = model(ids, head_mask=heads).last_hidden_state
    model.prune_heads({0: [1]})
    model.prune_heads({0: [1, 3]})  # head 1 is gone already
    torch.testing.assert_close(model(ids).last_hidden_state, masked)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.AlbertModel.from_pretrained(tmp_path)(ids).last_hidden_state, masked)


def test_clear_errors() -> None:
    model = xf.AlbertModel(xf.AlbertConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="21 tokens long, but the model has 20 positions"):
        model(tiny_ids((1, 21), 60))
