"""GPT-2 equals the reference: outputs, states, attentions, losses, gradients, generated tokens, on recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("gpt2_*.safetensors"))


def answers(path: Path, attention: str | None, **more: object) -> tuple[dict, dict, dict]:
    case, inputs, expected = load_golden(path)
    return (
        answer_case({**case, "inputs": inputs, "attn_implementation": attention, **more}, library=xf),
        expected,
        inputs,
    )


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path) -> None:
    ours, expected, _ = answers(path, "eager")
    assert_same_outputs(ours, expected)


@pytest.mark.parametrize("name", ["lm_types", "double", "embeds", "answer", "greedy", "beams"])
def test_default_attention_gives_the_same(name: str) -> None:
    """On inputs whose padding, if any, is on the right: what stands at padding on the left is arbitrary."""
    ours, expected, _ = answers(Path(__file__).parent / "goldens" / f"gpt2_{name}.safetensors", None)
    assert_same_outputs(ours, expected)


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 12


def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path) -> None:
    path = Path(__file__).parent / "goldens" / "gpt2_lm.safetensors"
    answers(path, "eager", save=str(tmp_path))
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "checkpoint": str(tmp_path), "inputs": inputs}, library=xf)
    assert_same_outputs(ours, expected)


def test_the_tied_head_follows_the_embedding() -> None:
    model = xf.GPT2LMHeadModel(xf.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    assert model.lm_head.weight is model.transformer.wte.weight


def test_checkpoints_of_the_body_load_into_the_head_model(tmp_path: Path) -> None:
    config = xf.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    body = xf.GPT2Model(config)
    body.save_pretrained(tmp_path)
    model = xf.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert torch.equal(model.transformer.h[0].attn.c_attn.weight, body.h[0].attn.c_attn.weight)


def test_pruned_heads_add_nothing() -> None:
    torch.manual_seed(0)
    config = xf.GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=4, n_positions=16, attn_implementation="eager")
    model = xf.GPT2Model(config).eval()
    ids = torch.tensor([[1, 5, 7, 2]])
    masked = model(ids, head_mask=torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])).last_hidden_state
    model.prune_heads({0: [0, 3]})
    torch.testing.assert_close(model(ids).last_hidden_state, masked)


def test_a_text_longer_than_the_positions_is_refused() -> None:
    model = xf.GPT2Model(xf.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=4)).eval()
    with pytest.raises(ValueError, match="5 tokens, but the model has 4 positions"):
        model(torch.tensor([[1, 2, 3, 4, 5]]))


def test_an_encoder_that_nothing_reads_is_refused() -> None:
    model = xf.GPT2Model(xf.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=4)).eval()
    with pytest.raises(ValueError, match="add_cross_attention"):
        model(torch.tensor([[1]]), encoder_hidden_states=torch.zeros(1, 2, 8))


def test_a_step_with_the_cache_is_the_same_as_the_whole_text() -> None:
    torch.manual_seed(0)
    config = xf.GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=16, add_cross_attention=True)
    model = xf.GPT2Model(config).eval()
    ids, states = torch.tensor([[1, 5, 7, 2]]), torch.randn(1, 3, 8)
    whole = model(ids, encoder_hidden_states=states).last_hidden_state
    first = model(ids[:, :3], encoder_hidden_states=states, use_cache=True)
    last = model(ids[:, 3:], encoder_hidden_states=states, past_key_values=first.past_key_values).last_hidden_state
    torch.testing.assert_close(last, whole[:, 3:])
