"""Record the reference's answers for tiny Falcon models. Needs the reference environment (`make reference`).

Run: python record_falcon_goldens.py
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
    "ffn_hidden_size": 24,
}
STATES = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}


def case(model: str, inputs: dict[str, torch.Tensor], config: dict | None = None, **more: object) -> dict:
    config = {**CONFIG, **(config or {})}
    return {"config_class": "FalconConfig", "model_class": model, "config": config, "inputs": inputs, **more}


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
        "lm": case("FalconForCausalLM", lm, **full),
        "groups": case("FalconForCausalLM", lm, {"new_decoder_architecture": True, "num_kv_heads": 2}, **full),
        # With ALiBi the eager path of the reference does not divide the bias; its default path does.
        "alibi": case(
            "FalconForCausalLM",
            lm,
            {"alibi": True, "parallel_attn": False, "multi_query": False, "bias": True},
            attn_implementation="sdpa",
            call={"output_hidden_states": True, "use_cache": False},
            gradients=True,
        ),
        "sequence": case(
            "FalconForSequenceClassification", {**right, "labels": torch.tensor([2, 0])}, {"num_labels": 3}
        ),
        "greedy": case("FalconForCausalLM", left, generate=greedy),
    }
    record_all(Path(__file__).parent / "goldens", "falcon", cases)


if __name__ == "__main__":
    main()
