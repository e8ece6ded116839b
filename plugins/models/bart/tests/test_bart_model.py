"""BART equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.seq2seq import Seq2SeqConformance
from xf_testing.seq2seq_cases import CONFIG
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("bart_*.safetensors"))
TOKENS = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2, "bos_token_id": 0}


def config(**more: object) -> xf.BartConfig:
    return xf.BartConfig(**{**CONFIG, **TOKENS, **more})


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 17


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(Seq2SeqConformance):
    """The checks of every model, for all heads."""

    name = "bart"


def test_the_decoder_alone_loads_from_a_whole_checkpoint(tmp_path: Path) -> None:
    whole = fill_weights(xf.BartForConditionalGeneration(config())).eval()
    whole.save_pretrained(tmp_path)
    decoder = xf.BartForCausalLM.from_pretrained(tmp_path)
    ids = tiny_ids((1, 5), 60)
    body = whole.model.decoder(ids).last_hidden_state
    torch.testing.assert_close(decoder(ids).logits, whole.lm_head(body))


def test_steps_with_a_cache_are_the_same_as_the_whole_text() -> None:
    model = fill_weights(xf.BartModel(config())).eval()
    ids, answer = tiny_ids((2, 7), 60, low=4), tiny_ids((2, 5), 60, seed=1, low=4)
    whole = model(ids, decoder_input_ids=answer, use_cache=False)
    first = model(ids, decoder_input_ids=answer[:, :3], use_cache=True)
    for past in (first.past_key_values.to_legacy_cache(), first.past_key_values):
        last = model(
            encoder_outputs=(first.encoder_last_hidden_state,), decoder_input_ids=answer[:, 3:], past_key_values=past
        )
        torch.testing.assert_close(last.last_hidden_state, whole.last_hidden_state[:, 3:], atol=1e-5, rtol=1e-5)


def test_a_text_that_has_no_decoder_inputs_or_no_text_is_an_error() -> None:
    model = xf.BartModel(config())
    with pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, 16))
    with pytest.raises(ValueError, match="input_ids"):
        model(decoder_input_ids=torch.tensor([[4, 5]]))


def test_three_classes_by_default() -> None:
    assert xf.BartConfig().num_labels == 3
    assert xf.BartConfig(num_labels=5).num_labels == 5
    assert xf.BartConfig(id2label={0: "no", 1: "yes"}).num_labels == 2


def test_halves_cannot_be_tied() -> None:
    with pytest.raises(ValueError, match="tie_encoder_decoder"):
        xf.BartModel(config(tie_encoder_decoder=True))


def test_without_decoder_inputs_the_text_is_read_by_both() -> None:
    model = fill_weights(xf.BartModel(config())).eval()
    ids = torch.tensor([[5, 6, 7, 2]])
    shifted = model(ids, decoder_input_ids=torch.tensor([[2, 5, 6, 7]])).last_hidden_state
    torch.testing.assert_close(model(ids).last_hidden_state, shifted)


def test_rows_with_different_numbers_of_end_tokens_are_refused() -> None:
    model = xf.BartForSequenceClassification(config())
    for ids in ([[3, 4, 2], [3, 2, 2]], [[3, 4, 5], [3, 4, 6]]):
        with pytest.raises(ValueError, match="end tokens"):
            model(torch.tensor(ids))
