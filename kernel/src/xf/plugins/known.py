"""What can be installed: the index of known plugins in this wheel, read only to say what is missing.

`known_plugins.json` is written by tools/known_plugins.py from the pyproject files: distribution -> registry -> name ->
attribute. An install hint is only ever taken from it, never from a name that a checkpoint or a user brings.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def table() -> dict[str, dict[str, dict[str, str]]]:
    """distribution -> registry -> entry name -> attribute."""
    with open(os.path.join(os.path.dirname(__file__), "known_plugins.json"), encoding="utf-8") as file:
        data: dict[str, Any] = json.load(file)
    return data


def owners(group: str, name: str) -> list[str]:
    """The known distributions that offer `name` in a registry."""
    return [distribution for distribution, groups in table().items() if name in groups.get(group, {})]


def attribute_owners(name: str) -> list[str]:
    """The known distributions that declare a public name."""
    return [
        distribution
        for distribution, groups in table().items()
        if name in groups.get("symbol", {}) or any(name in entries.values() for entries in groups.values())
    ]


def distributions_of(name: str) -> list[str]:
    """The known distributions that offer `name` in any registry, or are called so."""
    return [
        distribution
        for distribution, groups in table().items()
        if name == distribution or any(name in entries for entries in groups.values())
    ]


def attributes() -> list[str]:
    """Every public name that a known distribution declares."""
    return sorted({a for groups in table().values() for entries in groups.values() for a in entries.values() if a})


def names() -> list[str]:
    """Every known distribution and entry name, as policy lists may use them."""
    entries = {name for groups in table().values() for entries in groups.values() for name in entries}
    return sorted(entries | set(table()))


def install_line(distributions: list[str]) -> str:
    """The command that installs one of `distributions`."""
    return "pip install " + (" or pip install ".join(distributions))


def not_installed(group: str, name: str, installed: list[str]) -> str:
    """The text for a name that no installed distribution offers."""
    found = owners(group, name)
    if found:
        return f"{group} {name!r} is not installed. Run: {install_line(found)}"
    from difflib import get_close_matches

    known_names = {entry for groups in table().values() for entry in groups.get(group, {})}
    close = get_close_matches(name, sorted({*installed, *known_names}), 3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    offered = f" Installed: {', '.join(installed)}." if installed else f" No plugin with a {group} is installed."
    return f"No plugin offers {group} {name!r}.{hint}{offered}"
