"""XLNet equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("xlnet_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 27


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "xlnet"
    settings = {"summary_last_dropout": 0.0}
    has_padding = False  # the summary is the last token's; see the test of padding on the left

    def tiny_config(self, head="base"):  # type: ignore[no-untyped-def]
        return self.config_class()(**SIZES, summary_last_dropout=0.0, dropout=0.0)


SIZES = {"vocab_size": 60, "d_model": 16, "d_inner": 24, "n_layer": 2, "n_head": 4}


def test_padding_on_the_left_changes_nothing() -> None:
    model = fill_weights(xf.XLNetModel(xf.XLNetConfig(**SIZES))).eval()
    ids, pad = tiny_ids((1, 6), 60), torch.full((1, 3), 5)
    alone = model(ids).last_hidden_state
    padded = model(torch.cat((pad, ids), 1), attention_mask=torch.tensor([[0] * 3 + [1] * 6])).last_hidden_state
    torch.testing.assert_close(padded[:, 3:], alone, atol=1e-5, rtol=1e-5)


def test_mems_are_the_past_of_a_causal_model() -> None:
    model = fill_weights(xf.XLNetLMHeadModel(xf.XLNetConfig(**SIZES, attn_type="uni"))).eval()
    ids = tiny_ids((2, 9), 60)
    first = model(ids[:, :5])
    assert [mem.shape for mem in first.mems] == [(5, 2, 16)] * 2
    second = model(ids[:, 5:], mems=first.mems)
    torch.testing.assert_close(second.logits, model(ids).logits[:, 5:], atol=1e-5, rtol=1e-5)
    assert second.mems[0].shape == (9, 2, 16)


def test_clear_errors() -> None:
    model = xf.XLNetModel(xf.XLNetConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="give one of them"):
        model(tiny_ids((1, 3), 60), attention_mask=torch.ones(1, 3), input_mask=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="needs two halves of a batch"):
        xf.XLNetModel(xf.XLNetConfig(**SIZES, bi_data=True))(tiny_ids((3, 3), 60))
    with pytest.raises(ValueError, match="must be n_head"):
        xf.XLNetConfig(d_model=10, n_head=3)
    with pytest.raises(ValueError, match="attn_type is .tri."):
        xf.XLNetConfig(attn_type="tri")
    with pytest.raises(ValueError, match="attn_implementation='sdpa' cannot do it"):
        model.set_attn_implementation("sdpa")
