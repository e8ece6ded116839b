"""Record the reference's answers for tiny Nemotron models. Needs the reference environment (`make reference`).

Run: python record_nemotron_goldens.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids

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
    return {"config_class": "NemotronConfig", "model_class": model, "config": config, "inputs": inputs, **more}


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
        "lm": case("NemotronForCausalLM", lm, **full),
        "sequence": case(
            "NemotronForSequenceClassification", right | {"labels": torch.tensor([2, 0])}, {"num_labels": 3}
        ),
        "greedy": case("NemotronForCausalLM", left, generate=greedy),
    }
    record_all(Path(__file__).parent / "goldens", "nemotron", cases)


if __name__ == "__main__":
    main()
