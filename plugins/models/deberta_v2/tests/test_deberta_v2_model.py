"""DeBERTa-v2 equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("deberta_v2_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 23


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "deberta-v2"
    settings = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}


SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}


def test_clear_errors() -> None:
    model = xf.DebertaV2Model(xf.DebertaV2Config(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="21 tokens long, but the model has 20 positions"):
        model(tiny_ids((1, 21), 60))
    with pytest.raises(ValueError, match=r"attention_mask has shape \(1, 3\)"):
        model(tiny_ids((1, 5), 60), attention_mask=torch.ones(1, 3))


def test_a_mask_of_pairs_is_that_of_the_tokens() -> None:
    model = fill_weights(
        xf.DebertaV2Model(xf.DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["c2p"]))
    ).eval()
    ids, mask = tiny_ids((1, 6), 60), torch.tensor([[1, 1, 1, 1, 0, 0]])
    pairs = mask[:, :, None] * mask[:, None]
    one, two = model(ids, attention_mask=mask), model(ids, attention_mask=pairs)
    torch.testing.assert_close(one.last_hidden_state[:, :4], two.last_hidden_state[:, :4])


@pytest.mark.parametrize("legacy", [True, False])
def test_resizing_keeps_the_scores_of_known_words(legacy: bool, tmp_path: Path) -> None:
    model = fill_weights(xf.DebertaV2ForMaskedLM(xf.DebertaV2Config(**SIZES, legacy=legacy)))
    model.tie_weights()
    ids = tiny_ids((2, 5), 60)
    before = model.eval()(ids).logits
    model.resize_token_embeddings(70)
    torch.testing.assert_close(model(ids).logits[..., :60], before)
    model.save_pretrained(tmp_path)
    again = xf.DebertaV2ForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(ids).logits, model(ids).logits)
