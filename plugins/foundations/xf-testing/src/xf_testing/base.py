"""The base of all conformance classes, and the guard against checks that quietly disappear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn

import pytest


class ConformanceError(TypeError):
    """A conformance class that deletes, replaces or skips a check without saying why."""


class Conformance:
    """A set of checks that an implementation of a contract must pass.

    Subclass the conformance class of your contract in a test file, say by class attributes and hooks (methods that do
    not begin with ``test_``) what is to be tested, and pytest runs all its checks. A check that your implementation
    cannot pass yet may be overridden only under ``@pytest.mark.xfail(reason="...")``; deleting or skipping one is an
    error when the class is made. What an implementation is not meant to do is said by its capability flags.
    """

    contract: ClassVar[str] = ""  # the name in result files

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("xf_testing."):
            _guard(cls)

    @staticmethod
    def not_claimed(capability: str) -> NoReturn:
        """End a check because the implementation does not claim `capability`; result files list it as such."""
        pytest.skip(f"capability not claimed: {capability}")


def checks_of(cls: type) -> dict[str, Any]:
    """The standard checks of a conformance class by name, as xf-testing defines them."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("xf_testing."):
            for name, value in vars(base).items():
                if name.startswith("test_"):
                    found.setdefault(name, value)
    return found


def _guard(cls: type) -> None:
    """Raise ConformanceError unless every standard check is there as it was, or overridden under a reasoned xfail."""
    for name, standard in checks_of(cls).items():
        current = getattr(cls, name, None)
        if current is standard:
            continue
        if not callable(current):
            raise ConformanceError(f"{cls.__qualname__} deletes {name}. {_REMEDY}")
        if not _has_reasoned_xfail(current):
            raise ConformanceError(f"{cls.__qualname__} overrides {name}. {_REMEDY}")
    for mark in _marks(cls):
        if mark.name in ("skip", "skipif"):
            raise ConformanceError(f"{cls.__qualname__} is marked {mark.name}. {_REMEDY}")
    if vars(cls).get("__test__") is False and checks_of(cls) and not vars(cls).get("abstract", False):
        raise ConformanceError(f"{cls.__qualname__} sets __test__ = False. Say abstract = True if it is a base class.")


_REMEDY = 'State a capability flag, or override it under @pytest.mark.xfail(reason="why"), so that the gap is seen.'


def _marks(target: Any) -> Iterator[Any]:
    marks = getattr(target, "pytestmark", [])
    yield from marks if isinstance(marks, (list, tuple)) else [marks]


def _has_reasoned_xfail(function: Any) -> bool:
    return any(m.name == "xfail" and str(m.kwargs.get("reason", "")).strip() for m in _marks(function))
