"""Record the reference's answers for tiny Megatron-BERT models. Needs the reference environment (`make reference`).

Run: python record_megatron_bert_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xf_testing.encoder_cases import STATES, encoder_cases
from xf_testing.reference import record_all


def cases() -> dict[str, dict[str, Any]]:
    """Every head, and the decoder."""
    found = encoder_cases("MegatronBert", 0)
    masked, follows = found["masked_lm"], torch.tensor([1, 0])
    both = {**masked["inputs"], "next_sentence_label": follows}
    found["pretraining"] = {**masked, "model_class": "MegatronBertForPreTraining", "inputs": both, "call": STATES}
    next_one = {**found["model"]["inputs"], "labels": follows}
    found["next"] = {**masked, "model_class": "MegatronBertForNextSentencePrediction", "inputs": next_one}
    return found


def main() -> None:
    """Write a golden for each case."""
    record_all(Path(__file__).parent / "goldens", "megatron_bert", cases())


if __name__ == "__main__":
    main()
