"""M2M100 equals the reference on recorded answers, and does what every model must do."""

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
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("m2m_100_*.safetensors"))
TOKENS = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}


def config(**more: object) -> xf.M2M100Config:
    return xf.M2M100Config(**{**CONFIG, **TOKENS, **more})


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 10


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(Seq2SeqConformance):
    """The checks of every model, for all heads."""

    name = "m2m_100"


def test_steps_with_a_cache_are_the_same_as_the_whole_text() -> None:
    model = fill_weights(xf.M2M100Model(config())).eval()
    ids, answer = tiny_ids((2, 7), 60, low=4), tiny_ids((2, 5), 60, seed=1, low=4)
    whole = model(ids, decoder_input_ids=answer, use_cache=False)
    first = model(ids, decoder_input_ids=answer[:, :3], use_cache=True)
    for past in (first.past_key_values.to_legacy_cache(), first.past_key_values):
        last = model(
            encoder_outputs=(first.encoder_last_hidden_state,), decoder_input_ids=answer[:, 3:], past_key_values=past
        )
        torch.testing.assert_close(last.last_hidden_state, whole.last_hidden_state[:, 3:], atol=1e-5, rtol=1e-5)


def test_a_text_that_has_no_decoder_inputs_or_no_text_is_an_error() -> None:
    model = xf.M2M100Model(config())
    with pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, 16))
    with pytest.raises(ValueError, match="input_ids"):
        model(decoder_input_ids=torch.tensor([[4, 5]]))


def test_padding_on_either_side_changes_nothing() -> None:
    model = fill_weights(xf.M2M100Model(config())).eval().encoder
    ids, pad = tiny_ids((1, 6), 60), torch.ones(1, 3, dtype=torch.long)
    alone = model(ids).last_hidden_state
    for parts, where in (((ids, pad), slice(0, 6)), ((pad, ids), slice(3, 9))):
        padded = torch.cat(parts, 1)
        found = model(padded, attention_mask=(padded != 1).long()).last_hidden_state[:, where]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_tables_of_positions_in_early_files_are_known(tmp_path: Path) -> None:
    fill_weights(xf.M2M100ForConditionalGeneration(config())).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    table = {f"model.{part}.embed_positions.weights": torch.ones(3, 16) for part in ("encoder", "decoder")}
    save_file(tensors | table, tmp_path / "model.safetensors")
    report = xf.M2M100ForConditionalGeneration.from_pretrained(tmp_path).load_report
    assert report.ok and sorted(report.ignored) == sorted(table)


def test_positions_grow_with_the_text() -> None:
    model = fill_weights(xf.M2M100Model(config(max_position_embeddings=8))).eval()
    assert model.encoder(tiny_ids((1, 30), 60)).last_hidden_state.isfinite().all()


def test_the_forced_first_token_is_that_of_the_config() -> None:
    model = fill_weights(xf.M2M100ForConditionalGeneration(config(forced_bos_token_id=7))).eval()
    assert model.generate(tiny_ids((2, 5), 60), max_new_tokens=4)[:, 1].tolist() == [7, 7]
    assert model.generate(tiny_ids((2, 5), 60), max_new_tokens=4, forced_bos_token_id=9)[:, 1].tolist() == [9, 9]
