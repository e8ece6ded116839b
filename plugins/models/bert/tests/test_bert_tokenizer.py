"""BERT's tokenizers: those of the reference, on the library and in pure Python; files, special tokens, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import xf
from xf_plugin_bert.tokenization_python import BasicTokenizer, WordpieceTokenizer

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "bert_tokenizer.json").read_text())


@pytest.fixture
def vocab_file(tmp_path: Path) -> str:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(GOLDEN["vocab"]) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("case", GOLDEN["answers"])
def test_texts_become_what_they_are_for_the_reference(case: str, vocab_file: str) -> None:
    name, options = case.split(" ", 1)
    tokenizer, expected = getattr(xf, name)(vocab_file, **json.loads(options)), GOLDEN["answers"][case]
    texts = GOLDEN["texts"]
    assert [tokenizer.tokenize(text) for text in texts] == expected["tokens"]
    pairs = [dict(tokenizer(a, b)) for a, b in zip(texts, texts[::-1], strict=True)]
    assert pairs == expected["pairs"]
    assert [tokenizer.decode(tokenizer(text)["input_ids"]) for text in texts] == expected["decoded"]


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast"])
def test_saved_and_loaded_it_is_the_same(name: str, vocab_file: str, tmp_path: Path) -> None:
    tokenizer = getattr(xf, name)(vocab_file, do_lower_case=False)
    tokenizer.add_tokens(["newword"])
    tokenizer.save_pretrained(tmp_path / "saved")
    again = getattr(xf, name).from_pretrained(tmp_path / "saved")
    auto = xf.AutoTokenizer.from_pretrained(tmp_path / "saved", use_fast=tokenizer.is_fast)
    assert type(auto) is type(tokenizer)
    for text in (*GOLDEN["texts"], "a newword here"):
        assert tokenizer(text)["input_ids"] == again(text)["input_ids"] == auto(text)["input_ids"]


def test_special_tokens_around_texts(vocab_file: str) -> None:
    for name in ("BertTokenizer", "BertTokenizerFast"):
        tokenizer = getattr(xf, name)(vocab_file)
        assert tokenizer.build_inputs_with_special_tokens([9], [8]) == [2, 9, 3, 8, 3]
        assert tokenizer.create_token_type_ids_from_sequences([9], [8]) == [0, 0, 0, 1, 1]
        assert tokenizer("hello", "world")["token_type_ids"] == [0, 0, 0, 1, 1]
    python = xf.BertTokenizer(vocab_file)
    assert python.get_special_tokens_mask([9], [8]) == [1, 0, 1, 0, 1]
    assert python.get_special_tokens_mask([2, 9, 3], already_has_special_tokens=True) == [1, 0, 1]


def test_what_is_asked_wins_over_a_tokenizer_file(vocab_file: str, tmp_path: Path) -> None:
    xf.BertTokenizerFast(vocab_file, do_lower_case=True).save_pretrained(tmp_path / "saved")
    file = str(tmp_path / "saved" / "tokenizer.json")
    assert xf.BertTokenizerFast(tokenizer_file=file, do_lower_case=False).tokenize("Hello") == ["Hello"]
    assert xf.BertTokenizerFast(tokenizer_file=file).tokenize("Hello") == ["hello"]


def test_the_two_steps_by_themselves() -> None:
    words = BasicTokenizer(never_split=["KEEP"])
    assert words.tokenize("Don't KEEP DROP") == ["don", "'", "t", "KEEP", "drop"]
    assert BasicTokenizer(do_split_on_punc=False).tokenize("it's.") == ["it's."]
    pieces = WordpieceTokenizer({"un": 0, "##aff": 1, "##able": 2}, "[UNK]", max_input_chars_per_word=9)
    assert pieces.tokenize("unaffable unseen unaffableunaffable") == ["un", "##aff", "##able", "[UNK]", "[UNK]"]
    assert xf.BasicTokenizer is BasicTokenizer and xf.WordpieceTokenizer is WordpieceTokenizer


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs vocab\.txt; there is no file"):
        xf.BertTokenizer(str(tmp_path / "vocab.txt"))
    with pytest.raises(ValueError, match=r"needs vocab\.txt \(vocab_file=\) or tokenizer\.json"):
        xf.BertTokenizerFast()
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("BertTokenizer", "BertTokenizerFast"):
        with pytest.raises(ValueError, match="is no vocabulary: it is not UTF-8"):
            getattr(xf, name)(str(tmp_path / "vocab.txt"))
