"""Marian equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.seq2seq import Seq2SeqConformance
from xf_testing.seq2seq_cases import CONFIG
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("marian_*.safetensors"))
TOKENS = {"pad_token_id": 59, "eos_token_id": 0, "decoder_start_token_id": 59, "forced_eos_token_id": 0}


def config(**more: object) -> xf.MarianConfig:
    return xf.MarianConfig(**{**CONFIG, **TOKENS, **more})


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 13


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(Seq2SeqConformance):
    """The checks of every model, for all heads."""

    name = "marian"


def test_the_decoder_alone_loads_from_a_whole_checkpoint(tmp_path: Path) -> None:
    whole = fill_weights(xf.MarianMTModel(config())).eval()
    whole.save_pretrained(tmp_path)
    decoder = xf.MarianForCausalLM.from_pretrained(tmp_path)
    ids = tiny_ids((1, 5), 60)
    body = whole.model.decoder(ids).last_hidden_state
    torch.testing.assert_close(decoder(ids).logits, whole.lm_head(body))


def test_steps_with_a_cache_are_the_same_as_the_whole_text() -> None:
    model = fill_weights(xf.MarianModel(config())).eval()
    ids, answer = tiny_ids((2, 7), 60, low=4), tiny_ids((2, 5), 60, seed=1, low=4)
    whole = model(ids, decoder_input_ids=answer, use_cache=False)
    first = model(ids, decoder_input_ids=answer[:, :3], use_cache=True)
    for past in (first.past_key_values.to_legacy_cache(), first.past_key_values):
        last = model(
            encoder_outputs=(first.encoder_last_hidden_state,), decoder_input_ids=answer[:, 3:], past_key_values=past
        )
        torch.testing.assert_close(last.last_hidden_state, whole.last_hidden_state[:, 3:], atol=1e-5, rtol=1e-5)


def test_a_text_that_has_no_decoder_inputs_or_no_text_is_an_error() -> None:
    model = xf.MarianModel(config())
    with pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, 16))
    with pytest.raises(ValueError, match="input_ids"):
        model(decoder_input_ids=torch.tensor([[4, 5]]))


def test_positions_are_sines_and_need_not_be_in_a_file(tmp_path: Path) -> None:
    model = xf.MarianMTModel(config()).eval()
    table = model.model.encoder.embed_positions.weight
    angle = torch.tensor(3 / 10000 ** (2 / 16))
    torch.testing.assert_close(table[3, :2], torch.stack([torch.tensor(3.0).sin(), angle.sin()]))
    torch.testing.assert_close(table[3, 8:10], torch.stack([torch.tensor(3.0).cos(), angle.cos()]))
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({n: t for n, t in tensors.items() if "embed_positions" not in n}, tmp_path / "model.safetensors")
    again = xf.MarianMTModel.from_pretrained(tmp_path)
    assert torch.equal(again.model.decoder.embed_positions.weight, table)
    assert not again.load_report.newly_initialised


def test_two_vocabularies(tmp_path: Path) -> None:
    two = {"decoder_vocab_size": 30, "share_encoder_decoder_embeddings": False, "pad_token_id": 1}
    model = xf.MarianMTModel(config(**two)).eval()
    assert model.lm_head.weight is model.model.decoder.embed_tokens.weight
    assert model.lm_head.weight.shape == (30, 16) and model.get_input_embeddings().weight.shape == (60, 16)
    model.resize_decoder_token_embeddings(33)
    model.resize_token_embeddings(64)
    assert (model.config.decoder_vocab_size, model.config.vocab_size) == (33, 64)
    model.save_pretrained(tmp_path)
    again = xf.MarianMTModel.from_pretrained(tmp_path)
    ids, answer = torch.tensor([[63, 4, 0]]), torch.tensor([[32, 3]])
    torch.testing.assert_close(again(ids, decoder_input_ids=answer).logits, model(ids, decoder_input_ids=answer).logits)
    assert again(ids, decoder_input_ids=answer).logits.shape == (1, 2, 33)


def test_one_vocabulary_is_resized_for_both() -> None:
    model = xf.MarianMTModel(config())
    model.resize_token_embeddings(64)
    assert model.lm_head.weight is model.model.shared.weight and model.config.decoder_vocab_size == 64
    with pytest.raises(ValueError, match="share_encoder_decoder_embeddings"):
        model.resize_decoder_token_embeddings(70)
