"""Grouping tokens into words, so that each word gets a time.

In languages that write spaces a word begins at a space; in others each complete character is one. Punctuation goes
with the word it belongs to.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Any

# Names as in LANGUAGES; these do not put spaces between words.
_WITHOUT_SPACES = frozenset({"chinese", "japanese", "thai", "lao", "myanmar", "cantonese"})
_OPENING = "\"'“¡¿([{-"
_CLOSING = "\"'.。,，!！?？:：”)]}、"
_INCOMPLETE = "\ufffd"  # how a decoder shows bytes that are no whole character


@dataclass
class Word:
    """A word: its text, its tokens, and where they stand in the sequence."""

    text: str
    tokens: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)

    def add(self, other: Word) -> None:
        self.text += other.text
        self.tokens += other.tokens
        self.indices += other.indices


def group_into_words(tokenizer: Any, tokens: list[int], language: str | None = None) -> list[Word]:
    """The words of `tokens` in a language given by its name; None is English."""
    characters = _characters(tokenizer, tokens)
    words = characters if language in _WITHOUT_SPACES else _at_spaces(tokenizer, characters)
    return _attach_punctuation(words)


def _characters(tokenizer: Any, tokens: list[int]) -> list[Word]:
    """The least groups of tokens that decode to whole characters."""
    full = tokenizer.decode(tokens, decode_with_timestamps=True)
    groups: list[Word] = []
    current = Word("")
    length = 0
    for index, token in enumerate(tokens):
        current.tokens.append(token)
        current.indices.append(index)
        text = tokenizer.decode(current.tokens, decode_with_timestamps=True)
        place = text.find(_INCOMPLETE)
        # The mark may also be a real character of the text, at the same place in the whole of it.
        if place < 0 or full[length + place : length + place + 1] == _INCOMPLETE:
            current.text = text
            groups.append(current)
            current = Word("")
            length += len(text)
    return groups


def _at_spaces(tokenizer: Any, groups: list[Word]) -> list[Word]:
    words: list[Word] = []
    for group in groups:
        special = group.tokens[0] >= tokenizer.eos_token_id
        begins = special or group.text.startswith(" ") or group.text.strip() in string.punctuation
        if begins or not words:
            words.append(Word(group.text, list(group.tokens), list(group.indices)))
        else:
            words[-1].add(group)
    return words


def _attach_punctuation(words: list[Word]) -> list[Word]:
    """Opening marks after a space join the next word, closing marks the one before."""
    joined: list[Word] = []
    for word in reversed(words):
        if joined and word.text.startswith(" ") and word.text.strip() in _OPENING:
            word.add(joined.pop())
        joined.append(word)
    result: list[Word] = []
    for word in reversed(joined):
        if result and not result[-1].text.endswith(" ") and word.text in _CLOSING:
            result[-1].add(word)
        else:
            result.append(word)
    return [word for word in result if word.text]
