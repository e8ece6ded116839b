"""Spoken numbers and amounts in digits: "two and a half million dollars" is "$2500000" (arXiv:2212.04356, appendix C).

Words come one by one. What has been read of a number is held as an int while it is one ("two hundred": 200) and as text
once its digits were spoken one after the other ("two oh": "20") or it has a point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

_SMALL = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_POWERS = (
    "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion"
).split()

ZEROS = frozenset({"o", "oh", "zero"})
ONES = {word: number for number, word in enumerate(_SMALL, start=1)}
TENS = {word: 10 * number for number, word in enumerate(_TENS, start=2)}
MULTIPLIERS = {"hundred": 100} | {word: 1000**power for power, word in enumerate(_POWERS, start=1)}

_IRREGULAR = {"zeroth": (0, "th"), "first": (1, "st"), "second": (2, "nd"), "third": (3, "rd"), "fifth": (5, "th")}
ONES_SUFFIXED = (
    {("sixes" if word == "six" else word + "s"): (number, "s") for word, number in ONES.items()}
    | _IRREGULAR
    | {"twelfth": (12, "th")}
    | {
        word + ("h" if word.endswith("t") else "th"): (number, "th")
        for word, number in ONES.items()
        if number > 3 and number not in (5, 12)
    }
)
TENS_SUFFIXED = {word.replace("y", "ies"): (number, "s") for word, number in TENS.items()} | {
    word.replace("y", "ieth"): (number, "th") for word, number in TENS.items()
}
MULTIPLIERS_SUFFIXED = {word + "s": (number, "s") for word, number in MULTIPLIERS.items()} | {
    word + "th": (number, "th") for word, number in MULTIPLIERS.items()
}
SIGNS = {"minus": "-", "negative": "-", "plus": "+", "positive": "+"}
UNITS = {
    "pound": "£", "pounds": "£", "euro": "€", "euros": "€", "dollar": "$", "dollars": "$", "cent": "¢", "cents": "¢",
}  # fmt: skip
_PREFIXES = frozenset(SIGNS.values()) | frozenset(UNITS.values())
SPECIALS = frozenset({"and", "double", "triple", "point"})
DECIMALS = frozenset(ONES) | frozenset(TENS) | ZEROS
NUMBER_WORDS = (
    DECIMALS | frozenset(MULTIPLIERS) | frozenset(ONES_SUFFIXED) | frozenset(TENS_SUFFIXED)
    | frozenset(MULTIPLIERS_SUFFIXED) | frozenset(SIGNS) | frozenset(UNITS) | {"per", "percent"} | SPECIALS
)  # fmt: skip

_DIGITS = re.compile(r"\d+(\.\d+)?$")
_MAX_DIGITS = 4000  # below the limit of int(str); longer digits stay text

Value = int | str | None


def standardize_numbers(text: str) -> str:
    """`text` with spoken numbers and amounts in digits, its words separated by single spaces."""
    words = _separate(text).split()
    return _tidy_amounts(" ".join(_Reader().read(words)))


def _separate(text: str) -> str:
    """Spell "and a half" as "point five" after a number, and part digits from letters but not from 1st, 2nd, 20s."""
    segments = re.split(r"\band\s+a\s+half\b", text)
    parts: list[str] = []
    for index, segment in enumerate(segments):
        if not segment.strip():
            continue
        parts.append(segment)
        if index < len(segments) - 1:
            last = segment.split()[-1]
            parts.append("point five" if last in DECIMALS or last in MULTIPLIERS else "and a half")
    text = " ".join(parts)
    text = re.sub(r"([a-z])([0-9])", r"\1 \2", text)
    text = re.sub(r"([0-9])([a-z])", r"\1 \2", text)
    return re.sub(r"([0-9])\s+(st|nd|rd|th|s)\b", r"\1\2", text)


def _tidy_amounts(text: str) -> str:
    """ "$2 ¢5" is "$2.05", "$0.05" is "¢5", and a bare 1 is the word, which may be a pronoun."""
    text = re.sub(
        r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b",
        lambda found: f"{found[1]}{found[2]}.{int(found[3]):02d}",
        text,
    )
    text = re.sub(r"[€£$]0.([0-9]{1,2})\b", lambda found: f"¢{int(found[1])}", text)
    return re.sub(r"\b1(s?)\b", r"one\1", text)


def _is_digits(word: str | None) -> bool:
    return word is not None and _DIGITS.match(word) is not None


def _times(value: int | str, multiplier: int) -> int | None:
    """value * multiplier if it is a whole number ("2.5" times 1000), else None."""
    text = str(value)
    if len(text) > _MAX_DIGITS:
        return None
    try:
        product = Fraction(text) * multiplier
    except ValueError:
        return None
    return product.numerator if product.denominator == 1 else None


def _scaled(value: int, multiplier: int) -> int:
    """ "two thousand three" times hundred: the multiplier belongs to what follows the last thousands."""
    return value // 1000 * 1000 + value % 1000 * multiplier


class _Reader:
    """Reads words, holding the number that is being spoken (`value`) and its sign or currency (`prefix`)."""

    def __init__(self) -> None:
        self.value: Value = None
        self.prefix: str | None = None
        self.skip_next = False

    def read(self, words: list[str]) -> Iterator[str]:
        """The words with numbers in digits."""
        for before, word, after in zip([None, *words], words, [*words[1:], None], strict=False):
            if self.skip_next:
                self.skip_next = False
                continue
            yield from self._read_word(before, word, after)
        yield from self._flush()

    def _read_word(self, before: str | None, word: str, after: str | None) -> Iterator[str]:
        bare = word[1:] if word[0] in _PREFIXES else word
        if _is_digits(bare):
            yield from self._digits(word, bare)
        elif word not in NUMBER_WORDS:
            yield from self._flush()
            yield self._out(word)
        elif word in ZEROS:
            self.value = str(self.value or "") + "0"
        elif word in ONES:
            self.value = self._with_ones(before, ONES[word])
        elif word in ONES_SUFFIXED:
            number, suffix = ONES_SUFFIXED[word]
            yield self._out(f"{self._with_ones(before, number)}{suffix}")
        elif word in TENS:
            self.value = self._with_tens(TENS[word])
        elif word in TENS_SUFFIXED:
            number, suffix = TENS_SUFFIXED[word]
            yield self._out(f"{self._with_tens(number)}{suffix}")
        elif word in MULTIPLIERS:
            yield from self._multiply(MULTIPLIERS[word])
        elif word in MULTIPLIERS_SUFFIXED:
            yield from self._multiply_suffixed(*MULTIPLIERS_SUFFIXED[word])
        elif word in SIGNS:
            yield from self._flush()
            if after in NUMBER_WORDS or _is_digits(after):
                self.prefix = SIGNS[word]
            else:
                yield self._out(word)
        elif word in UNITS:
            yield from self._unit(word)
        elif word in ("per", "percent"):
            yield from self._percent(word, after)
        else:
            yield from self._special(before, word, after)

    def _out(self, result: Value) -> str:
        text = f"{self.prefix or ''}{result}"
        self.value = self.prefix = None
        return text

    def _flush(self) -> Iterator[str]:
        if self.value is not None:
            yield self._out(self.value)

    def _digits(self, word: str, bare: str) -> Iterator[str]:
        if isinstance(self.value, str) and self.value.endswith("."):  # decimals, or the parts of an address
            self.value += word
            return
        yield from self._flush()
        if word != bare:
            self.prefix = word[0]
        whole = _times(bare, 1)
        self.value = bare if whole is None else whole

    def _with_ones(self, before: str | None, number: int) -> int | str:
        value = self.value
        if value is None:
            return number
        if isinstance(value, str) or before in ONES:
            text = str(value)
            if before in TENS and number < 10 and text.endswith("0"):  # "nineteen ninety nine": 1990, then 1999
                return f"{text[:-1]}{number}"
            return f"{text}{number}"
        room = 10 if number < 10 else 100
        return value + number if value % room == 0 else f"{value}{number}"

    def _with_tens(self, number: int) -> int | str:
        value = self.value
        if value is None:
            return number
        if isinstance(value, int) and value % 100 == 0:
            return value + number
        return f"{value}{number}"

    def _multiply(self, multiplier: int) -> Iterator[str]:
        if self.value is None:
            self.value = multiplier
        elif isinstance(self.value, str) or self.value == 0:
            product = _times(self.value, multiplier)
            if product is None:
                yield from self._flush()
            self.value = multiplier if product is None else product
        else:
            self.value = _scaled(self.value, multiplier)

    def _multiply_suffixed(self, multiplier: int, suffix: str) -> Iterator[str]:
        number: int | None = multiplier
        if isinstance(self.value, str):
            number = _times(self.value, multiplier)
            if number is None:
                yield from self._flush()
                number = multiplier
        elif self.value is not None:
            number = _scaled(self.value, multiplier)
        yield self._out(f"{number}{suffix}")

    def _unit(self, word: str) -> Iterator[str]:
        if self.value is None:
            yield self._out(word)
        else:
            self.prefix = UNITS[word]
            yield from self._flush()

    def _percent(self, word: str, after: str | None) -> Iterator[str]:
        if self.value is not None and (word == "percent" or after == "cent"):
            self.skip_next = word == "per"
            yield self._out(f"{self.value}%")
        else:
            yield from self._flush()
            yield self._out(word)

    def _special(self, before: str | None, word: str, after: str | None) -> Iterator[str]:
        if after not in NUMBER_WORDS and not _is_digits(after):
            yield from self._flush()
            yield self._out(word)
        elif word == "and":
            if before not in MULTIPLIERS:  # "two hundred and five" is one number
                yield from self._flush()
                yield self._out(word)
        elif word == "point":
            if after in DECIMALS or _is_digits(after):
                self.value = f"{self.value or ''}."
        elif after in ONES or after in ZEROS:  # double, triple
            self.value = str(self.value or "") + str(ONES.get(after or "", 0)) * (2 if word == "double" else 3)
            self.skip_next = True
        else:
            yield from self._flush()
            yield self._out(word)
