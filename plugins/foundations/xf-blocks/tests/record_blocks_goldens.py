"""Record rotary angles and activations of the reference. Needs the reference environment (`make reference`).

Run inside it: python record_blocks_goldens.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

FOLDER = Path(__file__).parent / "goldens"
SHORT, LONG = [1.0, 1.1, 1.3, 1.6], [1.5, 2.0, 3.5, 5.0]
SCALINGS = {
    "default": None,
    "linear": {"rope_type": "linear", "factor": 2.5},
    "linear_old_key": {"type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0},
    "yarn_original": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn_exact_ramp": {"rope_type": "yarn", "factor": 4.0, "truncate": False, "beta_fast": 16.0, "beta_slow": 2.0},
    "yarn_mscale": {"rope_type": "yarn", "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.3},
    "longrope": {"rope_type": "longrope", "factor": 4.0, "short_factor": SHORT, "long_factor": LONG},
    "llama3": {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}


def main() -> None:
    tensors, cases = {}, {}
    for name, scaling in SCALINGS.items():
        for length in (20, 90):  # within and beyond max_position_embeddings
            settings = {
                "hidden_size": 32,
                "num_attention_heads": 4,
                "max_position_embeddings": 64,
                "rope_theta": 5000.0,
                "rope_scaling": scaling,
            }
            rotary = LlamaRotaryEmbedding(LlamaConfig(**json.loads(json.dumps(settings))))
            cos, sin = rotary(torch.zeros(1), torch.arange(length)[None])
            tensors[f"{name}.{length}.cos"], tensors[f"{name}.{length}.sin"] = cos.clone(), sin.clone()
            cases[f"{name}.{length}"] = settings
    save_file(tensors, FOLDER / "rope.safetensors", metadata={"cases": json.dumps(cases)})
    x = torch.linspace(-12, 12, 49)
    save_file(
        {name: ACT2FN[name](x).detach().clone() for name in ACT2FN} | {"x": x}, FOLDER / "activations.safetensors"
    )


if __name__ == "__main__":
    main()
