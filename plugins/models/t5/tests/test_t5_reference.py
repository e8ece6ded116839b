"""T5 equals the reference: outputs, states, attentions, losses, gradients, generated tokens, on recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.seq2seq import Seq2SeqConformance
from xf_testing.tiny import fill_weights, tiny_ids

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("*t5_*.safetensors"))
torch.set_num_threads(1)
SMALL = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}


def answers(path: Path, attention: str | None, **more: object) -> tuple[dict, dict, dict]:
    case, inputs, expected = load_golden(path)
    return (
        answer_case({**case, "inputs": inputs, "attn_implementation": attention, **more}, library=xf),
        expected,
        inputs,
    )


@pytest.mark.parametrize("attention", ["eager", None])
@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    ours, expected, _ = answers(path, attention)
    assert_same_outputs(ours, expected)


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 11 + 2 * 9 + 16


class T5Conformance(Seq2SeqConformance):
    """The checks of every model."""

    abstract = True
    settings = {"decoder_start_token_id": 0}


class TestT5(T5Conformance):
    name = "t5"


class TestMT5(T5Conformance):
    name = "mt5"
    heads = ("seq2seq_lm",)  # the others differ from T5's in nothing but the config


class TestUMT5(T5Conformance):
    name = "umt5"
    heads = ("base", "seq2seq_lm")


class TestLongT5(T5Conformance):
    name = "longt5"
    heads = ("base", "seq2seq_lm")
    settings = T5Conformance.settings | {"local_radius": 2, "encoder_attention_type": "transient-global"}


def test_tied_halves_share_all_that_both_have(tmp_path: Path) -> None:
    config = xf.T5Config(**SMALL, tie_encoder_decoder=True, decoder_start_token_id=0)
    model = fill_weights(xf.T5ForConditionalGeneration(config)).eval()
    one, two = model.encoder.block[1], model.decoder.block[1]
    assert one.layer[0].SelfAttention.q.weight is two.layer[0].SelfAttention.q.weight
    assert one.layer[1].DenseReluDense.wi.weight is two.layer[2].DenseReluDense.wi.weight
    model.save_pretrained(tmp_path)
    again = xf.T5ForConditionalGeneration.from_pretrained(tmp_path)
    ids = torch.tensor([[3, 4, 1]])
    assert torch.equal(again(ids, labels=ids).logits, model(ids, labels=ids).logits) and again.load_report.ok
    with pytest.raises(ValueError, match="nothing like the encoder"):
        xf.T5Model(xf.T5Config(**SMALL, tie_encoder_decoder=True, num_decoder_layers=1))


def test_far_tokens_are_seen_through_the_sums_of_blocks_alone() -> None:
    ids = tiny_ids((1, 40), 20, low=4)
    other = ids.clone()
    other[0, 0] = 3
    for kind, seen in (("local", False), ("transient-global", True)):
        config = xf.LongT5Config(**SMALL, local_radius=3, global_block_size=4, encoder_attention_type=kind)
        encoder = fill_weights(xf.LongT5EncoderModel(config)).eval()
        gap = encoder(ids).last_hidden_state[:, 30:] - encoder(other).last_hidden_state[:, 30:]
        assert bool(gap.abs().max() > 1e-6) == seen


def test_an_unknown_kind_of_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="'local' or 'transient-global'"):
        xf.LongT5Config(encoder_attention_type="global")


def test_every_layer_of_umt5_has_biases_of_its_own() -> None:
    names = [n for n in xf.UMT5Model(xf.UMT5Config(**SMALL)).state_dict() if "relative_attention_bias" in n]
    assert len(names) == 4
    assert len([n for n in xf.MT5Model(xf.MT5Config(**SMALL)).state_dict() if "relative_attention_bias" in n]) == 2


def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path) -> None:
    path = Path(__file__).parent / "goldens" / "t5_lm.safetensors"
    answers(path, "eager", save=str(tmp_path))
    case, inputs, expected = load_golden(path)
    assert_same_outputs(answer_case({**case, "checkpoint": str(tmp_path), "inputs": inputs}, library=xf), expected)


def test_the_embedding_is_shared() -> None:
    model = xf.T5ForConditionalGeneration(xf.T5Config(**SMALL))
    weights = (model.encoder.embed_tokens.weight, model.decoder.embed_tokens.weight, model.lm_head.weight)
    assert all(weight is model.shared.weight for weight in weights)
    untied = xf.T5ForConditionalGeneration(xf.T5Config(**SMALL, tie_word_embeddings=False))
    assert untied.lm_head.weight is not untied.shared.weight
    assert untied.encoder.embed_tokens.weight is untied.shared.weight


def test_the_encoder_loads_from_a_whole_checkpoint(tmp_path: Path) -> None:
    whole = xf.T5ForConditionalGeneration(xf.T5Config(**SMALL)).eval()
    whole.save_pretrained(tmp_path)
    encoder = xf.T5EncoderModel.from_pretrained(tmp_path)
    ids = torch.tensor([[3, 4, 1]])
    torch.testing.assert_close(encoder(ids).last_hidden_state, whole.encoder(ids).last_hidden_state)


def test_a_step_with_the_cache_is_the_same_as_the_whole_text() -> None:
    torch.manual_seed(0)
    model = xf.T5Model(xf.T5Config(**SMALL)).eval()
    ids, answer = torch.tensor([[3, 4, 5, 1]]), torch.tensor([[0, 7, 8, 9, 10]])
    whole = model(ids, decoder_input_ids=answer, use_cache=False).last_hidden_state
    first = model(ids, decoder_input_ids=answer[:, :4], use_cache=True)
    last = model(
        encoder_outputs=(first.encoder_last_hidden_state,),
        decoder_input_ids=answer[:, 4:],
        past_key_values=first.past_key_values,
    )
    torch.testing.assert_close(last.last_hidden_state, whole[:, 4:])


@pytest.mark.parametrize("projection", ["foo-gelu", "gated-a-b"])
def test_an_unknown_feed_forward_block_is_refused(projection: str) -> None:
    with pytest.raises(ValueError, match="feed_forward_proj"):
        xf.T5Config(feed_forward_proj=projection)


def test_rows_with_different_numbers_of_end_tokens_are_refused() -> None:
    model = xf.T5ForSequenceClassification(xf.T5Config(**SMALL, decoder_start_token_id=0))
    for ids in ([[3, 4, 1], [3, 1, 1]], [[3, 4, 5], [3, 4, 6]]):
        with pytest.raises(ValueError, match="end tokens"):
            model(torch.tensor(ids))


def test_labels_without_a_start_token_are_refused() -> None:
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        xf.T5ForConditionalGeneration(xf.T5Config(**SMALL))(torch.tensor([[3, 1]]), labels=torch.tensor([[4, 1]]))


def test_the_decoder_needs_inputs() -> None:
    with pytest.raises(ValueError, match="decoder_input_ids"):
        xf.T5Model(xf.T5Config(**SMALL))(torch.tensor([[3, 1]]))


def test_half_precision_keeps_the_second_projection_in_float32() -> None:
    model = xf.T5ForConditionalGeneration(xf.T5Config(**SMALL, decoder_start_token_id=0)).eval()
    ids = torch.tensor([[3, 4, 1]])
    model.to(torch.bfloat16)
    model.encoder.block[0].layer[1].DenseReluDense.wo.float()
    assert model(ids, decoder_input_ids=ids).logits.isfinite().all()
