"""Record what the reference's tokenizer makes of texts. Runs in the reference environment (`make reference`).

Run: <reference python> record_xlm_roberta_tokenizer.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

GOLDENS = Path(__file__).parent / "goldens"
TEXTS = [
    "hello world",
    " It's  the quick\nbrown",
    "hello <mask> there",
    "\u00c9t\u00e9 d\u00e9j\u00e0",
    "x</s> y ",
    "\u4f60\u597d",
    "",
    "<pad> a<unk>",
]


def main() -> None:
    """Ask for every text alone and in pairs, with the small model file beside the goldens."""
    with tempfile.TemporaryDirectory() as folder:  # with nothing but the file, as the first checkpoints were
        shutil.copy(GOLDENS / "xlm_roberta_sentencepiece.bpe.model", Path(folder) / "sentencepiece.bpe.model")
        Path(folder, "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
        tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = {"return_offsets_mapping": True, "return_token_type_ids": True}
    golden = {
        "texts": TEXTS,
        "pairs": [dict(tokenizer(a, b, **wanted)) for a, b in zip(TEXTS, TEXTS[::-1], strict=True)],
        "decoded": [tokenizer.decode(tokenizer(text)["input_ids"]) for text in TEXTS],
        "backend": json.loads(tokenizer.backend_tokenizer.to_str()),
    }
    (GOLDENS / "xlm_roberta_tokenizer.json").write_text(json.dumps(golden), encoding="utf-8")


if __name__ == "__main__":
    main()
