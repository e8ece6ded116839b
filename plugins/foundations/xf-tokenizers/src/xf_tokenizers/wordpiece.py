"""Pipelines of the `tokenizers` library from vocab.txt files (BERT and its kin)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers


def read_vocab(path: str | Path) -> dict[str, int]:
    """Read a vocab.txt: one token a line, the ids are the line numbers; ValueError if it is none."""
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no vocabulary: it is not UTF-8 text ({error})") from error
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{path} is empty: a vocabulary has one token a line")
    return {token.rstrip("\r"): i for i, token in enumerate(lines)}


def write_vocab(path: str | Path, vocab: Mapping[str, int]) -> None:
    """Write a vocab.txt; ValueError where ids are missing, since a line number cannot say so."""
    from xf.checkpoint.atomic import write_atomic

    ordered = sorted(vocab.items(), key=lambda item: item[1])
    if [index for _, index in ordered] != list(range(len(ordered))):
        raise ValueError("the ids of the vocabulary are not consecutive from 0, so a vocab.txt cannot hold it")
    write_atomic(path, "".join(f"{token}\n" for token, _ in ordered))


def wordpiece_tokenizer(
    vocab: Mapping[str, int],
    *,
    unk_token: str = "[UNK]",
    lowercase: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    clean_text: bool = True,
) -> Tokenizer:
    """BERT's pipeline: cleaning, lower case, words and punctuation, the longest pieces from the left.

    Args:
        vocab: token to id.
        unk_token: stands for a word that the vocabulary cannot make.
        lowercase: turn text into lower case.
        strip_accents: remove accents; by default if `lowercase`.
        tokenize_chinese_chars: make each Chinese character a word.
        clean_text: remove control characters, and make every white space a space.

    The special tokens and the post-processor are the family's to add.
    """
    tokenizer = Tokenizer(models.WordPiece(dict(vocab), unk_token=unk_token))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=clean_text,
        handle_chinese_chars=tokenize_chinese_chars,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer
