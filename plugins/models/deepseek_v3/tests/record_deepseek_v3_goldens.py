"""Record the reference's answers for tiny DeepSeek-V3 models. Needs the reference environment (`make reference`).

Run: python record_deepseek_v3_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids

CONFIG = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": None,
    "intermediate_size": 24,
    "moe_intermediate_size": 12,
    "num_key_value_heads": 4,
    "n_routed_experts": 8,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 12,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 6,
    "v_head_dim": 5,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    config = {**CONFIG, **(config or {})}
    return {"config_class": "DeepseekV3Config", "model_class": model, "config": config, "inputs": inputs, **more}


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
        "lm": case("DeepseekV3ForCausalLM", lm, **full),
        "yarn": case(
            "DeepseekV3ForCausalLM",
            lm,
            {
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 16,
                    "mscale": 1.0,
                    "mscale_all_dim": 1.0,
                }
            },
            call=STATES,
        ),
        "greedy": case("DeepseekV3ForCausalLM", left, generate=greedy),
    }
    record_all(Path(__file__).parent / "goldens", "deepseek_v3", cases)


if __name__ == "__main__":
    main()
