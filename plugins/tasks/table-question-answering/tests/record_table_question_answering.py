"""Make a tiny TAPAS and record what the reference (4.55.4, with pandas < 3) answers. Run in its environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch
from transformers import TapasConfig, TapasForQuestionAnswering, TapasTokenizer, pipeline

SEED = 12  # of weights that select some cells, and others where they know the answer before
HERE = Path(__file__).parent / "goldens"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = "what is the how many total name age year actors movies number of brad pitt george clo ##oney old 1998".split()


def main() -> None:
    folder = HERE / "tapas"
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EMPTY]", *LETTERS, *("##" + c for c in LETTERS), *"?.,-"]
    (folder / "vocab.txt").write_text("\n".join([*tokens, *WORDS]) + "\n", "utf-8")
    TapasTokenizer(str(folder / "vocab.txt"), model_max_length=128).save_pretrained(folder)
    torch.manual_seed(SEED)
    config = TapasConfig(
        vocab_size=len(tokens) + len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32, type_vocab_sizes=[3, 8, 8, 2, 8, 8, 10],
        num_aggregation_labels=4, aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
        no_aggregation_label_index=0, initializer_range=1.0,
    )  # fmt: skip
    model = TapasForQuestionAnswering(config)
    model.output_bias.data.fill_(2.0)
    model.save_pretrained(folder)
    pipe = pipeline("table-question-answering", model=str(folder))
    answers = []
    for args, kwargs in json.loads((HERE / "cases.json").read_text("utf-8")):
        try:
            answers.append(pipe(*args, **kwargs))
        except Exception:
            answers.append("error")
    (HERE / "answers.json").write_text(json.dumps(answers, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
