"""Pipelines of the `tokenizers` library from vocab.json and merges.txt files (GPT-2, RoBERTa, Whisper, Qwen ...)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from xf.checkpoint.source import parse_json_object

Merges = Sequence[tuple[str, str]]


def read_vocab_json(path: str | Path) -> dict[str, int]:
    """Read a vocab.json (token to id); ValueError if it is none."""
    vocab = parse_json_object(Path(path).read_text("utf-8"), str(path))
    wrong = next((item for item in vocab.items() if not isinstance(item[1], int) or item[1] < 0), None)
    if wrong is not None or not vocab:
        raise ValueError(f"{path} is no vocabulary of token and id: {wrong or 'it is empty'}")
    return vocab


def read_merges(path: str | Path) -> list[tuple[str, str]]:
    """Read a merges.txt: two tokens a line, a first line that starts with #version is left out."""
    merges = []
    for number, line in enumerate(Path(path).read_text("utf-8").split("\n"), 1):
        line = line.rstrip("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise ValueError(f"{path}, line {number}: a merge is two tokens with a space between them, not {line!r}")
        merges.append((left, right))
    return merges


def byte_level_tokenizer(
    vocab: Mapping[str, int],
    merges: Merges,
    *,
    unk_token: str | None = None,
    add_prefix_space: bool = False,
    trim_offsets: bool = True,
    pattern: str | None = None,
    nfc: bool = False,
) -> Tokenizer:
    """The pipeline on bytes: no text is unknown.

    Args:
        vocab: token to id; the tokens are bytes written as `byte_characters` says.
        merges: pairs of tokens in the order in which they are joined.
        unk_token: rarely given: bytes need none.
        add_prefix_space: put a space before the text.
        trim_offsets: leave spaces out of the characters of a token.
        pattern: a regular expression that cuts the text into words; GPT-2's by default.
        nfc: compose characters first.

    The special tokens are the family's to add; the post-processor only trims offsets.
    """
    tokenizer = Tokenizer(models.BPE(dict(vocab), list(merges), unk_token=unk_token, fuse_unk=False,
                                      continuing_subword_prefix="", end_of_word_suffix=""))  # fmt: skip
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    else:
        words = pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)
        level = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return tokenizer


@cache
def byte_characters() -> dict[int, str]:
    """How byte-level vocabularies write bytes: printable ones as themselves, the others from U+0100 on.

    Source: Radford et al. 2019 (the vocabulary of GPT-2).
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in characters)
    return {**characters, **{byte: chr(0x100 + i) for i, byte in enumerate(others)}}
