"""A Jinja environment in which a template from anywhere can be run: it cannot reach Python, and it cannot run for long.

Jinja's sandbox keeps a template from attributes and methods it has no business with, and from changing what it is
given. It does not keep it from looping for hours or from making strings of gigabytes, so here
  - every turn of a loop and every call is counted, against a number and a deadline,
  - whatever makes text (operators, filters, methods of strings, captured blocks, the output) has a limit of length.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

#: Characters of a template; the longest published ones have some 20,000.
MAX_TEMPLATE = 1_000_000
#: Characters of any text that a template makes.
MAX_TEXT = 10_000_000
#: Turns of loops and calls in one rendering.
MAX_STEPS = 5_000_000
#: Seconds of one rendering.
MAX_SECONDS = 30.0
#: Elements of any list that a template makes.
MAX_ITEMS = 1_000_000
#: Bits of any whole number that a template makes.
MAX_BITS = 100_000
#: Widths in formats.
MAX_WIDTH = 10_000
_WIDE = re.compile(r"\d{6}")
_NESTED = re.compile(r"\{[^{}]*\{")
_WIDENING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})

_budget: ContextVar[list[float] | None] = ContextVar("budget", default=None)


@contextmanager
def budget() -> Iterator[None]:
    """Count steps and time from here."""
    token = _budget.set([0, time.monotonic() + MAX_SECONDS])
    try:
        yield
    finally:
        _budget.reset(token)


def step() -> None:
    """One turn of a loop, or one call."""
    spent = _budget.get()
    if spent is None:
        return
    spent[0] += 1
    if spent[0] > MAX_STEPS:
        raise SecurityError(f"the template takes more than {MAX_STEPS:,} steps")
    if not int(spent[0]) % 256 and time.monotonic() > spent[1]:
        raise SecurityError(f"the template takes more than {MAX_SECONDS:g} seconds")


def limited(value: Any) -> Any:
    """`value`, unless it is larger than a template may make it."""
    if isinstance(value, (str, bytes)) and len(value) > MAX_TEXT:
        raise SecurityError(f"the template makes a text of more than {MAX_TEXT:,} characters")
    if isinstance(value, (list, tuple, dict)) and len(value) > MAX_ITEMS:
        raise SecurityError(f"the template makes a list of more than {MAX_ITEMS:,} elements")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise SecurityError("the template makes too large a number")
    return value


class _Counted:
    """An iterable whose turns are counted; its length stays known."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            step()
            yield item

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose numbers and results are limited."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        step()
        for value in (*args, *kwargs.values()):
            if isinstance(value, int) and abs(value) > MAX_TEXT:
                raise SecurityError(f"{value} is too large a number for a filter")
        return limited(function(*args, **kwargs))

    return call


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with limits; rendering must happen inside `budget()`."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters = {name: _checked(function) for name, function in self.filters.items()}
        self.filters["format"] = _checked(_format)
        del self.globals["lipsum"]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_TEMPLATE:
            raise SecurityError(f"the template has {len(source):,} characters; {MAX_TEMPLATE:,} are the limit")
        template = super()._parse(source, name, filename)
        for loop in template.find_all(nodes.For):
            loop.iter = _method("counted", [loop.iter])
        _replace_concatenations(template)
        template.set_environment(self)
        return template

    def counted(self, iterable: Any) -> Any:
        """What a loop goes through."""
        return iterable if iterable is None or not hasattr(iterable, "__iter__") else _Counted(iterable)

    def joined(self, *parts: Any) -> str:
        """The operator `~`."""
        return limited("".join(map(str, parts)))  # type: ignore[no-any-return]

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Joins output, of the whole template or of a block that is kept."""
        total, kept = 0, []
        for part in parts:
            total += len(part)
            if total > MAX_TEXT:
                raise SecurityError(f"the template makes a text of more than {MAX_TEXT:,} characters")
            kept.append(part)
        return "".join(kept)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Operators that can make much of little."""
        step()
        sized = next((v for v in (left, right) if isinstance(v, (str, list, tuple))), None)
        number = right if sized is left else left
        if operator == "*" and sized is not None and isinstance(number, int):
            if len(sized) * number > (MAX_TEXT if isinstance(sized, str) else MAX_ITEMS):
                raise SecurityError("the template repeats a text or list too often")
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > MAX_BITS:
                raise SecurityError("the template makes too large a number")
        if operator == "%" and isinstance(left, str):
            _check_format(left, right if isinstance(right, tuple) else (right,))
        return limited(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` and `str.format_map`."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def call(*args: Any, **kwargs: Any) -> str:
            _check_format(value.__self__, (*args, *kwargs.values()))
            return limited(wrapped(*args, **kwargs))  # type: ignore[no-any-return]

        return call

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Every call of the template."""
        step()
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            if __obj.__name__ in _WIDENING:
                _check_widths((*args, *kwargs.values()))
            elif __obj.__name__ in ("replace", "join") and args:
                # The result has at most this many characters.
                longest = max([len(a) for a in args if isinstance(a, (str, list, tuple))], default=1)
                if (len(owner) + 1) * (longest + 1) > MAX_TEXT * 10:
                    raise SecurityError("the template makes too long a text")
        return limited(super().call(__context, __obj, *args, **kwargs))


def _check_widths(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_WIDTH:
            raise SecurityError(f"{value} is too large a width")


def _check_format(text: str, values: Iterable[Any]) -> None:
    """Refuse widths that would make a huge text: in the format itself, or given as values of `*` and `{:{width}}`."""
    if _WIDE.search(text):
        raise SecurityError("a width in a format is too large")
    if "*" in text or _NESTED.search(text):
        _check_widths(values)


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    """The filter `format`."""
    text = str(value)
    _check_format(text, (*args, *kwargs.values()))
    return text % (kwargs or args)


def _method(name: str, args: list[Any]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), args, [], None, None)


def _replace_concatenations(node: nodes.Node) -> None:
    for field, value in node.iter_fields():
        values = value if isinstance(value, list) else [value]
        for i, item in enumerate(values):
            if isinstance(item, nodes.Node):
                _replace_concatenations(item)
            if isinstance(item, nodes.Concat):
                values[i] = _method("joined", item.nodes)
                if not isinstance(value, list):
                    setattr(node, field, values[i])
