"""A family's tokenizer against a recording of the reference: from vocabulary files, saved, loaded again.

A recording holds the vocabulary files themselves, so nothing is needed to compare with it. This module also runs where
recordings are made, hence it imports nothing of xf before it compares.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXTS = [
    "",
    " ",
    "hello world",
    "  Hello,  World! it's DON'T\n\n  x",
    "<s>x</s> y <mask>  z <pad>",
    "[CLS] a [MASK]  b[SEP]",
    "<|endoftext|>hi",
    "e\u0301te\u0301 \u00c5ngstr\u00f6m \ufb01 \u2460",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U00020000",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u202ex",
    "\u4f60\u597d\u4e16\u754c 1234567890 3.14",
    "a\u0000b\u0007c\u200bd\ufeffe\u00a0f\u3000g\u2028h",
    "``quoted'' text \u2581x",
    "newtoken anewtokenb newtoken",
    "x" * 120,
]


def answers(tokenizer: Any) -> dict[str, Any]:
    """What a tokenizer makes of `TEXTS`, one by one, in pairs, in batches, cut, padded, and back."""
    options: dict[str, Any] = {"return_special_tokens_mask": True, "return_token_type_ids": tokenizer.is_fast}
    if tokenizer.is_fast:
        options["return_offsets_mapping"] = True
    tokenizer.add_tokens(["newtoken"])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    pairs = list(zip(TEXTS[:-1], TEXTS[1:], strict=True))
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    found = {
        "one": [dict(tokenizer(text, **options)) for text in TEXTS],
        "pairs": [dict(tokenizer(*pair, **options)) for pair in pairs],
        "cut": [dict(tokenizer(*pair, truncation=True, max_length=9, padding="max_length")) for pair in pairs],
        "batch": dict(tokenizer(TEXTS, padding=True, truncation=True, max_length=24, pad_to_multiple_of=8)),
        "tokens": [tokenizer.tokenize(text) for text in TEXTS],
        "decoded": [tokenizer.decode(row) for row in ids],
        "skipped": [tokenizer.decode(row, skip_special_tokens=True) for row in ids],
        "cleaned": [tokenizer.decode(row, clean_up_tokenization_spaces=True) for row in ids],
        "special": tokenizer.special_tokens_map,
        "length": len(tokenizer),
        "padding_side": tokenizer.padding_side,
        "inputs": list(tokenizer.model_input_names),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def write_files(files: Mapping[str, str], folder: Path, name: str) -> None:
    """Write recorded files and a tokenizer_config.json that names the class, without Fast."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(base64.b64decode(content))
    config = json.dumps({"tokenizer_class": name.removesuffix("Fast")})
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")


def record(tokenizer: Any, name: str, files: Mapping[str, str], path: Path, saved: Path) -> None:
    """Write a recording of the reference's tokenizer that was made from `files`."""
    tokenizer.save_pretrained(str(saved))
    kept = [saved / file for file in ("tokenizer_config.json", "special_tokens_map.json")]
    golden = {
        "class": name,
        "files": dict(files),
        "saved": {file.name: file.read_text("utf-8") for file in kept},
        "backend": json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else None,
        "answers": answers(tokenizer),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(golden, ensure_ascii=True), encoding="utf-8")


def assert_as_recorded(path: Path, folder: Path) -> None:
    """From vocabulary files, from the files it saves, and from those without tokenizer.json: as the reference."""
    import xf

    golden = json.loads(path.read_text("utf-8"))
    write_files(golden["files"], folder / "files", golden["class"])
    tokenizer = xf.AutoTokenizer.from_pretrained(folder / "files")
    assert type(tokenizer).__name__ == golden["class"]
    if golden["backend"] is not None:
        assert json.loads(tokenizer.backend_tokenizer.to_str()) == golden["backend"]
    tokenizer.save_pretrained(folder / "saved")
    for name, content in golden["saved"].items():
        assert (folder / "saved" / name).read_text("utf-8") == content, name
    assert answers(tokenizer) == golden["answers"]
    again = xf.AutoTokenizer.from_pretrained(folder / "saved")
    assert type(again) is type(tokenizer)
    assert answers(again) == golden["answers"]
