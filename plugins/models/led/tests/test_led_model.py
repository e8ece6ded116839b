"""LED equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.seq2seq import Seq2SeqConformance
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("led_*.safetensors"))
SIZES = {
    "vocab_size": 60,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_encoder_position_embeddings": 600,
    "max_decoder_position_embeddings": 40,
    "attention_window": 4,
}


def make(name: str = "Model", **more: object) -> torch.nn.Module:
    return fill_weights(getattr(xf, f"LED{name}")(xf.LEDConfig(**{**SIZES, **more}))).eval()


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 19


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": None}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(Seq2SeqConformance):
    """The checks of every model, for all heads."""

    name = "led"
    settings = {"attention_window": 4, "max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 32}


def test_only_a_global_token_is_seen_from_afar() -> None:
    encoder, ids = make().encoder, tiny_ids((1, 60), 60, low=4)
    other = ids.clone()
    other[0, 0] = 3
    is_global = torch.zeros_like(ids)
    near, far = encoder(ids).last_hidden_state, encoder(other).last_hidden_state
    assert torch.equal(near[:, 20:], far[:, 20:])
    is_global[0, 0] = 1
    near = encoder(ids, global_attention_mask=is_global).last_hidden_state
    far = encoder(other, global_attention_mask=is_global).last_hidden_state
    assert (near[:, 20:] - far[:, 20:]).abs().max() > 1e-3


def test_where_the_window_holds_the_text_attention_is_full() -> None:
    encoder, ids = make(attention_window=64).encoder, tiny_ids((1, 12), 60, low=4)
    wider = make(attention_window=128).encoder
    torch.testing.assert_close(encoder(ids).last_hidden_state, wider(ids).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_padding_does_not_change_a_text() -> None:
    encoder, ids = make().encoder, tiny_ids((1, 10), 60, low=4)
    alone = encoder(ids).last_hidden_state
    padded = torch.cat([ids, torch.ones(1, 5, dtype=torch.long)], 1)
    found = encoder(padded, attention_mask=(padded != 1).long()).last_hidden_state[:, :10]
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_a_global_mask_goes_through_generate() -> None:
    model, ids = make("ForConditionalGeneration"), tiny_ids((2, 30), 60, low=4)
    is_global = torch.zeros_like(ids)
    is_global[:, 0] = 1
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "num_beams": 2, "return_dict_in_generate": True}
    settings |= {"output_attentions": True}
    model.set_attn_implementation("eager")
    found = model.generate(ids, global_attention_mask=is_global, **settings)
    assert found.encoder_attentions[0].shape == (2, 4, 30, 1 + 5)


@pytest.mark.parametrize("window", [3, 0, [4], [4, 4, 4]])
def test_a_window_that_cannot_be_is_refused(window: object) -> None:
    with pytest.raises(ValueError, match="attention_window"):
        xf.LEDConfig(**{**SIZES, "attention_window": window})


def test_a_text_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="Position 600 is beyond the 600"):
        make().encoder(tiny_ids((1, 601), 60))
