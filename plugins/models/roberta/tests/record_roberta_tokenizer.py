"""Record what the reference's tokenizer makes of texts. Runs in the reference environment (`make reference`).

Run: <reference python> record_roberta_tokenizer.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import RobertaTokenizerFast

GOLDEN = Path(__file__).parent / "goldens" / "roberta_tokenizer.json"
TEXTS = [
    "hello world",
    " It's  the quick\nbrown fox.",
    "hello <mask> there",
    "\u00c9t\u00e9 d\u00e9j\u00e0 vu",
    "x</s> y ",
    "\u4f60\u597d \U0001f600",
    "a",
]
OPTIONS = [{}, {"add_prefix_space": True}, {"trim_offsets": False}, {"cls_token": "</s>", "add_prefix_space": True}]


def main() -> None:
    """Train a small vocabulary, and ask for every text under every option."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained.train_from_iterator(["hello world, it is the quick brown fox: it's there"] * 3, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [" ".join(pair) for pair in model["merges"]]
    with tempfile.TemporaryDirectory() as folder:
        files = trained.model.save(folder)
        answers = {}
        for options in OPTIONS:
            tokenizer = RobertaTokenizerFast(*files, **options)
            answers[json.dumps(options)] = {
                "pairs": [
                    dict(tokenizer(a, b, return_offsets_mapping=True, return_token_type_ids=True))
                    for a, b in zip(TEXTS, TEXTS[::-1], strict=True)
                ],
                "decoded": [tokenizer.decode(tokenizer(text)["input_ids"]) for text in TEXTS],
            }
    golden = {"vocab": model["vocab"], "merges": merges, "texts": TEXTS, "answers": answers}
    GOLDEN.write_text(json.dumps(golden), encoding="utf-8")


if __name__ == "__main__":
    main()
