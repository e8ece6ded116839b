"""Record the reference's answers for tiny MPNet models. Needs the reference environment (`make reference`).

Run: python record_mpnet_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xf_testing.encoder_cases import CONFIG, head_cases
from xf_testing.reference import record_all
from xf_testing.tiny import tiny_ids


def cases() -> dict[str, dict[str, Any]]:
    """Every head; a longer text, whose distances share classes."""
    found = head_cases("MPNet", 1)
    long = {**CONFIG, "max_position_embeddings": 160, "hidden_act": "relu"}
    inputs = {"input_ids": tiny_ids((1, 150), 60)}
    return {**found, "long": {**found["masked_lm"], "config": long, "inputs": inputs, "call": {}, "gradients": False}}


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "mpnet", cases())


if __name__ == "__main__":
    main()
