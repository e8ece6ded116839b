"""An encoder and a decoder as one model: equal to the reference on recorded answers; made of two checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("encoder_decoder_*.safetensors"))
BERT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 30,
}
TOKENS = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 11


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    wanted = {name: value for name, value in expected.items() if not name.startswith("past_key_values")}
    assert_same_outputs(ours, wanted)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    fill_weights(xf.BertModel(xf.BertConfig(**BERT))).save_pretrained(tmp_path / "one")
    fill_weights(xf.BertForMaskedLM(xf.BertConfig(**BERT)), seed=1).save_pretrained(tmp_path / "two")
    return str(tmp_path / "one"), str(tmp_path / "two")


def new(**more: Any) -> Any:
    decoder = {**BERT, "model_type": "bert", "is_decoder": True, "add_cross_attention": True}
    config = xf.EncoderDecoderConfig(encoder={**BERT, "model_type": "bert"}, decoder=decoder, **{**TOKENS, **more})
    return fill_weights(xf.EncoderDecoderModel(config)).eval()


def test_two_checkpoints_become_one_model(folders: tuple[str, str], tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        model = xf.EncoderDecoderModel.from_encoder_decoder_pretrained(
            *folders, **TOKENS, encoder_hidden_dropout_prob=0.3
        )
    assert "crossattention" in caplog.text, "random weights are said"
    assert (model.config.encoder.hidden_dropout_prob, model.config.decoder.hidden_dropout_prob) == (0.3, 0.1)
    assert model.config.decoder.is_decoder and model.config.decoder.add_cross_attention
    assert not model.config.encoder.is_decoder and model.config.pad_token_id == 0
    encoder, decoder = xf.BertModel.from_pretrained(folders[0]), xf.BertForMaskedLM.from_pretrained(folders[1])
    own = model.decoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in decoder.state_dict().items())
    ids = tiny_ids((2, 5), 40)
    out = model(ids, decoder_input_ids=ids[:, :3])
    torch.testing.assert_close(out.encoder_last_hidden_state, encoder(ids).last_hidden_state)
    model.save_pretrained(tmp_path / "both")
    again = xf.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "both")
    assert torch.equal(again(ids, decoder_input_ids=ids[:, :3]).logits, out.logits)
    assert again.load_report.ok


def test_models_can_be_given(folders: tuple[str, str]) -> None:
    encoder = xf.BertModel.from_pretrained(folders[0])
    model = xf.EncoderDecoderModel.from_encoder_decoder_pretrained(None, folders[1], encoder_model=encoder)
    assert model.encoder is encoder
    both = xf.EncoderDecoderModel(encoder=encoder, decoder=model.decoder)
    assert both.decoder is model.decoder and both.config.encoder is encoder.config


def test_tied_halves_share_their_weights(folders: tuple[str, str], tmp_path: Path) -> None:
    model = xf.EncoderDecoderModel.from_encoder_decoder_pretrained(
        folders[0], folders[0], tie_encoder_decoder=True, **TOKENS
    )
    one, two = model.encoder, model.decoder.bert
    assert one.embeddings.word_embeddings.weight is two.embeddings.word_embeddings.weight
    assert one.encoder.layer[1].output.dense.weight is two.encoder.layer[1].output.dense.weight
    model.save_pretrained(tmp_path / "tied")
    again = xf.EncoderDecoderModel.from_pretrained(tmp_path / "tied")
    ids = tiny_ids((1, 4), 40)
    assert torch.equal(again(ids, decoder_input_ids=ids).logits, model(ids, decoder_input_ids=ids).logits)
    assert again.encoder.pooler.dense.weight is not None and again.load_report.ok


def test_a_cache_changes_nothing() -> None:
    model, ids = new(), tiny_ids((2, 6), 40, low=4)
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    assert torch.equal(model.generate(ids, **settings), model.generate(ids, use_cache=False, **settings))


def test_the_loss_goes_down() -> None:
    model, ids = new(), tiny_ids((2, 6), 40, low=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(ids, labels=ids).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_what_is_missing_is_said(folders: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="encoder and decoder missing"):
        xf.EncoderDecoderConfig()
    with pytest.raises(ValueError, match="a config, or an encoder and a decoder"):
        xf.EncoderDecoderModel()
    with pytest.raises(ValueError, match="decoder_pretrained_model_name_or_path"):
        xf.EncoderDecoderModel.from_encoder_decoder_pretrained(folders[0])
    ids = tiny_ids((1, 4), 40)
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        new(decoder_start_token_id=None)(ids, labels=ids)
    with pytest.raises(NotImplementedError, match=r"model\.encoder or model\.decoder"):
        new().resize_token_embeddings(50)


def test_parts_that_do_not_fit_are_refused() -> None:
    decoder = xf.BertConfig(**BERT, is_decoder=True, add_cross_attention=True, cross_attention_hidden_size=12)
    with pytest.raises(ValueError, match="width 12"):
        xf.EncoderDecoderModel(xf.EncoderDecoderConfig.from_encoder_decoder_configs(xf.BertConfig(**BERT), decoder))
    with pytest.raises(ValueError, match="language head"):
        xf.EncoderDecoderModel(encoder=xf.BertForMaskedLM(xf.BertConfig(**BERT)), decoder=new().decoder)
