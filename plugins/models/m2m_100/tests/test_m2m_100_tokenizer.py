"""The tokenizers of M2M-100 and NLLB are the reference's: pipeline, files, ids, characters, masks, texts again."""

from __future__ import annotations

from pathlib import Path

import pytest

import xf
from xf_testing.family_tokenizer import assert_as_recorded

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("name", ["m2m_100_tokenizer", "m2m_100_pieces_tokenizer"])
def test_vocabulary_files_make_the_tokenizer_of_the_reference(name: str, tmp_path: Path) -> None:
    assert_as_recorded(GOLDENS / f"{name}.json", tmp_path)


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [("m2m_100_tokenizer", "fra_Latn", "deu_Latn"), ("m2m_100_pieces_tokenizer", "fr", "de")],
)
def test_languages_of_texts_and_targets(name: str, source: str, target: str, tmp_path: Path) -> None:
    assert_as_recorded(GOLDENS / f"{name}.json", tmp_path)
    tokenizer = xf.AutoTokenizer.from_pretrained(tmp_path / "files", src_lang=source)
    assert tokenizer("a")["input_ids"][0] == tokenizer.language_id(source)
    with pytest.raises(ValueError, match="set tgt_lang"):
        tokenizer(text_target="a")
    tokenizer.tgt_lang = target
    encoded = tokenizer("a", text_target="a")
    assert encoded["labels"][0] == tokenizer.language_id(target)
    assert tokenizer("a")["input_ids"] == encoded["input_ids"], "a call for targets leaves others as they are"
    inputs = tokenizer._build_translation_inputs("a", return_tensors=None, src_lang=source, tgt_lang=target)
    assert inputs["forced_bos_token_id"] == tokenizer.language_id(target)
    with pytest.raises(ValueError, match="'xx' is no language"):
        tokenizer.src_lang = "xx"
