"""Record the reference's answers for tiny LED models. Needs the reference environment (`make reference`).

Run: python record_led_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.reference import record_all
from xf_testing.seq2seq_cases import CONFIG, STATES, head_cases, padded_text
from xf_testing.tiny import tiny_ids

SIZES = {name: value for name, value in CONFIG.items() if name != "max_position_embeddings"} | {
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 40,
}
TOKENS = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2, "attention_window": 4}


def make_cases() -> dict[str, dict[str, Any]]:
    cases = head_cases("LED", ["ForSequenceClassification", "ForQuestionAnswering"], TOKENS, base=SIZES)
    del cases["left"]  # padding on the left sees nothing, and differs by how nothing is averaged
    for name in ("embedded", "scaled"):  # its embeddings are not scaled
        cases[name]["config"] = {**SIZES, **TOKENS}
    text, labels = padded_text(1, 2)
    is_global = torch.zeros_like(text["input_ids"])
    is_global[:, 0] = is_global[0, 4] = 1  # two in one text, one in the other
    long = {"input_ids": tiny_ids((1, 33), 60, low=4), "decoder_input_ids": tiny_ids((1, 3), 60, low=4)}
    few = torch.zeros_like(long["input_ids"])
    few[0, 20] = 1
    with_global = {**text, "global_attention_mask": is_global}
    lm = {"model_class": "LEDForConditionalGeneration", "config_class": "LEDConfig", "config": {**SIZES, **TOKENS}}
    model = {**lm, "model_class": "LEDModel"}
    wide = {**SIZES, **TOKENS, "attention_window": [4, 8]}
    return cases | {
        "global": {**lm, "inputs": {**with_global, "labels": labels}, "call": STATES, "gradients": True},
        "global_greedy": {**lm, "inputs": with_global, "generate": {"max_new_tokens": 8, "do_sample": False}},
        "global_beams": {**lm, "inputs": with_global, "generate": {"max_new_tokens": 8, "num_beams": 3}},
        "long": {**model, "inputs": {**long, "global_attention_mask": few}, "call": STATES},
        "windows": {**model, "config": wide, "inputs": {**long, "global_attention_mask": few}, "call": STATES},
        "no_global": {**model, "inputs": long, "call": STATES},
    }


if __name__ == "__main__":
    record_all(Path(__file__).parent / "goldens", "led", make_cases())
