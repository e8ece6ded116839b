"""Numbers and dates in questions and cells, and how they compare (TAPAS, arXiv:2004.02349, sections 2 and B.1).

A value is a float, or a date as (year, month, day) with None for what was not said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Date = tuple[int | None, int | None, int | None]
Value = float | Date

YEARS = range(1700, 2017)  # what counts as a year; other numbers of four digits are just numbers
LONGEST_DATE = 5  # words of a date at most
LEAST_SHARE = 0.7  # of a column's cells that must have a value of one kind
_NUMBER = re.compile(r"((^|\s)[+-])?((\.\d+)|(\d+(,\d\d\d)*(\.\d*)?))")
_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_ORDINAL_WORDS = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
)  # fmt: skip
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS_OF_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH_NUMBER = {name: i for i, name in enumerate(_MONTHS, 1)} | {name[:3]: i for i, name in enumerate(_MONTHS, 1)}
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<y>[0-9]{4})s?",
        r"(?P<name>[a-z]+)",
        r"(?P<name>[a-z]+) (?P<y>[0-9]{4})",
        r"((?P<weekday>[a-z]+), )?(?P<name>[a-z]+) (?P<d>[0-9]{1,2})",
        r"(?P<d>[0-9]{1,2}) (?P<name>[a-z]+)( (?P<y>[0-9]{4}))?",
        r"(?P<name>[a-z]+) (?P<d>[0-9]{1,2}), (?P<y>[0-9]{4})",
        r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})(-(?P<d>[0-9]{1,2}))?",
        r"(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})-(?P<y>[0-9]{4})",
        r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})",
    )
)


def normalized(text: str) -> str:
    """Lower case, and one space between words."""
    return " ".join(text.lower().split())


def parse_number(text: str) -> float | None:
    """A number, also with commas or as 1st, 2nd, 3rd, 4th; None if it is none."""
    if text.endswith(("st", "nd", "rd", "th")):
        text = text[:-2]
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None  # not a number compares as false too


def parse_date(text: str) -> Date | None:
    """A date in a usual spelling (1998, may 1998, 5 may, may 5, 1998, 1998-05-05, ...); None if it is none."""
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        fields = match.groupdict()
        name = fields.get("name")
        if fields.get("weekday") not in (None, *_WEEKDAYS) or name is not None and name not in _MONTH_NUMBER:
            continue
        if match.string == name and name not in _MONTHS:  # an abbreviation alone is a word: dec, mar, sun
            continue
        month = _MONTH_NUMBER[name] if name else _integer(fields.get("m"))
        date = (_integer(fields.get("y")), month, _integer(fields.get("d")))
        if _exists(date):
            return date
    return None


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _exists(date: Date) -> bool:
    year, month, day = date
    if year is not None and year not in YEARS:
        return False
    if month is not None and not 1 <= month <= 12:
        return False
    if day is None or month is None:
        return True
    leap = year is not None and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= _DAYS_OF_MONTHS[month - 1] + (month == 2 and leap)


def parse_text(text: str) -> list[tuple[tuple[int, int], list[Value]]]:
    """The values of a normalized text: ((begin, end), values of that span), in its order.

    A span inside another is left out. "1998" is a number and a year.
    """
    found: dict[tuple[int, int], list[Value]] = {}
    for match in _NUMBER.finditer(text):
        number = parse_number(match.group())
        if number is not None:
            found.setdefault(match.span(), []).append(number)
    for span in _word_spans(text, 1):
        if span not in found:
            word = text[slice(*span)]
            number = parse_number(word)
            words = [float(words.index(word)) for words in (_NUMBER_WORDS, _ORDINAL_WORDS) if word in words]
            if values := [*words, *([] if number is None else [number])]:
                found[span] = list(values)
    for span in _word_spans(text, LONGEST_DATE):
        date = parse_date(text[slice(*span)])
        if date is not None:
            found.setdefault(span, []).append(date)
    return [(span, found[span]) for span in _outermost(found)]


def _word_spans(text: str, count: int) -> Iterator[tuple[int, int]]:
    """Where runs of 1 to `count` words are; a word is letters and digits."""
    begins: list[int] = []
    for i, character in enumerate(text):
        if not character.isalnum():
            continue
        if i == 0 or not text[i - 1].isalnum():
            begins = [*begins, i][-count:]
        if i + 1 == len(text) or not text[i + 1].isalnum():
            yield from ((begin, i + 1) for begin in begins)


def _outermost(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans that no other contains, by where they begin."""
    kept: list[tuple[int, int]] = []
    for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:  # ends grow with begins among those kept
            kept.append((begin, end))
    return kept


def column_values(cells: Sequence[str]) -> dict[int, Value]:
    """The value of each row of a column, all of the one kind that most cells have; {} where too few have it.

    Where as many cells have a date as have a number, dates count.
    """
    values = [[value for _, found in parse_text(normalized(cell)) for value in found] for cell in cells]
    kinds = Counter(kind for row in values for kind in {type(value) for value in row})
    if not kinds or max(kinds.values()) < len(cells) * LEAST_SHARE:
        return {}
    kind = max(kinds, key=lambda kind: (kinds[kind], kind is tuple))
    found = {i: next((value for value in row if type(value) is kind), None) for i, row in enumerate(values)}
    return {row: value for row, value in found.items() if value is not None}


def sort_key(values: Iterable[Value]) -> Callable[[Value], Any] | None:
    """What orders values: the number, or the parts that all of the dates have. None where they cannot be compared."""
    values = list(values)
    if len({type(value) for value in values}) != 1:
        return None
    dates: list[Any] = [value for value in values if not isinstance(value, float)]
    if not dates:
        return lambda value: value
    parts = [i for i in range(3) if all(date[i] is not None for date in dates)]
    return (lambda date: tuple(date[part] for part in parts)) if parts else None  # type: ignore[index]


def ranks(values: Mapping[int, Value]) -> dict[int, tuple[int, int]]:
    """The rank of each row from the least (1) and from the greatest (1); equal values have equal ranks."""
    key = sort_key(values.values())
    if key is None:
        return {}
    keys = {row: key(value) for row, value in values.items()}
    order = {unique: rank for rank, unique in enumerate(sorted(set(keys.values())))}
    return {row: (order[k] + 1, len(order) - order[k]) for row, k in keys.items()}


# which way a cell's value stands to a value of the question, as bits
EQUAL, QUESTION_IS_LESS, QUESTION_IS_GREATER = 1, 2, 4


def relations(question: str, columns: Sequence[Mapping[int, Value]]) -> dict[tuple[int, int], int]:
    """{(row, column): how the values of the question stand to the cell's, as bits}."""
    found: dict[tuple[int, int], int] = {}
    asked = [value for _, values in parse_text(normalized(question)) for value in values]
    for value in asked:
        for column, values in enumerate(columns):
            key = sort_key([*values.values(), value])
            if key is None:
                continue
            for row, other in values.items():
                one, two = key(value), key(other)
                bit = EQUAL if one == two else QUESTION_IS_LESS if one < two else QUESTION_IS_GREATER
                found[row, column] = found.get((row, column), 0) | bit
    return found
