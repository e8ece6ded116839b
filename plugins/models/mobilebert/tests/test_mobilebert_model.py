"""MobileBERT equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("mobilebert_*.safetensors"))


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

    name = "mobilebert"
    # the steps of the training test are too large for layers without norms; those are in the goldens
    settings = {"embedding_size": 16, "intra_bottleneck_size": 16, "normalization_type": "layer_norm"}
    has_padding = False  # the last word lies beside the padding, which it reads with trigram_input


SIZES = {
    "embedding_size": 8,
    "intra_bottleneck_size": 8,
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}


def test_a_pruned_head_is_a_head_that_is_masked(tmp_path: Path) -> None:
    model = fill_weights(xf.MobileBertModel(xf.MobileBertConfig(**SIZES))).eval()
    ids, heads = tiny_ids((2, 7), 60), torch.ones(2, 4)
    heads[0, 1] = heads[1, 0] = heads[1, 3] = 0
    masked = model(ids, head_mask=heads).last_hidden_state
    model.prune_heads({0: [1], 1: [0]})
    model.prune_heads({1: [0, 3]})  # head 0 is gone already
    torch.testing.assert_close(model(ids).last_hidden_state, masked)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.MobileBertModel.from_pretrained(tmp_path)(ids).last_hidden_state, masked)


def test_clear_errors() -> None:
    model = xf.MobileBertModel(xf.MobileBertConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="21 tokens long, but the model has 20 positions"):
        model(tiny_ids((1, 21), 60))
    with pytest.raises(ValueError, match="normalization_type is .batch."):
        xf.MobileBertConfig(normalization_type="batch")


def test_resizing_keeps_the_scores_of_known_words(tmp_path: Path) -> None:
    model = fill_weights(xf.MobileBertForMaskedLM(xf.MobileBertConfig(**SIZES)))
    model.tie_weights()
    ids = tiny_ids((2, 5), 60)
    before = model.eval()(ids).logits
    model.resize_token_embeddings(70)
    torch.testing.assert_close(model(ids).logits[..., :60], before)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.MobileBertForMaskedLM.from_pretrained(tmp_path)(ids).logits, model(ids).logits)
