"""Record the reference's answers for tiny Longformer models. Needs the reference environment (`make reference`).

Run: python record_longformer_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids


def cases() -> dict[str, dict[str, Any]]:
    """Every head; global tokens, as many in each text and not; windows of layers; texts of several lengths."""
    found = head_cases("Longformer", 1, {"attention_window": 4})
    model = found["model"]
    text, config = model["inputs"], model["config"]
    ids = text["input_ids"].clone()
    ids[:, [2, 3, 7]], ids[:, 6:7] = 2, 5
    found["answer"]["inputs"] |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    found["answer"]["call"] = {"output_attentions": True}
    choices = torch.stack([ids, ids.flip(1).roll(-1, 1)], 1)
    choices[:, 1] = torch.tensor([9, 8, 7, 2, 2, 11, 12, 2])
    found["choice"]["inputs"] |= {"input_ids": choices}
    mask = torch.zeros_like(ids)
    mask[:, 0] = 1
    found["global"] = {**model, "inputs": {**text, "global_attention_mask": mask}}
    off = torch.tensor([[1.0, 0, 1, 0.5], [0, 1, 1, 1]])
    found["global_heads_off"] = {**model, "inputs": {**text, "global_attention_mask": mask, "head_mask": off}}
    mask = mask.clone()
    mask[0, 3:5] = 1
    found["ragged_global"] = {**model, "inputs": {**text, "global_attention_mask": mask}}
    merged = {**text, "attention_mask": text["attention_mask"] * (1 + mask)}
    found["twos"] = {**found["masked_lm"], "inputs": {**merged, "labels": found["masked_lm"]["inputs"]["labels"]}}
    layers = {**config, "attention_window": [8, 4], "max_position_embeddings": 40}
    found["layers"] = {**model, "config": layers, "inputs": {"input_ids": tiny_ids((2, 12), 60)}}
    for length in (3, 21):
        found[f"length_{length}"] = {**model, "config": layers, "inputs": {"input_ids": tiny_ids((1, length), 60)}}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "longformer", cases())


if __name__ == "__main__":
    main()
