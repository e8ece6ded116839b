"""WordPiece in pure Python, step by step: `BasicTokenizer` makes words, `WordpieceTokenizer` pieces of them.

Sources: arXiv:1810.04805; arXiv:1609.08144, section 4.1. For the same with speed see `wordpiece`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

# Blocks of Chinese characters in Unicode: unified ideographs, their extensions A to E, compatibility ideographs
_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
# ASCII that is no letter, digit, space or control character counts as punctuation, "$" and "`" included
_ASCII_PUNCTUATION = ((33, 47), (58, 64), (91, 96), (123, 126))


def is_punctuation(character: str) -> bool:
    """Whether a character stands for itself."""
    code = ord(character)
    ascii_mark = any(first <= code <= last for first, last in _ASCII_PUNCTUATION)
    return ascii_mark or unicodedata.category(character).startswith("P")


def is_chinese(character: str) -> bool:
    """Whether a character is from a block of Chinese characters."""
    return any(first <= ord(character) <= last for first, last in _CHINESE)


def _is_control(character: str) -> bool:
    return character not in "\t\n\r" and unicodedata.category(character).startswith("C")


def _is_space(character: str) -> bool:
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


class BasicTokenizer:
    """Text to words: clean, split at spaces and punctuation, lower case, no accents.

    never_split: words that stay as they are. tokenize_chinese_chars: each Chinese character is a word. strip_accents:
    if do_lower_case, by default. do_split_on_punc: punctuation is a word of its own.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_split_on_punc: bool = True,
    ) -> None:
        self.do_lower_case = do_lower_case
        self.never_split = set(never_split or ())
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.do_split_on_punc = do_split_on_punc

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """The words of `text`; never_split: further words that stay as they are."""
        kept = self.never_split.union(never_split or ())
        text = _clean(text)
        if self.tokenize_chinese_chars:
            text = "".join(f" {c} " if is_chinese(c) else c for c in text)
        words: list[str] = []
        for word in unicodedata.normalize("NFC", text).split():
            if word in kept:
                words.append(word)
                continue
            if self.do_lower_case:
                word = word.lower()
            if self.strip_accents or (self.strip_accents is None and self.do_lower_case):
                word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
            words += _split_at_punctuation(word) if self.do_split_on_punc else [word]
        return " ".join(words).split()


def _clean(text: str) -> str:
    """No control characters, and every white space a space."""
    kept = (c for c in text if ord(c) not in (0, 0xFFFD) and not _is_control(c))
    return "".join(" " if _is_space(c) else c for c in kept)


def _split_at_punctuation(word: str) -> list[str]:
    parts, begins = [""], True
    for character in word:
        if is_punctuation(character):
            parts.append(character)
            begins = True
        elif begins:
            parts.append(character)
            begins = False
        else:
            parts[-1] += character
    return [part for part in parts if part]


class WordpieceTokenizer:
    """Words to pieces: from the left, always the longest that the vocabulary has; pieces inside a word begin with ##.

    A word that cannot be made, or is longer than max_input_chars_per_word, becomes unk_token.
    """

    def __init__(self, vocab: Mapping[str, int], unk_token: str, max_input_chars_per_word: int = 100) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str) -> list[str]:
        """The pieces of words that are separated by spaces."""
        return [piece for word in text.split() for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces, begin = [], 0
        while begin < len(word):
            prefix = "##" if begin else ""
            end = next((e for e in range(len(word), begin, -1) if prefix + word[begin:e] in self.vocab), None)
            if end is None:
                return [self.unk_token]
            pieces.append(prefix + word[begin:end])
            begin = end
        return pieces
