"""Record the reference's answers for tiny ALBERT models. Needs the reference environment (`make reference`).

Run: python record_albert_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import STATES, head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_floats


def cases() -> dict[str, dict[str, Any]]:
    """Every head; both pretraining tasks; groups of layers; kinds of positions; a feed-forward in chunks."""
    found = head_cases("Albert", 0, {"embedding_size": 8})
    found["embedded"]["inputs"] = {"inputs_embeds": tiny_floats((2, 8, 8))}
    model, masked = found["model"], found["masked_lm"]
    config = model["config"]
    both = {**masked["inputs"], "sentence_order_label": torch.tensor([0, 1])}
    found["pretraining"] = {**masked, "model_class": "AlbertForPreTraining", "inputs": both, "call": STATES}
    groups = {**config, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2}
    found["groups"] = {**model, "config": groups}
    off = torch.tensor([[1.0, 0, 1, 0.5], [0, 1, 1, 1], [1, 1, 0, 1], [1, 0, 0, 1]])
    found["groups_heads_off"] = {**model, "config": groups, "inputs": {**model["inputs"], "head_mask": off}}
    types = (torch.arange(8) > 3).long().expand(2, -1).contiguous()
    found["pair"] = {**model, "inputs": {**model["inputs"], "token_type_ids": types}}
    for kind in ("relative_key", "relative_key_query"):
        found[kind] = {**model, "config": {**config, "position_embedding_type": kind}}
    found["chunked"] = {**model, "config": {**config, "chunk_size_feed_forward": 4, "hidden_act": "relu"}}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "albert", cases())


if __name__ == "__main__":
    main()
