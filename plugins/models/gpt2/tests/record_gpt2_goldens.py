"""Record the reference's answers for tiny GPT-2 models. Needs the reference environment (`make reference`).

Run: python record_gpt2_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record
from xf_testing.tiny import tiny_floats, tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 99,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "pad_token_id": 0,
    "bos_token_id": 98,
    "eos_token_id": 98,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    return {
        "config_class": "GPT2Config",
        "model_class": model,
        "config": {**CONFIG, **(config or {})},
        "inputs": inputs,
        **more,
    }


def main() -> None:
    ids = tiny_ids((2, 9), 98)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    left = {"input_ids": ids * mask, "attention_mask": mask}
    right = {"input_ids": ids * mask.flip(1), "attention_mask": mask.flip(1)}
    labels = (ids * mask.flip(1)).masked_fill(mask.flip(1) == 0, -100)
    encoder = {"encoder_hidden_states": tiny_floats((2, 5, 16)), "encoder_attention_mask": mask[:, 2:7]}
    choices = {"input_ids": tiny_ids((2, 3, 7), 98), "mc_token_ids": torch.tensor([[6, 3, 5], [1, 6, 4]])}
    mc = {**choices, "labels": choices["input_ids"].clone(), "mc_labels": torch.tensor([2, 0])}
    head = {"head_mask": torch.tensor([[1.0, 0.0, 0.5, 1.0], [1.0, 1.0, 0.0, 0.3]])}
    cases = {
        "lm": case("GPT2LMHeadModel", {**right, "labels": labels}, gradients=True, call=STATES),
        "lm_types": case("GPT2LMHeadModel", {**right, "token_type_ids": tiny_ids((2, 9), 98, seed=4)}, call=STATES),
        "lm_scaled": case(
            "GPT2LMHeadModel",
            {**right, **head},
            {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True, "n_inner": 24},
            call=STATES,
        ),
        "lm_cross": case(
            "GPT2LMHeadModel",
            {**right, **encoder, "labels": labels},
            {"add_cross_attention": True},
            gradients=True,
            call=STATES,
        ),
        "embeds": case("GPT2Model", {"inputs_embeds": tiny_floats((2, 6, 16))}, call=STATES),
        "double": case("GPT2DoubleHeadsModel", mc, gradients=True, call=STATES),
        "double_tanh": case(
            "GPT2DoubleHeadsModel",
            choices,
            {"summary_activation": "tanh", "summary_proj_to_labels": False},
            call=STATES,
        ),
        "sequence": case(
            "GPT2ForSequenceClassification", {**right, "labels": torch.tensor([1, 0])}, gradients=True, call=STATES
        ),
        "token": case(
            "GPT2ForTokenClassification", {**right, "labels": ids % 3}, {"num_labels": 3}, gradients=True, call=STATES
        ),
        "answer": case(
            "GPT2ForQuestionAnswering",
            {**right, "start_positions": torch.tensor([1, 4]), "end_positions": torch.tensor([3, 5])},
            gradients=True,
            call={"output_hidden_states": True},
        ),
        "greedy": case("GPT2LMHeadModel", left, generate={"max_new_tokens": 12, "do_sample": False}),
        "beams": case("GPT2LMHeadModel", left, generate={"max_new_tokens": 12, "num_beams": 3, "length_penalty": 0.5}),
    }
    for name, one in cases.items():
        record(FOLDER / f"gpt2_{name}.safetensors", one)


if __name__ == "__main__":
    main()
