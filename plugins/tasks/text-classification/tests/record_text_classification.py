"""Record the reference's answers for test_text_classification.py; runs in the reference environment.

python record_text_classification.py    writes goldens/checkpoint (a tiny random model) and goldens/answers.json
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

GOLDENS = Path(__file__).parent / "goldens"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *("##" + x for x in LETTERS),
    "hello",
    "world",
    *".,!?'-0123456789",
]


def main() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=1.0,
        num_labels=3,
    )
    GOLDENS.mkdir(exist_ok=True)
    (GOLDENS / "vocab.txt").write_text("\n".join(VOCABULARY))
    BertForSequenceClassification(config).eval().save_pretrained(GOLDENS / "checkpoint")
    BertTokenizerFast(str(GOLDENS / "vocab.txt"), model_max_length=40).save_pretrained(GOLDENS / "checkpoint")
    (GOLDENS / "vocab.txt").unlink()
    pipe = pipeline("text-classification", model=str(GOLDENS / "checkpoint"))
    cases = json.loads((GOLDENS / "cases.json").read_text())
    answers = []
    for case in cases:
        try:
            answers.append(pipe(*case.get("args", []), **case.get("kwargs", {})))
        except Exception as error:
            answers.append({"error": type(error).__name__})
    (GOLDENS / "answers.json").write_text(json.dumps(answers, default=float, indent=1) + "\n")


if __name__ == "__main__":
    main()
