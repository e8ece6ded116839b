"""The tokenizer of mBART is the reference's: pipeline, files, ids, characters, masks, texts again."""

from __future__ import annotations

from pathlib import Path

from xf_testing.family_tokenizer import assert_as_recorded

GOLDEN = Path(__file__).parent / "goldens" / "mbart_tokenizer.json"


def test_vocabulary_files_make_the_tokenizer_of_the_reference(tmp_path: Path) -> None:
    assert_as_recorded(GOLDEN, tmp_path)
