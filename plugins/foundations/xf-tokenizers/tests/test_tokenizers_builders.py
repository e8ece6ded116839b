"""Pipelines from vocabulary files give what tokenizer.json files or the recorded reference give."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from xf_tokenizers import bpe, tiktoken, wordpiece
from xf_tokenizers.protobuf import fields
from xf_tokenizers.sentencepiece import (
    PieceKind,
    SentencePieceModel,
    byte_fallback_tokenizer,
    sentencepiece_tokenizer,
)
from xf_tokenizers.templates import template

sys.path.insert(0, str(Path(__file__).parent))
from tokenizer_cases import spm_texts, text

GOLDENS = Path(__file__).parent / "goldens"
MODELS = GOLDENS / "sentencepiece"


def texts() -> list[str]:
    import random

    rng = random.Random(1)
    return [text(rng) for _ in range(300)]


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_sentencepiece_files(name: str, legacy: bool) -> None:
    golden = json.loads((GOLDENS / "sentencepiece.json").read_text("utf-8"))[f"{name} {legacy}"]
    model = SentencePieceModel.read(MODELS / f"{name}.model")
    make = sentencepiece_tokenizer if name == "unigram" else byte_fallback_tokenizer
    tokenizer = make(model, legacy=legacy)
    found = [tokenizer.encode(text, add_special_tokens=False).ids for text in spm_texts()]
    assert found == golden["ids"]
    assert [tokenizer.decode(ids) for ids in found] == golden["decoded"]
    assert json.loads(tokenizer.to_str())["model"].get("merges") == golden["merges"]


def test_what_a_sentencepiece_file_holds() -> None:
    model = SentencePieceModel.read(MODELS / "bpe.model")
    assert (model.algorithm, model.byte_fallback, model.unk_id, model.add_dummy_prefix) == ("bpe", True, 0, True)
    assert len(model.texts(PieceKind.BYTE)) == 256 and model.texts(PieceKind.USER_DEFINED) == ["<user>"]
    assert model.vocab[0][0] == "<unk>" and model.charsmap == b""
    unigram = SentencePieceModel.read(MODELS / "unigram.model")
    assert (unigram.algorithm, unigram.pad_id, unigram.bos_id) == ("unigram", 0, -1)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_damaged_sentencepiece_files_are_refused(data: bytes) -> None:
    try:
        model = SentencePieceModel.parse(data)
    except ValueError:
        return
    assert model.pieces


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_damaged_part_of_a_real_file(at: int, damage: bytes) -> None:
    data = bytearray((MODELS / "bpe.model").read_bytes())
    data[at : at + len(damage)] = damage
    try:
        SentencePieceModel.parse(bytes(data))
    except ValueError:
        pass


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for content in (b"", b"hello", b"\x0a\xff\xff\xff\xff\x0f"):
        (tmp_path / "x.model").write_bytes(content)
        with pytest.raises(ValueError, match="no SentencePiece model"):
            SentencePieceModel.read(tmp_path / "x.model")
    with pytest.raises(ValueError, match="more than 64 bits"):
        list(fields(b"\x08" + b"\xff" * 11))


def test_wordpiece_is_what_its_tokenizer_json_is(tmp_path: Path) -> None:
    expected = Tokenizer.from_file(str(GOLDENS / "wordpiece" / "tokenizer.json"))
    vocab = expected.get_vocab(with_added_tokens=False)
    wordpiece.write_vocab(tmp_path / "vocab.txt", vocab)
    assert wordpiece.read_vocab(tmp_path / "vocab.txt") == vocab
    tokenizer = wordpiece.wordpiece_tokenizer(vocab)
    for token in expected.get_added_tokens_decoder().values():
        tokenizer.add_tokens([token])
    tokenizer.post_processor = template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    for one in texts():
        assert tokenizer.encode(one, one).ids == expected.encode(one, one).ids
        assert tokenizer.encode(one, one).type_ids == expected.encode(one, one).type_ids
    with pytest.raises(ValueError, match=r"no \[NO\]"):
        template(tokenizer, "[NO] $A", "[NO] $A $B")
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        wordpiece.read_vocab(tmp_path / "vocab.txt")
    with pytest.raises(ValueError, match="not consecutive"):
        wordpiece.write_vocab(tmp_path / "v.txt", {"a": 0, "b": 2})


def byte_level(tmp_path: Path) -> tuple[Tokenizer, dict[str, int], list[list[str]]]:
    expected = Tokenizer.from_file(str(GOLDENS / "bytelevel" / "tokenizer.json"))
    model = json.loads(expected.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    lines = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]), "utf-8")
    return expected, model["vocab"], [line.split(" ") for line in lines]


def test_vocab_and_merges(tmp_path: Path) -> None:
    expected, vocab, merges = byte_level(tmp_path)
    found = bpe.read_merges(tmp_path / "merges.txt")
    assert [list(merge) for merge in found] == merges
    tokenizer = bpe.byte_level_tokenizer(bpe.read_vocab_json(tmp_path / "vocab.json"), found)
    tokenizer.add_tokens(list(expected.get_added_tokens_decoder().values()))
    for one in texts():
        assert tokenizer.encode(one).ids == expected.encode(one, add_special_tokens=False).ids
    (tmp_path / "merges.txt").write_text("a b\nc\n", "utf-8")
    with pytest.raises(ValueError, match="line 2"):
        bpe.read_merges(tmp_path / "merges.txt")
    for wrong in ("[]", "{}", '{"a": "b"}', "{"):
        (tmp_path / "vocab.json").write_text(wrong, "utf-8")
        with pytest.raises(ValueError, match=r"vocab\.json"):
            bpe.read_vocab_json(tmp_path / "vocab.json")


def test_tiktoken_files(tmp_path: Path) -> None:
    expected, vocab, merges = byte_level(tmp_path)
    back = {character: byte for byte, character in bpe.byte_characters().items()}
    special = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
    ordered = sorted((index, token) for token, index in vocab.items() if token not in special)
    lines = [base64.b64encode(bytes(back[c] for c in token)) + b" %d" % i for i, (_, token) in enumerate(ordered)]
    path = tmp_path / "x.tiktoken"
    path.write_bytes(b"\n".join(lines) + b"\n")
    _, found = tiktoken.vocab_and_merges(tiktoken.read_tiktoken(path))
    assert [list(merge) for merge in found] == merges
    size = len(ordered)
    gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    tokenizer = tiktoken.tiktoken_tokenizer(path, pattern=gpt2, special_tokens={"<|end|>": size})
    added = [str(token) for token in expected.get_added_tokens_decoder().values()]
    for one in texts():
        if not any(token in one for token in added):
            assert tokenizer.encode(one).tokens == expected.encode(one, add_special_tokens=False).tokens
    assert tokenizer.encode("a<|end|>").ids[-1] == size
    with pytest.raises(ValueError, match="is the next one"):
        tiktoken.tiktoken_tokenizer(path, special_tokens={"<|end|>": size + 5})
    for wrong, line in ((b"!!! 1", 1), (b"YQ== 0\nYg== x", 2), (b"YQ== 0\nYQ== 1", 2), (b"YQ==", 1)):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=f"line {line}"):
            tiktoken.read_tiktoken(path)
