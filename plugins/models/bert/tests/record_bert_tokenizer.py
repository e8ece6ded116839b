"""Record what the reference's BERT tokenizers make of texts. Needs the reference environment (`make reference`).

Run inside it: python record_bert_tokenizer.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from transformers import BertTokenizer, BertTokenizerFast

FOLDER = Path(__file__).parent / "goldens"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789éü中文日αβ.,!?'\"-[]$"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + c for c in LETTERS)]
VOCAB += ["hello", "world", "the", "##ing", "##ed", "play", "un", "##aff", "##able", "Hello"]
TEXTS = [
    "Hello, world!", "HELLO playing unaffable PLAYED", "Café über naïve", "日本語 中文字 mixed中文text",
    "a\tb\nc\x00d\ufffde", "zero\u200bwidth no\u00a0break \u3000wide", "[MASK] hello [SEP] [CLS]",
    "don't \"quote\" — dash…", "123,456.78 $5 €7",
    "", " ", "x" * 120, "e\u0301 combining İstanbul ß", "[UNK] a[MASK]b", "αβγ Жд", "hello . world ?",
]  # fmt: skip
OPTIONS = [
    {},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"tokenize_chinese_chars": False},
    {"do_lower_case": False, "strip_accents": True},
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        vocab_file = str(Path(folder) / "vocab.txt")
        Path(vocab_file).write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
        answers = {}
        for kind in (BertTokenizer, BertTokenizerFast):
            for options in OPTIONS:
                tokenizer = kind(vocab_file, **options)
                answers[f"{kind.__name__} {json.dumps(options)}"] = {
                    "tokens": [tokenizer.tokenize(text) for text in TEXTS],
                    "pairs": [dict(tokenizer(a, b)) for a, b in zip(TEXTS, TEXTS[::-1], strict=True)],
                    "decoded": [tokenizer.decode(tokenizer(text)["input_ids"]) for text in TEXTS],
                }
    golden = {"vocab": VOCAB, "texts": TEXTS, "answers": answers}
    (FOLDER / "bert_tokenizer.json").write_text(json.dumps(golden, indent=None, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
