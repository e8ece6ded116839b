"""Pipelines of the `tokenizers` library from tiktoken files: lines of a token in base64 and its rank."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from .bpe import byte_characters, byte_level_tokenizer

#: How the files of Llama 3 are split into words (its model card's code; the pattern of cl100k with digits by threes).
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_tiktoken(path: str | Path) -> dict[bytes, int]:
    """Read a tiktoken file: token to rank; ValueError that names the line that is wrong."""
    ranks: dict[bytes, int] = {}
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            parts = line.split()
            if not parts:
                continue
            try:
                token, rank = base64.b64decode(parts[0], validate=True), int(parts[1])
            except (binascii.Error, ValueError, IndexError):
                raise ValueError(f"{path}, line {number}: a token in base64 and its rank are needed") from None
            if rank < 0 or token in ranks:
                raise ValueError(f"{path}, line {number}: the token or its rank {rank} cannot be")
            ranks[token] = rank
    if not ranks:
        raise ValueError(f"{path} holds no tokens")
    return ranks


def vocab_and_merges(ranks: Mapping[bytes, int]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary in characters, and the merges, which ranks imply: a token is made of the two it falls into when
    only lower ranks may be joined."""
    characters = byte_characters()

    def written(token: bytes) -> str:
        return "".join(characters[byte] for byte in token)

    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = split_by_rank(token, ranks, rank)
            if len(parts) == 2:  # anything else cannot be reached by merging, and never is
                merges.append((written(parts[0]), written(parts[1])))
    return {written(token): rank for token, rank in ranks.items()}, merges


def split_by_rank(token: bytes, ranks: Mapping[bytes, int], below: int) -> list[bytes]:
    """Join the bytes of `token`, always the pair of the lowest rank, as long as that is lower than `below`."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 1:
        pairs = [(ranks.get(parts[i] + parts[i + 1], below), i) for i in range(len(parts) - 1)]
        rank, i = min(pairs)
        if rank >= below:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def tiktoken_tokenizer(
    path: str | Path, *, pattern: str = LLAMA3_PATTERN, special_tokens: Mapping[str, int] | None = None
) -> Tokenizer:
    """The pipeline of a tiktoken file.

    Args:
        path: the file.
        pattern: the regular expression that cuts the text into words.
        special_tokens: token to id; they must follow the file's ranks without a gap.

    Raises:
        ValueError: the file is damaged, or a special token would get another id than it is given.
    """
    vocab, merges = vocab_and_merges(read_tiktoken(path))
    tokenizer = byte_level_tokenizer(vocab, merges, pattern=pattern)
    for token, index in sorted((special_tokens or {}).items(), key=lambda item: item[1]):
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True)])
        if tokenizer.token_to_id(token) != index:
            following = tokenizer.token_to_id(token)
            raise ValueError(f"the special token {token} has the id {index}, but {following} is the next one")
    return tokenizer
