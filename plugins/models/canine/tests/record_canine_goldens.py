"""Record the reference's answers for tiny CANINE models. Needs the reference environment (`make reference`).

Run: python record_canine_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 30,
    "num_hash_buckets": 50,
}


def cases() -> dict[str, dict[str, Any]]:
    """Every head; blocks of the first layer, of several sizes; other rates."""
    found = head_cases("Canine", 0, base=SIZES)
    del found["masked_lm"]
    model, config = found["model"], {**SIZES, "local_transformer_stride": 4}
    states = {"output_hidden_states": True}
    found["blocks"] = {**model, "config": config, "call": states}
    mask = (torch.arange(11) < torch.tensor([[11], [3]])).long()
    text = {"input_ids": tiny_ids((2, 11), 60000), "attention_mask": mask}
    # without gradients: those of blocks that are padding alone are rounding in backends that sum logarithms
    found["ragged_blocks"] = {**model, "config": config, "inputs": text, "call": states, "gradients": False}
    found["ragged"] = {**model, "inputs": text}
    rates = {"downsampling_rate": 2, "upsampling_kernel_size": 3, "num_hash_functions": 4, "type_vocab_size": 3}
    text = {**text, "token_type_ids": torch.arange(11).expand(2, -1).contiguous() // 4}
    found["rates"] = {**model, "config": {**SIZES, **rates}, "inputs": text}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "canine", cases())


if __name__ == "__main__":
    main()
