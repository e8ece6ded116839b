"""Record the reference's answers for tiny TAPAS models. Needs the reference environment (`make reference`).

Run: python record_tapas_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
    "max_position_embeddings": 8, "type_vocab_sizes": [3, 16, 16, 2, 16, 16, 10], "max_num_rows": 3, "num_labels": 3,
}  # fmt: skip
ANSWERS = {
    "num_aggregation_labels": 4, "use_answer_as_supervision": True, "cell_selection_preference": 0.2,
    "huber_loss_delta": 5.0, "answer_loss_cutoff": 50.0, "answer_loss_importance": 3.0, "aggregation_temperature": 2.0,
    "max_num_rows": 16,
}  # fmt: skip
STATES = {"output_hidden_states": True, "output_attentions": True}


def table() -> dict[str, torch.Tensor]:
    """Two questions about tables of two columns; the second is padded."""
    rows = torch.tensor([0] * 5 + [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3])
    columns = torch.tensor([0] * 5 + [1, 1, 2, 1, 1, 1, 2, 1, 2, 1, 2, 2])
    types = torch.zeros(2, 17, 7, dtype=torch.long)
    types[:, :, 0], types[:, :, 1], types[:, :, 2] = (rows + columns > 0).long(), columns, rows
    types[:, :, 3] = tiny_ids((2, 17), 60, seed=1) % 2 * (rows > 0)
    types[:, :, 4:] = tiny_ids((2, 17, 3), 8, seed=2) * (rows > 0)[:, None]
    types[1, 14:] = 0
    mask = torch.ones(2, 17, dtype=torch.long)
    mask[1, 14:] = 0
    return {"input_ids": tiny_ids((2, 17), 60, seed=3) * mask, "attention_mask": mask, "token_type_ids": types}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    config = {**CONFIG, **(config or {})}
    return {"config_class": "TapasConfig", "model_class": model, "config": config, "inputs": inputs, **more}


def make_cases() -> dict[str, dict]:
    inputs = table()
    labels = torch.zeros(2, 17)
    labels[0, 8:11] = labels[0, 12] = 1
    numbers = torch.where(torch.arange(17) % 3 == 0, torch.arange(17) - 7.0, torch.nan).expand(2, 17).clone()
    numbers[:, :8] = torch.nan
    scale = torch.tensor([1.0] * 8 + [3.0] * 3 + [1.0] * 4 + [2.0] * 2).expand(2, 17).clone()
    answer = {
        **inputs, "labels": labels, "float_answer": torch.tensor([torch.nan, 3.0]), "numeric_values": numbers,
        "numeric_values_scale": scale,
    }  # fmt: skip
    known = {"num_aggregation_labels": 4, "average_logits_per_cell": True}
    tokens = {"select_one_column": False, "temperature": 0.5}
    question_answering = "TapasForQuestionAnswering"
    with_gradients = {"gradients": True, "call": STATES}
    operators = {**inputs, "labels": labels, "aggregation_labels": torch.tensor([1, 0])}
    orders = {"average_approximation_function": "second_order", "use_normalized_answer_loss": True}
    first = {"average_approximation_function": "first_order", "allow_empty_column_selection": True}
    return {
        "model": case("TapasModel", inputs, call=STATES),
        "model_plain": case("TapasModel", {"input_ids": inputs["input_ids"]}),
        "masked_lm": case("TapasForMaskedLM", {**inputs, "labels": inputs["input_ids"].clone()}, **with_gradients),
        "sequence": case("TapasForSequenceClassification", {**inputs, "labels": torch.tensor([2, 0])}, gradients=True),
        "cells": case(question_answering, {**inputs, "labels": labels}, gradients=True),
        "cells_unlabelled": case(question_answering, inputs, {**known, "allow_empty_column_selection": True}),
        "tokens": case(question_answering, {**inputs, "labels": labels}, tokens, gradients=True),
        "operators": case(question_answering, operators, known, **with_gradients),
        "answers": case(question_answering, answer, ANSWERS, gradients=True),
        "answers_second_order": case(question_answering, answer, {**ANSWERS, **orders}, gradients=True),
        "answers_first_order": case(question_answering, answer, {**ANSWERS, **first}, gradients=True),
    }


if __name__ == "__main__":
    record_all(FOLDER, "tapas", make_cases())
