"""ModernBERT equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_plugin_modernbert.modeling import repad
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("modernbert_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 15


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "modernbert"
    settings = {"pad_token_id": 1, "local_attention": 4, "cls_token_id": 0, "sep_token_id": 2}


SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 1,
    "local_attention": 6,
    "max_position_embeddings": 20,
}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_unpadded_texts_give_what_padded_ones_give(attention: str) -> None:
    config = xf.ModernBertConfig(**{**SIZES, "num_hidden_layers": 4}, attn_implementation=attention)
    model = fill_weights(xf.ModernBertForMaskedLM(config)).eval()
    ids, mask = tiny_ids((3, 9), 60), torch.ones(3, 9, dtype=torch.long)
    mask[0, 5:] = mask[2, 2:] = 0
    labels = torch.where(mask.bool() & (ids % 2 == 0), ids, -100)
    indices = mask.flatten().nonzero().flatten()
    padded = model(ids, attention_mask=mask, labels=labels, output_hidden_states=True)
    flat = {"indices": indices, "batch_size": 3, "seq_len": 9, "labels": labels.flatten()[indices]}
    unpadded = model(ids.flatten()[indices], **flat, output_hidden_states=True)
    assert unpadded.logits.shape == (16, 60)
    torch.testing.assert_close(unpadded.logits, padded.logits.flatten(0, 1)[indices], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(unpadded.loss, padded.loss)
    for ours, theirs in zip(unpadded.hidden_states, padded.hidden_states, strict=True):
        torch.testing.assert_close(ours, theirs.flatten(0, 1)[indices], atol=1e-5, rtol=1e-5)


def test_a_local_layer_sees_its_window() -> None:
    config = xf.ModernBertConfig(**SIZES, attn_implementation="eager")
    weights = fill_weights(xf.ModernBertModel(config)).eval()(tiny_ids((1, 12), 60), output_attentions=True).attentions
    place = torch.arange(12)
    far = (place[:, None] - place[None]).abs() > 3
    assert (weights[0][..., far] > 0).all() and (weights[1][..., far] == 0).all()
    assert (weights[1][..., ~far] > 0).all()


def test_clear_errors() -> None:
    model = xf.ModernBertModel(xf.ModernBertConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="need batch_size and seq_len"):
        model(tiny_ids((4,), 60), indices=torch.arange(4))
    with pytest.raises(ValueError, match='classifier_pooling is .max.; it can be "cls" or "mean"'):
        xf.ModernBertConfig(classifier_pooling="max")
    with pytest.raises(ValueError, match="needs a sliding_window_mask"):
        model(tiny_ids((1, 9), 60), attention_mask=torch.ones(1, 1, 9, 9, dtype=torch.bool))
    classify = xf.ModernBertForSequenceClassification(xf.ModernBertConfig(**SIZES))
    with pytest.raises(ValueError, match="give them padded, without indices"):
        classify(tiny_ids((4,), 60), indices=torch.arange(4), batch_size=1, seq_len=4)


def test_bases_of_newer_files() -> None:
    kinds = {"full_attention": {"rope_theta": 5.0}, "sliding_attention": {"rope_theta": 7.0}}
    config = xf.ModernBertConfig(rope_parameters=kinds)
    assert (config.global_rope_theta, config.local_rope_theta) == (5.0, 7.0)
    assert repad(torch.tensor([5, 6]), torch.tensor([1, 2]), (2, 2)).tolist() == [[0, 5], [6, 0]]
