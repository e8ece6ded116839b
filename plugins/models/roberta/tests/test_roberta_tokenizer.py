"""RoBERTa's tokenizer is that of the reference: ids, characters, token types, texts again; files; errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import xf

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "roberta_tokenizer.json").read_text("utf-8"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocab.write_text(json.dumps(GOLDEN["vocab"]), encoding="utf-8")
    merges.write_text("#version: 0.2\n" + "\n".join(GOLDEN["merges"]) + "\n", encoding="utf-8")
    return str(vocab), str(merges)


def answers(tokenizer: xf.PreTrainedTokenizerFast) -> dict[str, object]:
    texts = GOLDEN["texts"]
    pairs = [
        dict(tokenizer(a, b, return_offsets_mapping=True, return_token_type_ids=True))
        for a, b in zip(texts, texts[::-1], strict=True)
    ]
    decoded = [tokenizer.decode(tokenizer(text)["input_ids"]) for text in texts]
    return json.loads(json.dumps({"pairs": pairs, "decoded": decoded}))


@pytest.mark.parametrize("options", GOLDEN["answers"])
def test_texts_become_what_they_are_for_the_reference(options: str, files: tuple[str, str], tmp_path: Path) -> None:
    tokenizer = xf.RobertaTokenizerFast(*files, **json.loads(options))
    assert answers(tokenizer) == GOLDEN["answers"][options]
    tokenizer.save_pretrained(tmp_path / "saved")
    assert answers(xf.AutoTokenizer.from_pretrained(tmp_path / "saved")) == GOLDEN["answers"][options]
    (tmp_path / "saved" / "tokenizer.json").unlink()
    again = xf.RobertaTokenizerFast.from_pretrained(tmp_path / "saved")
    assert answers(again) == GOLDEN["answers"][options]


def test_split_texts_need_a_space_before_each_word(files: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="needs add_prefix_space=True"):
        xf.RobertaTokenizerFast(*files)([["hello", "world"]], is_split_into_words=True)
    spaced = xf.RobertaTokenizerFast(*files, add_prefix_space=True)
    assert spaced(["hello", "world"], is_split_into_words=True)["input_ids"] == spaced("hello world")["input_ids"]


def test_without_files_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"needs vocab\.json \(vocab_file=\) and merges\.txt"):
        xf.RobertaTokenizerFast()
