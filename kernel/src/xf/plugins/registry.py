"""Registries: names to objects, found in the index, imported one at a time, with one rule for all of them."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from . import known
from .errors import (
    PluginConflictError,
    PluginDisabledError,
    PluginError,
    PluginImportError,
    PluginIncompatibleError,
    PluginNotInstalledError,
)
from .index import Record, index, refresh
from .policy import Policy, policy, warn_unknown

_registries: dict[str, Registry] = {}


def registry(group: str) -> Registry:
    """The registry of a group, `registry("model.causal_lm")`; the same object each time."""
    return _registries.setdefault(group, Registry(group))


def groups() -> list[str]:
    """The registries that installed plugins or this process put something in."""
    used = {name for name, found in _registries.items() if found.runtime}
    return sorted(used | set(index().groups))


class Registry:
    """The names of one group. Listing and finding import nothing; `get` imports one target."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.runtime: dict[str, Any] = {}

    def names(self) -> list[str]:
        """The names that `get` can be asked for: neither denied nor incompatible."""
        return sorted({record.name for record in self.records() if record.status == "ok"})

    def records(self) -> list[Record]:
        """Every record, with the status that the policy gives it, in name order."""
        found = [record for records in index().group(self.group).values() for record in records]
        found = _judged([record for record in found if record.name not in self.runtime])
        return sorted(found + [self._runtime_record(name) for name in self.runtime])

    def find(self, name: str) -> Record | None:
        """The record of `name` without importing it: the one `get` would take, else one that tells why it cannot."""
        if name in self.runtime:
            return self._runtime_record(name)
        records = _judged(index().group(self.group).get(name, []))
        usable = [record for record in records if record.status == "ok"]
        return (policy().preferred(usable) if len(usable) > 1 else None) or next(iter(usable or records), None)

    def get(self, name: str) -> Any:
        """The object called `name`.

        Raises:
            PluginNotInstalledError: nobody offers it; the text says what to install where that is known.
            PluginImportError: it is offered, but importing it failed (chained).
            PluginDisabledError: the policy does not let it run.
            PluginIncompatibleError: it is written for another kernel.
            PluginConflictError: two distributions offer it and no setting says which one is meant.
        """
        return self.runtime[name] if name in self.runtime else load(self.locate(name))

    def locate(self, name: str) -> Record:
        """The record that `get(name)` would import, of what is installed; raises as `get` does, and imports nothing."""
        records = index().group(self.group).get(name) or refresh().group(self.group).get(name)
        if not records:
            raise PluginNotInstalledError(known.not_installed(self.group, name, self.names()))
        return choose(records, f"{self.group} {name!r}")

    def register(self, name: str, obj: Any, override: bool = False) -> None:
        """Offer `obj` under `name` in this process. Raises PluginConflictError for a taken name, unless `override`."""
        if not isinstance(name, str) or not name:
            raise ValueError(f"The name of a {self.group} must be a text that is not empty, not {name!r}.")
        taken = None if override else self.find(name)
        if taken is not None:
            raise PluginConflictError(
                f"{self.group} {name!r} is already provided by {taken.distribution} ({taken.target}); "
                "pass override=True to replace it in this process."
            )
        self.runtime[name] = obj

    def unregister(self, name: str) -> None:
        """Take back what `register` put there. Raises KeyError where nothing was registered."""
        del self.runtime[name]

    def __contains__(self, name: str) -> bool:
        record = self.find(name)
        return record is not None and record.status == "ok"

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __repr__(self) -> str:
        return f"Registry({self.group!r}, names={self.names()})"

    def _runtime_record(self, name: str) -> Record:
        obj = self.runtime[name]
        attribute = getattr(obj, "__qualname__", type(obj).__qualname__)
        module = getattr(obj, "__module__", None) or type(obj).__module__
        return Record(self.group, name, module, attribute, "(registered in this process)", "")


def _judged(records: list[Record]) -> list[Record]:
    """The records, those that the policy does not let run marked as denied."""
    current = _policy()
    if not (current.allow or current.deny):
        return records
    verdicts = [current.verdict(record) for record in records]
    return [r._replace(status="denied", reason=v) if v else r for r, v in zip(records, verdicts, strict=True)]


_checked: list[Any] = [None, None]


def _policy() -> Policy:
    """The policy; names it lists that nobody offers are warned about once."""
    current, found = policy(), index()
    if _checked[0] is not current or _checked[1] is not found:
        _checked[:] = current, found
        if any(current):
            from ..logging import get_logger

            for message in warn_unknown(current, found, known.names()):
                get_logger(__name__).warning(message)
    return current


def choose(records: list[Record], what: str) -> Record:
    """The record to import among those of one name: by policy, compatibility and `prefer`. Errors call it `what`."""
    judged = _judged(records)
    allowed = [record for record in judged if record.status != "denied"]
    if not allowed:
        first = judged[0]
        raise PluginDisabledError(
            f"{what} is provided by {first.distribution} {first.version}, but {first.reason}. "
            "`xf plugins why` tells which setting; nothing of it was imported."
        )
    usable = {record.target + record.distribution: record for record in allowed if record.status == "ok"}
    if not usable:
        first = allowed[0]
        raise PluginIncompatibleError(
            f"{what} is provided by {first.distribution} {first.version}, which does not fit: {first.reason}. "
            f"Install a version of it that does (pip install -U {first.distribution} xf-kernel)."
        )
    candidates = list(usable.values())
    if len({record.target for record in candidates}) == 1:  # one object, which several families share
        return candidates[0]
    preferred = policy().preferred(candidates)
    if preferred is None:
        offers = " and ".join(f"{record.distribution} ({record.target})" for record in candidates)
        raise PluginConflictError(
            f"{what} is provided by {offers}. Choose one: XF_PLUGINS_PREFER={candidates[0].distribution}, the same "
            "under `prefer` in [plugins] of xf.toml, or xf.plugins.set_policy(prefer=[...])."
        )
    return preferred


def load(record: Record) -> Any:
    """Import the target of one record. Raises PluginImportError, with the original error as its cause."""
    try:
        found: Any = importlib.import_module(record.module)
        for part in record.attribute.split(".") if record.attribute else ():
            found = getattr(found, part)
    except Exception as error:
        raise PluginImportError(
            f"{record.group} {record.name!r} is provided by {record.distribution} {record.version}, but "
            f"{record.target} failed to import: {type(error).__name__}: {error}"
        ) from error
    return found


def find_attribute(name: str) -> Record | None:
    """The record that declares a public name, e.g. "BertTokenizerFast", not imported; None where nobody does."""
    records = _judged(index().declaring(name))
    usable = [record for record in records if record.status == "ok"]
    return (policy().preferred(usable) if len(usable) > 1 else None) or next(iter(usable or records), None)


def load_attribute(name: str) -> Any:
    """What `xf.<name>` is where it is not the kernel's: a name that a plugin declares, or a module.

    Raises: a plugin error, or AttributeError where nobody knows the name.
    """
    records = index().declaring(name)
    if not records and importlib.util.find_spec(f"xf.{name}") is not None:
        return importlib.import_module(f"xf.{name}")
    records = records or refresh().declaring(name)
    if records:
        return load(choose(records, f"xf.{name}"))
    owners = known.attribute_owners(name)
    if owners:
        raise PluginNotInstalledError(f"xf.{name} is not installed. Run: {known.install_line(owners)}")
    from difflib import get_close_matches

    from .._names import NAMES

    close = get_close_matches(name, sorted({*NAMES, *index().attributes(), *known.attributes()}), 3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise AttributeError(f"module 'xf' has no attribute {name!r}{hint}", name=name)


def strict() -> bool:
    """Whether any broken plugin is to raise at once, also where others could go on without it."""
    return os.environ.get("XF_STRICT_PLUGINS") == "1"


def tolerate(error: PluginError) -> None:
    """For a loop over plugins: raise in strict mode, else log the error and let the others go on."""
    if strict():
        raise error
    from ..logging import get_logger

    get_logger(__name__).warning(f"Skipped: {error}")
