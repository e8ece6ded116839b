"""Blenderbot equals the reference on recorded answers, and does what every model must do."""

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
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("blenderbot_*.safetensors"))
TOKENS = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 1}


def config(**more: object) -> xf.BlenderbotConfig:
    return xf.BlenderbotConfig(**{**CONFIG, **TOKENS, **more})


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

    name = "blenderbot"


def test_the_decoder_alone_loads_from_a_whole_checkpoint(tmp_path: Path) -> None:
    whole = fill_weights(xf.BlenderbotForConditionalGeneration(config())).eval()
    whole.save_pretrained(tmp_path)
    decoder = xf.BlenderbotForCausalLM.from_pretrained(tmp_path)
    ids = tiny_ids((1, 5), 60)
    body = whole.model.decoder(ids).last_hidden_state
    torch.testing.assert_close(decoder(ids).logits, whole.lm_head(body))


def test_steps_with_a_cache_are_the_same_as_the_whole_text() -> None:
    model = fill_weights(xf.BlenderbotModel(config())).eval()
    ids, answer = tiny_ids((2, 7), 60, low=4), tiny_ids((2, 5), 60, seed=1, low=4)
    whole = model(ids, decoder_input_ids=answer, use_cache=False)
    first = model(ids, decoder_input_ids=answer[:, :3], use_cache=True)
    for past in (first.past_key_values.to_legacy_cache(), first.past_key_values):
        last = model(
            encoder_outputs=(first.encoder_last_hidden_state,), decoder_input_ids=answer[:, 3:], past_key_values=past
        )
        torch.testing.assert_close(last.last_hidden_state, whole.last_hidden_state[:, 3:], atol=1e-5, rtol=1e-5)


def test_a_text_that_has_no_decoder_inputs_or_no_text_is_an_error() -> None:
    model = xf.BlenderbotModel(config())
    with pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, 16))
    with pytest.raises(ValueError, match="input_ids"):
        model(decoder_input_ids=torch.tensor([[4, 5]]))


def test_generation_does_not_repeat_three_tokens_of_the_text() -> None:
    model = fill_weights(xf.BlenderbotForConditionalGeneration(config())).eval()
    assert model.generation_config.encoder_no_repeat_ngram_size == 3
