"""Which plugins may run: allow, deny and prefer lists by distribution or entry-point name, checked before any import.

    XF_PLUGINS_ALLOW=xf-plugin-bert,xf-plugin-fill-mask    nothing else runs; set but empty: nothing runs
    XF_PLUGINS_DENY=wandb                                  this one does not run
    XF_PLUGINS_PREFER=xf-plugin-bert,flex=my-attention     who provides a name that two distributions offer

The same lists stand in `xf.toml` (in the working folder, and in the user's configuration folder; XF_CONFIG names
another file instead) under `[plugins]` as allow, deny and prefer. The lists only ever narrow: what any of them denies
is denied, and what is to run must be in each allow list there is. So a file in a working folder cannot let in what the
user shut out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from .errors import PluginError
from .index import KERNEL, Index, Record, normalize

KEYS = ("allow", "deny", "prefer")


class Policy(NamedTuple):
    """The lists in force. `allow` holds one tuple per source that has one."""

    allow: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (source, names)
    deny: tuple[tuple[str, tuple[str, ...]], ...] = ()
    prefer: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def verdict(self, record: Record) -> str:
        """Why `record` may not run, or an empty string."""
        if record.distribution == KERNEL:
            return ""
        for source, names in self.deny:
            if _names(record, names):
                return f"{source} denies it"
        for source, names in self.allow:
            if not _names(record, names):
                return f"it is not in the allow list of {source}"
        return ""

    def preferred(self, records: list[Record]) -> Record | None:
        """The record that `prefer` chooses among those of several distributions."""
        for _, names in self.prefer:
            for wanted in names:
                name, _, distribution = wanted.rpartition("=")
                for record in records:
                    if record.distribution == normalize(distribution) and name in ("", record.name):
                        return record
        return None


def _names(record: Record, names: tuple[str, ...]) -> bool:
    return record.name in names or any(normalize(name) == record.distribution for name in names)


_loaded: dict[tuple[str | None, ...], Policy] = {}
_warned: set[tuple[str, str]] = set()


def policy() -> Policy:
    """The policy in force. Raises PluginError when a configuration file cannot be read: no list is skipped silently."""
    key = tuple(os.environ.get(name) for name in ("XF_CONFIG", *map(_variable, KEYS)))
    if key not in _loaded:
        files = [(path, _read(path)) for path in config_files()]
        lists: list[tuple[tuple[str, tuple[str, ...]], ...]] = []
        for name in KEYS:
            variable = os.environ.get(_variable(name))
            given = [] if variable is None else [(_variable(name), _split(variable))]
            given += [(path, table[name]) for path, table in files if name in table]
            lists.append(tuple((source, tuple(names)) for source, names in given))
        _loaded[key] = Policy(*lists)
    return _loaded[key]


def set_policy(
    allow: Iterable[str] | None = None, deny: Iterable[str] | None = None, prefer: Iterable[str] | None = None
) -> None:
    """Set the lists of this process; None takes a list away, an empty `allow` lets nothing run.

    They are kept in the environment variables, so that workers this process starts follow them too.
    """
    for name, value in zip(KEYS, (allow, deny, prefer), strict=True):
        if isinstance(value, str):
            raise ValueError(f"{name} must be a list of names, not the text {value!r}")
        if value is None:
            os.environ.pop(_variable(name), None)
        else:
            os.environ[_variable(name)] = ",".join(value)


def warn_unknown(current: Policy, index: Index, known: Iterable[str] = (), repeat: bool = False) -> list[str]:
    """Messages for listed names that no installed or known plugin has; each once a process unless `repeat`."""
    from difflib import get_close_matches

    offered = {record.name for record in index.rows} | {record.distribution for record in index.rows}
    candidates = sorted(offered | set(known))
    messages = []
    for lists in current:
        for source, names in lists:
            for name in (part for wanted in names for part in wanted.split("=")):
                if name in offered or normalize(name) in candidates or (source, name) in _warned and not repeat:
                    continue
                _warned.add((source, name))
                close = get_close_matches(name, candidates, 3)
                hint = f"; did you mean {' or '.join(close)}?" if close else "."
                messages.append(f"{source} names {name!r}, which no plugin offers{hint}")
    return messages


def config_files() -> list[str]:
    """The configuration files that exist, the nearest first. Raises PluginError when XF_CONFIG names none."""
    named = os.environ.get("XF_CONFIG")
    if named is not None:
        if named and not os.path.isfile(named):
            raise PluginError(f"XF_CONFIG names {named!r}, which is not a file")
        return [named] if named else []
    user = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return [path for path in (os.path.abspath("xf.toml"), os.path.join(user, "xf", "xf.toml")) if os.path.isfile(path)]


def _variable(name: str) -> str:
    return f"XF_PLUGINS_{name.upper()}"


def _split(text: str) -> list[str]:
    return [name for name in map(str.strip, text.split(",")) if name]


def _read(path: str) -> dict[str, list[str]]:
    try:
        with open(path, encoding="utf-8") as file:
            table = _parse(file.read())
    except (OSError, ValueError) as error:
        raise PluginError(f"{path} cannot be read: {error}. Correct it, or name another file in XF_CONFIG.") from error
    unknown = set(table) - set(KEYS)
    if unknown:
        raise PluginError(f"{path}: [plugins] has {sorted(unknown)}; its keys are {', '.join(KEYS)}")
    for name, value in table.items():
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise PluginError(f"{path}: {name} must be a list of names, not {value!r}")
    return table


def _parse(text: str) -> dict[str, Any]:
    """The table [plugins] of a TOML file. ValueError where it is malformed."""
    if sys.version_info >= (3, 11):
        import tomllib

        table = tomllib.loads(text).get("plugins", {})
        if not isinstance(table, dict):
            raise ValueError("[plugins] must be a table")
        return table
    return _parse_plain(text)


def _parse_plain(text: str) -> dict[str, Any]:
    """The same for Python 3.10, which has no TOML reader: lists of plain strings, as this table needs them."""
    import ast

    table: dict[str, Any] = {}
    section = pending = ""
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not pending and line.startswith("["):
            section = line.strip("[] ")
        elif section == "plugins" and line:
            pending += line
            key, equals, value = pending.partition("=")
            if not equals or value.count("[") > value.count("]"):
                continue
            try:
                table[key.strip()] = ast.literal_eval(value.strip())
            except (SyntaxError, ValueError) as error:
                raise ValueError(f"not a list of names: {pending}") from error
            pending = ""
    if pending:
        raise ValueError(f"the list is not closed: {pending}")
    return table
