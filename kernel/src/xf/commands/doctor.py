"""`xf doctor`: what is wrong with an installation, found without importing a plugin unless that is asked for."""

from __future__ import annotations

import os
import sys
from typing import Any

from .._version import VERSION
from ..plugins import PluginError, groups, known, policy, refresh, registry
from ..plugins.index import cache_enabled, cache_home
from ..plugins.policy import config_files, warn_unknown
from ..plugins.registry import choose, load

Check = dict[str, Any]


def examine(imports: bool = False) -> list[Check]:
    """The checks, each {"check", "ok", "detail"}; with `imports` every target is imported."""
    checks: list[Check] = []

    def report(check: str, ok: bool, detail: str) -> None:
        checks.append({"check": check, "ok": ok, "detail": detail})

    report("python", sys.version_info >= (3, 10), f"{sys.version.split()[0]} at {sys.executable}; xf-kernel {VERSION}")
    for name in ("torch", "numpy", "safetensors", "tokenizers", "huggingface_hub"):
        report(name, *_version(name))
    try:
        index = refresh()
        report("plugins", not index.problems, "; ".join(index.problems) or f"{len(index.rows)} names, all readable")
    except PluginError as error:
        report("plugins", False, str(error))
        return checks
    report("cache", *_cache_state())
    try:
        unknown = warn_unknown(policy(), index, known.names(), repeat=True)
        report("policy", not unknown, "; ".join(unknown) or ", ".join(config_files()) or "no lists in files")
    except PluginError as error:
        report("policy", False, str(error))
        return checks
    for group in groups():
        for name in sorted({record.name for record in registry(group).records()}):
            problem = _problem(group, name, imports)
            if problem:
                report(f"{group} {name}", False, problem)
    return checks


def _problem(group: str, name: str, imports: bool) -> str:
    records = [record for record in registry(group).records() if record.name == name]
    if name in registry(group).runtime or all(record.status == "denied" for record in records):
        return ""
    try:
        record = choose(records, f"{group} {name!r}")
        if imports:
            load(record)
    except PluginError as error:
        return str(error)
    return ""


def _version(distribution: str) -> tuple[bool, str]:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return True, str(version(distribution))
    except PackageNotFoundError:
        return False, f"is not installed. Run: pip install {distribution}"


def _cache_state() -> tuple[bool, str]:
    """A cache that cannot be written is slow, not wrong."""
    if not cache_enabled():
        return True, "turned off by XF_DISCOVERY_CACHE"
    place = cache_home()
    while not os.path.exists(place):
        place = os.path.dirname(place)
    writable = os.access(place, os.W_OK)
    return True, cache_home() if writable else f"{cache_home()} cannot be written; every start scans (set XF_CACHE)"
