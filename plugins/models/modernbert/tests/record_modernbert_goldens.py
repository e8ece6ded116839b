"""Record the reference's answers for tiny ModernBERT models. Needs the reference environment (`make reference`).

Run: python record_modernbert_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import head_cases
from xf_testing.reference import record_all

FIELDS = {"pad_token_id": 1, "num_hidden_layers": 4, "local_attention": 6, "cls_token_id": 0, "sep_token_id": 2}


def cases() -> dict[str, dict[str, Any]]:
    """Every head; kinds of pooling; biases; masked tokens scored where they have a label; no window."""
    found = head_cases("ModernBert", 1, FIELDS)
    del found["heads_off"]
    model, masked, classes = found["model"], found["masked_lm"], found["one_of_three"]

    def other(case: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {**case, "config": {**case["config"], **fields}}

    biases = {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True}
    found["mean"] = other(classes, classifier_pooling="mean", **biases)
    choice = {**found["choice"]["inputs"], "attention_mask": (found["choice"]["inputs"]["input_ids"] % 5 > 0).long()}
    found["mean_choice"] = {**other(found["choice"], classifier_pooling="mean"), "inputs": choice}
    found["sparse"] = other(masked, sparse_prediction=True, decoder_bias=False)
    found["one_theta"] = other(model, local_rope_theta=None, local_attention=2, global_attn_every_n_layers=2)
    found["wide_window"] = other(model, local_attention=128, hidden_activation="silu")
    shifted = {**model["inputs"], "position_ids": (model["inputs"]["attention_mask"].cumsum(1) + 2)}
    found["positions"] = {**model, "inputs": shifted}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "modernbert", cases())


if __name__ == "__main__":
    main()
