"""The tokenizer of Llama is the reference's: pipeline, files, ids, characters, masks, texts again."""

from __future__ import annotations

from pathlib import Path

import pytest

import xf
from xf_testing.family_tokenizer import assert_as_recorded

GOLDEN = Path(__file__).parent / "goldens" / "llama_tokenizer.json"


def test_vocabulary_files_make_the_tokenizer_of_the_reference(tmp_path: Path) -> None:
    assert_as_recorded(GOLDEN, tmp_path)


def test_both_names_of_the_class(tmp_path: Path) -> None:
    assert_as_recorded(GOLDEN, tmp_path)
    fast = xf.AutoTokenizer.from_pretrained(tmp_path / "saved")
    plain = xf.AutoTokenizer.from_pretrained(tmp_path / "saved", use_fast=False)
    assert (type(fast), type(plain)) == (xf.LlamaTokenizerFast, xf.LlamaTokenizer)
    assert (fast.padding_side, plain.padding_side) == ("left", "right")
    assert fast(" a  b")["input_ids"] == plain(" a  b")["input_ids"]


def test_what_stands_around_a_text_can_be_set(tmp_path: Path) -> None:
    assert_as_recorded(GOLDEN, tmp_path)
    tokenizer = xf.AutoTokenizer.from_pretrained(tmp_path / "saved", add_eos_token=True)
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    assert tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id
    tokenizer.add_bos_token = False
    assert tokenizer("a")["input_ids"][0] != tokenizer.bos_token_id
    with pytest.raises(ValueError, match="add_bos_token = True but bos_token = None"):
        xf.LlamaTokenizerFast.from_pretrained(tmp_path / "saved", bos_token=None)


def test_no_files() -> None:
    with pytest.raises(ValueError, match=r"needs tokenizer\.model \(vocab_file=\) or tokenizer\.json"):
        xf.LlamaTokenizerFast()
