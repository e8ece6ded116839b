"""XLM-RoBERTa's tokenizer is that of the reference: ids, characters, token types, texts again; files; errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import xf

GOLDENS = Path(__file__).parent / "goldens"
GOLDEN = json.loads((GOLDENS / "xlm_roberta_tokenizer.json").read_text("utf-8"))
FILE = str(GOLDENS / "xlm_roberta_sentencepiece.bpe.model")


def assert_answers(tokenizer: xf.PreTrainedTokenizerFast) -> None:
    texts = GOLDEN["texts"]
    wanted = {"return_offsets_mapping": True, "return_token_type_ids": True}
    pairs = [dict(tokenizer(a, b, **wanted)) for a, b in zip(texts, texts[::-1], strict=True)]
    assert json.loads(json.dumps(pairs)) == GOLDEN["pairs"]
    assert [tokenizer.decode(tokenizer(text)["input_ids"]) for text in texts] == GOLDEN["decoded"]


def test_texts_become_what_they_are_for_the_reference() -> None:
    tokenizer = xf.XLMRobertaTokenizerFast(FILE)
    assert_answers(tokenizer)
    assert json.loads(tokenizer.backend_tokenizer.to_str()) == GOLDEN["backend"]


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    xf.XLMRobertaTokenizerFast(FILE).save_pretrained(tmp_path)
    again = xf.AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is xf.XLMRobertaTokenizerFast
    assert_answers(again)
    (tmp_path / "tokenizer.json").unlink()
    assert_answers(xf.XLMRobertaTokenizerFast.from_pretrained(tmp_path))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs sentencepiece\.bpe\.model \(vocab_file=\) or tokenizer\.json"):
        xf.XLMRobertaTokenizerFast()
    xf.XLMRobertaTokenizerFast(FILE).backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    without = xf.XLMRobertaTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert_answers(without)
    with pytest.raises(ValueError, match="there is no file None to copy"):
        without.save_vocabulary(str(tmp_path))
