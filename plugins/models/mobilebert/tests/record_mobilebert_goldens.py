"""Record the reference's answers for tiny MobileBERT models. Needs the reference environment (`make reference`).

Run: python record_mobilebert_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import STATES, head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_floats


def cases() -> dict[str, dict[str, Any]]:
    """Every head; kinds of bottlenecks and norms."""
    found = head_cases("MobileBert", 0, {"embedding_size": 8, "intra_bottleneck_size": 8})
    found["embedded"]["inputs"] = {"inputs_embeds": tiny_floats((2, 8, 8))}
    model, masked, follows = found["model"], found["masked_lm"], torch.tensor([1, 0])
    both = {**masked["inputs"], "next_sentence_label": follows}
    found["pretraining"] = {**masked, "model_class": "MobileBertForPreTraining", "inputs": both, "call": STATES}
    next_one = {**model["inputs"], "labels": follows}
    found["next"] = {**masked, "model_class": "MobileBertForNextSentencePrediction", "inputs": next_one}
    types = (torch.arange(8) > 3).long().expand(2, -1).contiguous()
    found["pair"] = {**model, "inputs": {**model["inputs"], "token_type_ids": types}}
    for name, fields in {
        "layer_norm": {"normalization_type": "layer_norm", "num_feedforward_networks": 1, "hidden_act": "gelu"},
        "whole": {"use_bottleneck_attention": True, "trigram_input": False},
        "no_bottleneck": {"use_bottleneck": False, "classifier_activation": False},
    }.items():
        found[name] = {**masked, "config": {**masked["config"], **fields}}
    for name in (
        "model",
        "embedded",
        "pair",
    ):  # without norms the gradients of a plain sum are large: use those of losses
        found[name]["gradients"] = False
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "mobilebert", cases())


if __name__ == "__main__":
    main()
