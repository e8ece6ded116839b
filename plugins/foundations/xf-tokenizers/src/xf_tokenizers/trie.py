"""Finding given words in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any


class Trie:
    """A set of words, by their characters; splits texts at the words it holds.

    `data` is a dictionary for each character, with the key "" where a word ends.
    """

    def __init__(self, *args: Iterable[str]) -> None:
        self.data: dict[str, Any] = {}
        self._tokens: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.update(*args)

    def update(self, *args: Iterable[str]) -> None:
        """Add the words of all arguments."""
        for words in args:
            for word in words:
                self.add(word)

    def add(self, word: str) -> None:
        """Add a word; the empty word is nothing."""
        if not word:
            return
        self._tokens.add(word)
        self._pattern = None
        node = self.data
        for character in word:
            node = node.setdefault(character, {})
        node[""] = 1

    def split(self, text: str) -> list[str]:
        """Cut `text` before and after every word, from the left, the longest word first.

        >>> Trie(["[CLS]", "extra_id_1", "extra_id_100"]).split("[CLS] This is a extra_id_100")
        ['[CLS]', ' This is a ', 'extra_id_100']
        """
        if self._pattern is None:
            longest_first = sorted(self._tokens, key=lambda word: (-len(word), word))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        offsets = [0]
        for match in self._pattern.finditer(text):
            offsets += match.span()
        return self.cut_text(text, offsets)

    def cut_text(self, text: str, offsets: list[int]) -> list[str]:
        """The pieces of `text` between offsets, without empty ones; "" is one empty piece."""
        cuts = [*offsets, len(text)]
        pieces = [text[start:end] for start, end in pairwise(cuts) if end > start]
        return pieces or [text]


class ExtensionsTrie(Trie):
    """A trie that can tell which of its words start with a prefix."""

    def extensions(self, prefix: str) -> list[str]:
        """The words that start with `prefix`."""
        node = self.data
        for character in prefix:
            if character not in node:
                return []
            node = node[character]
        found: list[str] = []
        pending = [(node, prefix)]
        while pending:
            current, word = pending.pop()
            for character, below in current.items():
                if character == "":
                    found.append(word)
                else:
                    pending.append((below, word + character))
        return found
