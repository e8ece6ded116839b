"""Record the reference's answers for tiny ELECTRA models. Needs the reference environment (`make reference`).

Run: python record_electra_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import STATES, encoder_cases
from xf_testing.reference import record_all


def cases() -> dict[str, dict[str, Any]]:
    """Every head; embeddings as wide as the layers; the discriminator; kinds of summaries."""
    found = encoder_cases("Electra", 0, {"embedding_size": 8})
    found["embedded"]["config"]["embedding_size"] = 16
    masked = found["masked_lm"]
    inputs = {**masked["inputs"], "labels": (masked["inputs"]["input_ids"] % 4 == 0).long()}
    found["replaced"] = {**masked, "model_class": "ElectraForPreTraining", "inputs": inputs, "call": STATES}
    unmasked = {k: v for k, v in inputs.items() if k != "attention_mask"}
    found["replaced_unmasked"] = {**found["replaced"], "inputs": unmasked}
    choice = found["choice"]
    mean = {"summary_type": "mean", "summary_use_proj": False, "summary_activation": "tanh"}
    found["choice_mean"] = {**choice, "config": {**choice["config"], **mean}}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "electra", cases())


if __name__ == "__main__":
    main()
