"""Record the reference's answers for tiny Phi-3 models. Needs the reference environment (`make reference`).

Run: python record_phi3_goldens.py
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
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    config = {**CONFIG, **(config or {})}
    return {"config_class": "Phi3Config", "model_class": model, "config": config, "inputs": inputs, **more}


def main() -> None:
    ids = tiny_ids((2, 9), 60)
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    right = {"input_ids": ids * mask, "attention_mask": mask}
    left = {"input_ids": ids * mask.flip(1), "attention_mask": mask.flip(1)}
    cases = {
        "lm": case("Phi3ForCausalLM", {**right, "labels": ids}, call=STATES, gradients=True),
        "longrope": case(
            "Phi3ForCausalLM",
            {**right, "labels": ids},
            {
                "original_max_position_embeddings": 8,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.3], "long_factor": [1.5, 4.0]},
            },
            call=STATES,
            gradients=True,
        ),
        "sliding": case(
            "Phi3ForCausalLM", {**right, "labels": ids}, {"sliding_window": 4}, call=STATES, gradients=True
        ),
        "sequence": case("Phi3ForSequenceClassification", {**right, "labels": torch.tensor([2, 0])}, {"num_labels": 3}),
        "greedy": case("Phi3ForCausalLM", left, generate={"max_new_tokens": 20, "do_sample": False}),
    }
    for name, one in cases.items():
        record(FOLDER / f"phi3_{name}.safetensors", one)


if __name__ == "__main__":
    main()
