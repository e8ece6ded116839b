"""Record the reference's answers for tiny Llama 4 text models. Needs the reference environment (`make reference`).

Run: python record_llama4_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids

CONFIG = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "intermediate_size": 12,
    "intermediate_size_mlp": 24,
    "num_local_experts": 4,
    "attention_chunk_size": 4,
    "floor_scale": 3,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    config = {**CONFIG, **(config or {})}
    return {"config_class": "Llama4TextConfig", "model_class": model, "config": config, "inputs": inputs, **more}


def main() -> None:
    ids = tiny_ids((2, 9), 60)
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    right = {"input_ids": ids * mask, "attention_mask": mask}
    left = {"input_ids": ids * mask.flip(1), "attention_mask": mask.flip(1)}
    lm = {**right, "labels": ids}
    full = {"call": STATES, "gradients": True}
    greedy = {"max_new_tokens": 20, "do_sample": False}
    cases = {
        "lm": case("Llama4ForCausalLM", lm, **full),
        "greedy": case("Llama4ForCausalLM", left, {"attention_chunk_size": 64}, generate=greedy),
    }
    # 4.55.4 multiplies tokens by the scores of others in the batch; 5.23.0 does not.
    record_all(Path(__file__).parent / "goldens", "llama4", cases, version="5.23.0")


if __name__ == "__main__":
    main()
