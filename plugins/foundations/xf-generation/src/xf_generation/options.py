"""Which generation options exist: the documented fields, and what installed plugins declare.

A logits processor, a stopping criterion or a decoding strategy declares its options as `options = {name: default}`; its
entry point lies in `xf.v1.logits`, `xf.v1.stopping` or `xf.v1.decoding`. A plugin that fails to import is skipped, and
its error is raised when an option is asked for that nobody else declares.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from xf.plugins import PluginConflictError, PluginError, registry
from xf.plugins.registry import tolerate

from .fields import FIELDS, RARE_FIELDS

GROUPS = ("logits", "stopping", "decoding")
_OWN = "xf-generation"
_loaded: dict[str, tuple[tuple[Any, ...], tuple[type, ...], dict[str, PluginError]]] = {}


def providers(group: str) -> tuple[type, ...]:
    """The classes of a registry that take part in every `generate`, by their `order`; read again when plugins change.

    Raises: PluginConflictError if two distributions offer a name of this one and no setting says which is meant.
    """
    return _providers(group)[0]


def _providers(group: str) -> tuple[tuple[type, ...], dict[str, PluginError]]:
    found = registry(group)
    state = tuple((*record, id(found.runtime.get(record.name))) for record in found.records())
    known = _loaded.get(group)
    if known is not None and known[0] == state:
        return known[1], known[2]
    classes: dict[type, int] = {}
    errors: dict[str, PluginError] = {}
    for name in found.names():
        try:
            provider = found.get(name)
            classes[provider] = getattr(provider, "order", 1000)
        except PluginError as error:
            own = any(record.name == name and record.distribution == _OWN for record in found.records())
            if own and isinstance(error, PluginConflictError):
                raise
            tolerate(error)
            errors[name] = error
    ordered = tuple(sorted(classes, key=lambda provider: (classes[provider], provider.__name__)))
    _loaded[group] = state, ordered, errors
    return ordered, errors


def declared_options() -> dict[str, Any]:
    """{option: default} of what plugins declare beyond the documented fields."""
    options: dict[str, Any] = {}
    for group in GROUPS:
        for provider in providers(group):
            options.update(getattr(provider, "options", {}))
    return {name: default for name, default in options.items() if name not in FIELDS}


def option_values(provider: Any, config: Any) -> dict[str, Any]:
    """The values in `config` of the options that `provider` declares."""
    return {name: getattr(config, name, default) for name, default in provider.options.items()}


def closest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """ "; did you mean 'a' or 'b'?" for a name that nobody knows, or nothing."""
    close = get_close_matches(name, list(names), 3, cutoff)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def all_option_names() -> set[str]:
    """Every option that `generate` and GenerationConfig accept."""
    return {*FIELDS, *RARE_FIELDS, *declared_options()}


def refuse_unknown(unknown: Iterable[str], accepted_too: Iterable[str], where: str) -> None:
    """Raises: ValueError that names `unknown` with close matches; the error of a broken plugin that has the name."""
    names = list(unknown)
    if not names:
        return
    for group in GROUPS:
        errors = _providers(group)[1]
        for name in names:
            if name in errors:
                raise errors[name]
    known = [*sorted(all_option_names()), *accepted_too]
    told = ", ".join(f"{name!r}{closest(name, known)}" for name in names)
    raise ValueError(
        f"{where} does not know {told}. Options beyond the documented ones come with plugins that declare them "
        "(`xf plugins` lists what is installed)."
    )
