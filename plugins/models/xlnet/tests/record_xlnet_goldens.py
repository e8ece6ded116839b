"""Record the reference's answers for tiny XLNet models. Needs the reference environment (`make reference`).

Run: python record_xlnet_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import STATES, head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_floats, tiny_ids

SIZES = {"vocab_size": 60, "d_model": 16, "d_inner": 24, "n_layer": 2, "n_head": 4}


def answers(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Question answering with beams: while training and after."""
    fields = {**case["config"], "start_n_top": 3, "end_n_top": 2}
    base = {**case, "model_class": "XLNetForQuestionAnswering", "config": fields}
    text = {k: v for k, v in case["inputs"].items() if "positions" not in k}
    span = {"start_positions": torch.tensor([3, 1]), "end_positions": torch.tensor([5, 2])}
    none = {"is_impossible": torch.tensor([1.0, 0.0]), "cls_index": torch.tensor([7, 0])}
    p_mask = (torch.arange(8) < torch.tensor([[2], [1]])).float()
    return {
        "beams": {**base, "inputs": text},
        "beams_masked": {**base, "inputs": {**text, "p_mask": p_mask, "cls_index": none["cls_index"]}},
        "beams_loss": {**base, "inputs": {**text, **span}},
        "beams_loss_none": {**base, "inputs": {**text, **span, **none, "p_mask": p_mask}},
    }


def cases() -> dict[str, dict[str, Any]]:
    """Every head; both streams; mems; segments; kinds of attention."""
    found = head_cases("XLNet", 5, base=SIZES)
    found["answer"]["model_class"] = "XLNetForQuestionAnsweringSimple"
    found["masked_lm"]["model_class"] = "XLNetLMHeadModel"
    model, scored = found["model"], found["masked_lm"]
    text = model["inputs"]
    ids, mask = text["input_ids"], text["attention_mask"]
    found |= answers(found["answer"])
    perm = (tiny_floats((2, 8, 8)) > 0.3).float()
    target = torch.zeros(2, 3, 8)
    target[:, [0, 1, 2], [1, 4, 6]] = 1
    streams = {**text, "perm_mask": perm, "target_mapping": target}
    types = (torch.arange(8) > 3).long().expand(2, -1).contiguous()
    found["streams"] = {**model, "inputs": {**streams, "token_type_ids": types}}
    labels = torch.tensor([[3, 5, -100], [7, 8, 9]])
    found["streams_lm"] = {**scored, "inputs": {**streams, "labels": labels}}
    found["reversed_mask"] = {**model, "inputs": {"input_ids": ids, "input_mask": 1.0 - mask, "token_type_ids": types}}
    found["permuted"] = {**model, "inputs": {"input_ids": ids, "perm_mask": perm}}
    for name, fields in {
        "uni": {"attn_type": "uni"},
        "uni_same_length": {"attn_type": "uni", "same_length": True},
        "both_ways": {"bi_data": True, "clamp_len": 3},
        "short_mems": {"mem_len": 3, "reuse_len": 6, "ff_activation": "relu"},
        "without_mems": {"use_mems_eval": False, "clamp_len": 2},
    }.items():
        found[name] = {**model, "config": {**SIZES, **fields}}
    found["no_mems"] = {**scored, "call": {**STATES, "use_mems": False}}
    past = {"mems": tiny_floats((2, 5, 2, 16))}
    for name in ("uni", "uni_same_length"):
        found[name]["inputs"] = {"input_ids": tiny_ids((2, 8), 60)}
        found[f"{name}_mems"] = {**found[name], "inputs": {"input_ids": tiny_ids((2, 8), 60), **past}}
    found["past"] = {**found["streams"], "inputs": {**found["streams"]["inputs"], **past}}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "xlnet", cases())


if __name__ == "__main__":
    main()
