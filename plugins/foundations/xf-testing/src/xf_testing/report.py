"""Results of conformance checks as a JSON file: what a badge or a release gate reads."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from .base import Conformance, checks_of

Contract = tuple[str, str]


def contract_of(item: pytest.Item) -> Contract | None:
    """(contract, name of the implementation) of a conformance check, None for any other test."""
    cls = getattr(item, "cls", None)
    if cls is None or not issubclass(cls, Conformance) or getattr(item, "originalname", "") not in checks_of(cls):
        return None
    return cls.contract, str(getattr(cls, "name", "") or cls.__name__)


class Report:
    """Collects outcomes per implementation and writes them at the end of the session.

    An implementation conforms when every one of its checks ran and passed; a check that it does not claim (capability
    flags) counts as not applicable, an expected failure as a known gap.
    """

    def __init__(self, path: str | None, root: Path) -> None:
        self.path = path
        self.results: dict[str, dict[str, dict[str, str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = dict(report.user_properties).get("xf_contract")
        if not found:
            return
        checks = self.results.setdefault("/".join(found), {}).setdefault("checks", {})
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" or report.outcome != "passed":
            checks[name] = _outcome(report)

    def pytest_sessionfinish(self) -> None:
        if self.path:
            Path(self.path).write_text(json.dumps(self.summary(), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def summary(self) -> dict[str, Any]:
        """Versions, and per implementation the counts, the gaps and whether it conforms."""
        implementations = {}
        for at, found in sorted(self.results.items()):
            checks = found["checks"]
            counts = {k: sum(v == k for v in checks.values()) for k in _OUTCOMES}
            gaps = sorted(n for n, v in checks.items() if v in ("failed", "known gap"))
            implementations[at] = {"conforms": not gaps and counts["passed"] > 0, "gaps": gaps, **counts}
        return {"xf-kernel": _version("xf-kernel"), "xf-testing": _version("xf-testing"), "results": implementations}


_OUTCOMES = ("passed", "failed", "known gap", "not applicable")


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "known gap" if report.skipped else "failed"
    if report.skipped:
        return "not applicable"
    return "passed" if report.passed else "failed"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
