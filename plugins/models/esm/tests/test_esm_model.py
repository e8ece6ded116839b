"""ESM equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("esm_*.safetensors"))


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

    name = "esm"
    settings = {"vocab_size": 60, "pad_token_id": 1, "mask_token_id": 32, "position_embedding_type": "rotary"}


# what the published implementation (4.55.4) says for these weights
CONTACTS = [
    [
        [0.323397, 0.567891, 0.52307, 0.64796],
        [0.567891, 0.437601, 0.526382, 0.52735],
        [0.52307, 0.526382, 0.492234, 0.517636],
        [0.64796, 0.52735, 0.517636, 0.365241],
    ],
    [
        [0.421674, 0.580376, 0.542323, 0.514838],
        [0.580376, 0.410822, 0.553386, 0.514838],
        [0.542323, 0.553386, 0.448694, 0.514838],
        [0.514838, 0.514838, 0.514838, 0.514838],
    ],
]

SIZES = {
    "pad_token_id": 1,
    "mask_token_id": 32,
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}


def test_a_pruned_head_is_a_head_that_is_masked(tmp_path: Path) -> None:
    model = fill_weights(xf.EsmModel(xf.EsmConfig(**SIZES, position_embedding_type="rotary"))).eval()
    ids, heads = tiny_ids((2, 7), 60), torch.ones(2, 4)
    heads[0, 1] = heads[1, 0] = heads[1, 3] = 0
    masked = model(ids, head_mask=heads).last_hidden_state
    model.prune_heads({0: [1], 1: [0]})
    model.prune_heads({1: [0, 3]})  # head 0 is gone already
    torch.testing.assert_close(model(ids).last_hidden_state, masked)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.EsmModel.from_pretrained(tmp_path)(ids).last_hidden_state, masked)


def test_contacts_are_those_of_the_reference() -> None:
    model = fill_weights(xf.EsmForMaskedLM(xf.EsmConfig(**SIZES, position_embedding_type="rotary"))).eval()
    tokens = torch.tensor([[0, 17, 4, 9, 12, 2], [0, 5, 6, 7, 2, 1]])
    found = model.predict_contacts(tokens, (tokens != 1).long())
    torch.testing.assert_close(found, torch.tensor(CONTACTS), atol=1e-5, rtol=1e-5)


def test_clear_errors() -> None:
    model = xf.EsmModel(xf.EsmConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="19 tokens long, but the model has 18 positions"):
        model(tiny_ids((1, 19), 60))
    with pytest.raises(ValueError, match="EsmConfig has no vocab_size"):
        xf.EsmModel(xf.EsmConfig())
    with pytest.raises(ValueError, match="is_decoder=True is not supported"):
        xf.EsmModel(xf.EsmConfig(**SIZES, is_decoder=True))
