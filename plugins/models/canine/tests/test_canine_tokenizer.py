"""CANINE's tokenizer: code points are ids; special tokens; files; errors."""

from __future__ import annotations

from pathlib import Path

import pytest

import xf

TEXTS = ["", " ", "hello  world\n", "e\u0301\u4f60\U0001f44d\U0001f3fd\u202e", "\U0010fffd\U00020000\x07"]


def test_characters_are_their_code_points(tmp_path: Path) -> None:
    tokenizer = xf.CanineTokenizer()
    assert dict(tokenizer("ab", "c")) == {  # as the reference has it
        "input_ids": [57344, 97, 98, 57345, 99, 57345],
        "token_type_ids": [0, 0, 0, 0, 1, 1],
        "attention_mask": [1, 1, 1, 1, 1, 1],
    }
    assert (len(tokenizer), tokenizer.model_max_length) == (1114112, 2048)
    tokenizer.save_pretrained(tmp_path)
    again = xf.AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is xf.CanineTokenizer and again("a\u4f60")["input_ids"] == [57344, 97, 0x4F60, 57345]


def test_texts_come_back() -> None:
    tokenizer = xf.CanineTokenizer()
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_what_is_no_character() -> None:
    tokenizer = xf.CanineTokenizer()
    with pytest.raises(ValueError, match="invalid token: 'ab'"):
        tokenizer.convert_tokens_to_ids("ab")
    with pytest.raises(ValueError, match="invalid id: 1114112"):
        tokenizer.convert_ids_to_tokens([1114112])
