"""Text standardization before transcripts are compared (Radford et al. 2022, arXiv:2212.04356, appendix C).

Every pattern runs in time linear in the text: no nested quantifier, and brackets are matched by a scan.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from xf_plugin_whisper.numbers import standardize_numbers

# Letters whose decomposition leaves a character that is no ASCII letter.
_SPECIAL_LETTERS = str.maketrans(
    {
        "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "ß": "ss", "ẞ": "SS", "đ": "d", "Đ": "D",
        "ð": "d", "Ð": "D", "þ": "th", "Þ": "th", "ł": "l", "Ł": "L",
    }
)  # fmt: skip

_FILLERS = re.compile(r"\b(hmm|mm|mhm|mmm|uh|um)\b")

# Appendix C, step 5, in this order: whole words, titles, perfect tenses, then endings of any word.
_WHOLE_WORDS = {
    "won't": "will not", "can't": "can not", "let's": "let us", "ain't": "aint", "y'all": "you all",
    "wanna": "want to", "gotta": "got to", "gonna": "going to", "i'ma": "i am going to", "imma": "i am going to",
    "woulda": "would have", "coulda": "could have", "shoulda": "should have", "ma'am": "madam",
    "mr": "mister ", "mrs": "missus ", "st": "saint ", "dr": "doctor ", "prof": "professor ", "capt": "captain ",
    "gov": "governor ", "ald": "alderman ", "gen": "general ", "sen": "senator ", "rep": "representative ",
    "pres": "president ", "rev": "reverend ", "hon": "honorable ", "asst": "assistant ", "assoc": "associate ",
    "lt": "lieutenant ", "col": "colonel ", "jr": "junior ", "sr": "senior ", "esq": "esquire ",
}  # fmt: skip
_ENDINGS = {
    "'d been": " had been", "'s been": " has been", "'d gone": " had gone", "'s gone": " has gone",
    "'d done": " had done", "'s got": " has got",
    "n't": " not", "'re": " are", "'s": " is", "'d": " would", "'ll": " will", "'t": " not", "'ve": " have",
    "'m": " am",
}  # fmt: skip
_CONTRACTIONS = [(re.compile(rf"\b{word}\b"), full) for word, full in _WHOLE_WORDS.items()] + [
    (re.compile(rf"{ending}\b"), full) for ending, full in _ENDINGS.items()
]


def fold_symbols(text: str, keep: str = "") -> str:
    """Symbols, marks and punctuation become spaces, accents go away; the characters of `keep` stay."""

    def folded(character: str) -> str:
        if character in keep:
            return character
        special = character.translate(_SPECIAL_LETTERS)
        if special != character:
            return special
        category = unicodedata.category(character)
        return "" if category == "Mn" else " " if category[0] in "MSP" else character

    return "".join(map(folded, unicodedata.normalize("NFKD", text)))


def drop_symbols(text: str) -> str:
    """Symbols, marks and punctuation become spaces; accents stay (NFKC)."""
    return "".join(
        " " if unicodedata.category(character)[0] in "MSP" else character
        for character in unicodedata.normalize("NFKC", text)
    )


def _drop_asides(text: str) -> str:
    """Remove what stands in <> or [] (their kinds may mix), then what stands in ()."""
    return _drop_between(_drop_between(text, "<[", ">]", least=0), "(", ")", least=1)


def _drop_between(text: str, openers: str, closers: str, least: int) -> str:
    """Remove each span from an opener to the next closer, if at least `least` characters lie between them."""
    kept, position = [], 0
    opener = re.compile(f"[{re.escape(openers)}]")
    closer = re.compile(f"[{re.escape(closers)}]")
    start = opener.search(text)
    while start is not None:
        end = closer.search(text, start.end())
        if end is None:
            break
        follow = end.end()
        if end.start() - start.end() >= least:
            kept.append(text[position : start.start()])
            position = follow
        start = opener.search(text, follow)
    return "".join(kept) + text[position:]


class BasicTextNormalizer:
    """For any language: lower case, without asides in brackets, without symbols.

    Args:
        remove_diacritics: drop accents too.
        split_letters: put a space between all letters, for languages that do not write spaces.
    """

    def __init__(self, remove_diacritics: bool = False, split_letters: bool = False) -> None:
        self.clean = fold_symbols if remove_diacritics else drop_symbols
        self.split_letters = split_letters

    def __call__(self, text: str) -> str:
        text = self.clean(_drop_asides(text.lower())).lower()
        if self.split_letters:
            text = " ".join(_letters(text))
        return re.sub(r"\s+", " ", text)


def _letters(text: str) -> list[str]:
    """Characters with the marks that belong to them."""
    letters: list[str] = []
    for character in text:
        if letters and unicodedata.category(character)[0] == "M":
            letters[-1] += character
        else:
            letters.append(character)
    return letters


class EnglishTextNormalizer:
    """For English: also contractions, numbers and spelling.

    Args:
        english_spelling_mapping: British spelling to American spelling, the `normalizer.json` of a checkpoint.
    """

    def __init__(self, english_spelling_mapping: Mapping[str, str]) -> None:
        self.spelling = dict(english_spelling_mapping)

    def __call__(self, text: str) -> str:
        text = _FILLERS.sub("", _drop_asides(text.lower()))
        text = re.sub(r"(?<!\s)\s+'", "'", text)  # the look-behind starts each run of spaces once
        for pattern, full in _CONTRACTIONS:
            text = pattern.sub(full, text)
        text = re.sub(r"(\d),(\d)", r"\1\2", text)
        text = re.sub(r"\.([^0-9]|$)", r" \1", text)
        text = fold_symbols(text, keep=".%$¢€£")  # numbers and amounts need these
        text = standardize_numbers(text)
        text = " ".join(self.spelling.get(word, word) for word in text.split())
        text = re.sub(r"[.$¢€£]([^0-9])", r" \1", text)
        text = re.sub(r"([^0-9])%", r"\1 ", text)
        return re.sub(r"\s+", " ", text)
