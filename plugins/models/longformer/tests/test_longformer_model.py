"""Longformer equals the reference on recorded answers, and does what every model must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden
from xf_testing.tiny import fill_weights, tiny_ids

torch.set_num_threads(1)
GOLDENS = sorted((Path(__file__).parent / "goldens").glob("longformer_*.safetensors"))


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 17


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
@pytest.mark.parametrize("attention", ["eager", None], ids=["eager", "default"])
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


class TestEveryHead(ModelConformance):
    """The checks of every model, for all heads."""

    name = "longformer"
    settings = {"attention_window": 4, "sep_token_id": 2}
    has_attention_weights = False  # those of global tokens are elsewhere: rows do not sum to one; see the goldens

    def make_inputs(self, model, head, batch=2):  # type: ignore[no-untyped-def]
        inputs = super().make_inputs(model, head, batch)
        if head in ("question_answering", "multiple_choice"):
            inputs["input_ids"][..., [2, 3, 6]] = 2  # question </s></s> text </s>
        return inputs


SIZES = {
    "attention_window": 4,
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}


def test_memory_grows_with_the_window_and_not_with_the_square_of_the_text() -> None:
    sizes = {**SIZES, "attention_window": 16, "max_position_embeddings": 4100, "num_hidden_layers": 1}
    model = fill_weights(xf.LongformerModel(xf.LongformerConfig(**sizes))).eval()
    with torch.no_grad():
        model(tiny_ids((1, 64), 60))
        with torch.profiler.profile(profile_memory=True) as profile:
            model(tiny_ids((1, 4096), 60))
    largest = max(event.self_cpu_memory_usage for event in profile.key_averages())
    assert largest < 4 * 4096 * 4096  # one head's scores of all pairs, in bytes


def test_clear_errors() -> None:
    model = xf.LongformerModel(xf.LongformerConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="19 tokens long, but the model has 18 positions"):
        model(tiny_ids((1, 19), 60))
    with pytest.raises(ValueError, match=r"global_attention_mask has shape \(1, 3\)"):
        model(tiny_ids((1, 5), 60), global_attention_mask=torch.ones(1, 3))
    with pytest.raises(ValueError, match="exactly three separators"):
        xf.LongformerForQuestionAnswering(xf.LongformerConfig(**SIZES))(tiny_ids((1, 5), 60))
    with pytest.raises(ValueError, match="attention_window is 3: give an even"):
        xf.LongformerModel(xf.LongformerConfig(**{**SIZES, "attention_window": 3}))
    with pytest.raises(ValueError, match="attn_implementation='sdpa' cannot do it"):
        xf.LongformerModel(xf.LongformerConfig(**SIZES, attn_implementation="sdpa"))
    with pytest.raises(ValueError, match="attn_implementation='sdpa' cannot do it"):
        model.set_attn_implementation("sdpa")
    assert model.attention_choice.name == "eager"
