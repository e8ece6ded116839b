"""The tokenizer of Marian is the reference's: pipeline, files, ids, characters, masks, texts again."""

from __future__ import annotations

from pathlib import Path

import pytest

import xf
from xf_testing.family_tokenizer import assert_as_recorded

GOLDENS = Path(__file__).parent / "goldens"


def test_vocabulary_files_make_the_tokenizer_of_the_reference(tmp_path: Path) -> None:
    assert_as_recorded(GOLDENS / "marian_tokenizer.json", tmp_path)


def test_separate_vocabularies_need_two_files(tmp_path: Path) -> None:
    assert_as_recorded(GOLDENS / "marian_tokenizer.json", tmp_path)
    with pytest.raises(ValueError, match=r"target_vocab\.json is missing"):
        xf.MarianTokenizer.from_pretrained(tmp_path / "files", separate_vocabs=True)
