"""Record the reference's answers for tiny DeBERTa-v2 models. Needs the reference environment (`make reference`).

Run: python record_deberta_v2_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids

RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}


def cases() -> dict[str, dict[str, Any]]:
    """Every head; each term of positions; narrow embeddings, segments; kinds of labels."""
    found = head_cases("DebertaV2", 0, RELATIVE)
    del found["heads_off"]
    model, masked, classes = found["model"], found["masked_lm"], found["one_of_three"]
    plain = {k: v for k, v in model["config"].items() if k not in RELATIVE}

    def other(case: dict[str, Any], base: dict[str, Any] = model["config"], **fields: Any) -> dict[str, Any]:
        return {**case, "config": {**base, **fields}}

    found["absolute"] = other(model, plain)
    found["absolute_terms"] = other(model, plain, pos_att_type=["c2p"], type_vocab_size=2)
    found["c2p"] = other(model, pos_att_type="c2p")
    found["p2c"] = other(model, pos_att_type="p2c", position_biased_input=True)
    found["near"] = other(model, max_relative_positions=3)
    types = (torch.arange(8) > 3).long().expand(2, -1).contiguous()
    pair = {**masked["inputs"], "token_type_ids": types}
    found["narrow"] = {**other(masked, embedding_size=8, type_vocab_size=2), "inputs": pair}
    found["new_head"] = other(masked, legacy=False, tie_word_embeddings=False)
    for name, labels in {
        "soft": torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0]]),
        "labelled": torch.tensor([2, -100]),
    }.items():
        found[name] = {**classes, "inputs": {**model["inputs"], "labels": labels}}
    found["labelled"]["config"] = {**classes["config"], "pooler_hidden_act": "relu", "cls_dropout": 0.3}
    v3 = {"position_buckets": 4, "norm_rel_ebd": "layer_norm", "share_att_key": True}
    found["v3"] = other(model, **v3)
    found["v3_masked_lm"] = other(masked, **v3)
    found["convolution"] = other(model, conv_kernel_size=3, conv_act="gelu", conv_groups=2, position_buckets=2)
    found["convolution_whole"] = {**found["convolution"], "inputs": {"input_ids": model["inputs"]["input_ids"] + 1}}
    long = tiny_ids((1, 60), 60)
    found["long"] = {
        **other(model, max_position_embeddings=64, **{**v3, "position_buckets": 16}),
        "inputs": {"input_ids": long},
        "call": {},
        "gradients": False,
    }
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "deberta_v2", cases())


if __name__ == "__main__":
    main()
