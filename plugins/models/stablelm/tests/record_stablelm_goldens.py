"""Record the reference's answers for tiny StableLM models. Needs the reference environment (`make reference`).

Run: python record_stablelm_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record
from xf_testing.tiny import tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": None,
    "partial_rotary_factor": 0.5,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    config = {**CONFIG, **(config or {})}
    return {"config_class": "StableLmConfig", "model_class": model, "config": config, "inputs": inputs, **more}


def main() -> None:
    ids = tiny_ids((2, 9), 60)
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    right = {"input_ids": ids * mask, "attention_mask": mask}
    left = {"input_ids": ids * mask.flip(1), "attention_mask": mask.flip(1)}
    cases = {
        "lm": case("StableLmForCausalLM", {**right, "labels": ids}, call=STATES, gradients=True),
        "parallel": case(
            "StableLmForCausalLM",
            {**right, "labels": ids},
            {"use_parallel_residual": True, "use_qkv_bias": True},
            call=STATES,
            gradients=True,
        ),
        "sequence": case(
            "StableLmForSequenceClassification", {**right, "labels": torch.tensor([2, 0])}, {"num_labels": 3}
        ),
        "greedy": case("StableLmForCausalLM", left, generate={"max_new_tokens": 20, "do_sample": False}),
    }
    for name, one in cases.items():
        record(FOLDER / f"stablelm_{name}.safetensors", one)


if __name__ == "__main__":
    main()
