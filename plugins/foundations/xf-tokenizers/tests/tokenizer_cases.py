"""Random calls of tokenizers, and a plain form of what they return; used by the recording script and by the tests."""

from __future__ import annotations

import random
from typing import Any

KINDS = ("wordpiece", "bytelevel", "bytelevel_prefix", "unigram", "types_left", "llama", "wordlevel", "char")
PIECES = (
    "hello", "world", "The quick", "brown fox", "newtok", "Single", "Singles", "xSingle Single", "<l>", "a <l> b",
    "<r>", "a <r>  b", "<sp>", "<|lr|>", " <|lr|> ", "[CLS]", "[SEP]", "</s>", "<s>", "<mask>", "[MASK]", "<unk>",
    "\u4e2d\u6587", "\u65e5\u672c\u8a9e", "\ud55c\uad6d\uc5b4", "\u041f\u0440\u0438\u0432\u0435\u0442",
    "\u0645\u0631\u062d\u0628\u0627", "\U0001f642", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1eb\U0001f1f7", "\u00e9", "e\u0301", "\u00dc", "\u00df", "\u200b", "\u00a0", "\t", "\n", "  ", "\x00",
    "\ufeff", "\U00020000", "\U0010ffff", "\ue000", "\ufb01", "\u2460", "\u00bd", "don't", "U.S.A.", "1,234.56",
    "x" * 30, "...", "!?", "http://a.b/c?d=e", "na\u00efve caf\u00e9", "NEWTOK", "\u0130", "\u0e33", "\U0001d518", "",
)  # fmt: skip


def text(rng: random.Random, pieces: int | None = None) -> str:
    """A text of hard pieces."""
    count = rng.choice([0, 1, 2, 3, 5, 8]) if pieces is None else pieces
    return "".join(rng.choice(["", "", " ", " ", "  "]) + rng.choice(PIECES) for _ in range(count))


def calls(seed: int, count: int) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """(kind, arguments, keyword arguments) of calls of a tokenizer."""
    rng = random.Random(seed)
    made = []
    while len(made) < count:
        keywords: dict[str, Any] = {
            "padding": rng.choice([False, True, "max_length"]),
            "truncation": rng.choice([None, False, True, "only_first", "only_second"]),
        }
        choices: dict[str, list[Any]] = {
            "max_length": [3, 5, 7, 8, 10, 16, 32], "stride": [0, 1, 2], "add_special_tokens": [True, False],
            "pad_to_multiple_of": [8], "padding_side": ["left", "right"], "return_overflowing_tokens": [True],
            "return_special_tokens_mask": [True], "return_offsets_mapping": [True], "return_length": [True],
            "return_token_type_ids": [True, False], "return_attention_mask": [False], "split_special_tokens": [True],
            "return_tensors": ["np"],
        }  # fmt: skip
        keywords.update(
            {k: rng.choice(v) for k, v in choices.items() if rng.random() < (0.7 if k == "max_length" else 0.2)}
        )
        words = rng.random() < 0.2
        if words:
            keywords["is_split_into_words"] = True

        def one(words: bool = words) -> Any:
            return [text(rng, rng.choice([0, 1, 1])) for _ in range(rng.choice([1, 3, 6]))] if words else text(rng)

        size = rng.choice([0, 0, 1, 2, 3])
        pair = rng.random() < 0.35
        arguments = [[one() for _ in range(size)] if size else one() for _ in range(1 + pair)]
        made.append((rng.choice(KINDS), arguments, keywords))
    return made


def plain(value: Any) -> Any:
    """What a call returned as JSON could hold it, with the alignment of each row."""
    if hasattr(value, "encodings"):
        result = {key: plain(value[key]) for key in value}
        rows = range(len(value.encodings or ()))
        result["alignment"] = [
            [
                value.tokens(i),
                value.word_ids(i),
                value.sequence_ids(i),
                [value.char_to_token(i, c) for c in range(0, 12, 4)],
            ]
            for i in rows
        ]
        return result
    if hasattr(value, "dtype"):
        if value.dtype == object:
            return ["object", [list(map(int, row)) for row in value]]
        return [list(value.shape), value.tolist()]
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def outcome(tokenizers: dict[str, Any], call: tuple[str, list[Any], dict[str, Any]]) -> Any:
    """What a call returns, or "error"."""
    kind, arguments, keywords = call
    try:
        return plain(tokenizers[kind](*arguments, **keywords))
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return "error"


def slow_keywords(keywords: dict[str, Any]) -> dict[str, Any]:
    """Without what a tokenizer in pure Python cannot do."""
    left_out = ("return_offsets_mapping", "split_special_tokens", "return_tensors")
    return {key: value for key, value in keywords.items() if key not in left_out}


def spm_texts() -> list[str]:
    """Texts for SentencePiece pipelines."""
    rng = random.Random(3)
    return [text(rng) for _ in range(120)]
