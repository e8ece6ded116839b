"""TAPAS equals the reference: outputs, states, attentions, losses, gradients, on recorded answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import xf
from xf_testing import ModelConformance
from xf_testing.reference import answer_case, assert_same_outputs, load_golden

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("tapas_*.safetensors"))
SMALL = {
    "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": 32, "type_vocab_sizes": [3, 8, 8, 2, 8, 8, 10], "max_num_rows": 4, "max_num_columns": 4,
}  # fmt: skip
torch.set_num_threads(1)


@pytest.mark.parametrize("attention", ["eager", None])
@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_answers_are_those_of_the_reference(path: Path, attention: str | None) -> None:
    case, inputs, expected = load_golden(path)
    ours = answer_case({**case, "inputs": inputs, "attn_implementation": attention}, library=xf)
    assert_same_outputs(ours, expected)


def test_there_are_goldens() -> None:
    assert len(GOLDENS) == 11


def test_defaults_are_those_of_the_reference() -> None:
    config = xf.TapasConfig()
    assert (config.type_vocab_sizes, config.max_position_embeddings) == ([3, 256, 256, 2, 256, 256, 10], 1024)
    again = xf.TapasConfig.from_dict({"aggregation_labels": {"0": "NONE", "1": "SUM"}, "model_type": "tapas"})
    assert again.aggregation_labels == {0: "NONE", 1: "SUM"}


def test_a_loss_says_what_it_lacks() -> None:
    ids = torch.ones(1, 5, dtype=torch.long)
    labels = torch.zeros(1, 5)
    for settings, says in (
        ({"num_aggregation_labels": 2}, "needs aggregation_labels"),
        ({"num_aggregation_labels": 2, "use_answer_as_supervision": True}, "float_answer"),
    ):
        model = xf.TapasForQuestionAnswering(xf.TapasConfig(**SMALL, **settings))
        with pytest.raises(ValueError, match=says):
            model(input_ids=ids, labels=labels)


class TestTapas(ModelConformance):
    name = "tapas"
    settings = SMALL

    def make_labels(self, model: Any, head: str, inputs: Any) -> dict[str, torch.Tensor]:
        if head == "table_question_answering":
            return {"labels": (inputs["input_ids"] % 2).float()}
        return super().make_labels(model, head, inputs)
