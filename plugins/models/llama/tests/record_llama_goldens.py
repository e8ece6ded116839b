"""Record the reference's answers for tiny Llama models. Needs the reference environment (`make reference`).

Run: python record_llama_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record
from xf_testing.tiny import tiny_floats, tiny_ids

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
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
LONG = [1.5, 4.0]
ROPES = {
    "linear": {"rope_type": "linear", "factor": 2.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "yarn": {"rope_type": "yarn", "factor": 2.0, "mscale": 0.7, "mscale_all_dim": 0.5},
    "longrope": {"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0, 1.3], "long_factor": LONG},
    "llama3": {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
}


def case(head: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    return {
        "config_class": "LlamaConfig",
        "model_class": f"Llama{head}",
        "config": {**CONFIG, **(config or {})},
        "inputs": inputs,
        **more,
    }


def main() -> None:
    ids = tiny_ids((2, 9), 99)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    left = {"input_ids": ids * mask, "attention_mask": mask}
    right = {"input_ids": ids * mask.flip(1), "attention_mask": mask.flip(1)}
    long = {"input_ids": tiny_ids((1, 80), 99, seed=1)}
    cases = {
        "causal_lm": case("ForCausalLM", {**left, "labels": ids}, call=STATES, gradients=True),
        "causal_lm_biases": case(
            "ForCausalLM",
            {**right, "labels": ids},
            {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "head_dim": 6},
            call=STATES,
            gradients=True,
        ),
        "embeds": case("Model", {"inputs_embeds": tiny_floats((1, 5, 16))}, call=STATES),
        "sequence": case(
            "ForSequenceClassification",
            {**right, "labels": torch.tensor([2, 0])},
            {"num_labels": 3},
            call=STATES,
            gradients=True,
        ),
        "token": case(
            "ForTokenClassification", {**left, "labels": ids % 4}, {"num_labels": 4}, call={"use_cache": False}
        ),
        "answer": case(
            "ForQuestionAnswering",
            {**left, "start_positions": torch.tensor([3, 1]), "end_positions": torch.tensor([5, 20])},
        ),
        "greedy": case("ForCausalLM", left, generate={"max_new_tokens": 30, "do_sample": False}),
    }
    for name, scaling in ROPES.items():
        cases[f"rope_{name}"] = case("ForCausalLM", long, {"rope_scaling": scaling}, call={"use_cache": False})
    for name, one in cases.items():
        record(FOLDER / f"llama_{name}.safetensors", one)


if __name__ == "__main__":
    main()
