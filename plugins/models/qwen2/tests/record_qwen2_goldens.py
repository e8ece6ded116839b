"""Record the reference's answers for tiny Qwen2 models. Needs the reference environment (`make reference`).

Run: python record_qwen2_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record
from xf_testing.tiny import tiny_ids

FOLDER = Path(__file__).parent / "goldens"
CONFIG = {
    "vocab_size": 99,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


def case(model_class: str, inputs: dict[str, torch.Tensor], **more: object) -> dict:
    return {"config_class": "Qwen2Config", "model_class": model_class, "config": CONFIG, "inputs": inputs, **more}


def main() -> None:
    ids = tiny_ids((2, 9), 99)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    left = {"input_ids": ids * mask, "attention_mask": mask}
    states = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
    cases = {
        "causal_lm": case("Qwen2ForCausalLM", {**left, "labels": ids}, call=states, gradients=True),
        "greedy": case("Qwen2ForCausalLM", left, generate={"max_new_tokens": 24, "do_sample": False}),
    }
    for name, one in cases.items():
        record(FOLDER / f"qwen2_{name}.safetensors", one)


if __name__ == "__main__":
    main()
