"""The pytest plugin: fixtures for plugin tests, `--xf-conformance`, and the result file.

Fixtures: tmp_plugin (throw-away distributions), no_network (sockets raise), no_plugins (nothing is discoverable).
Ini option xf_discovery: which distributions a test can discover. "all" of the environment, or "own": the distribution
that the test file belongs to (the nearest pyproject.toml above it), what it requires, and what its dependency group
`test` names. A marker widens it for one test: @pytest.mark.xf_plugins("xf-plugin-bert"), or ("*") for all.

Nothing here imports torch: that is up to the tests.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest

from .base import Conformance, ConformanceError, checks_of
from .distributions import EntryPoints, forget_modules_under, write_distribution
from .report import Report, contract_of

_SUITE = Path(__file__).with_name("suite.py")
CONFORMANCE_OF = ""  # the distribution of --xf-conformance, for suite.py


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("xf", "conformance of xf plugins")
    group.addoption(
        "--xf-conformance",
        nargs="?",
        const="",
        metavar="DISTRIBUTION",
        help="run the conformance checks of every entry point of this (or the named) distribution, and no other test",
    )
    group.addoption("--xf-report", metavar="FILE", help="write the results of conformance checks to FILE (JSON)")
    parser.addini("xf_discovery", "which distributions tests can discover: all or own", default="all")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xf_plugins(*names): distributions this test may discover as well, * for all")
    mode = config.getini("xf_discovery")
    if mode not in ("all", "own"):
        raise pytest.UsageError(f"xf_discovery must be all or own, not {mode!r}")
    named = config.getoption("--xf-conformance")
    if named is not None:
        distribution = named or _distribution_of(config.rootpath)
        if not distribution:
            raise pytest.UsageError(f"{config.rootpath} has no pyproject.toml: say --xf-conformance=DISTRIBUTION")
        global CONFORMANCE_OF
        CONFORMANCE_OF = distribution
        if str(_SUITE) not in config.args:
            config.args.append(str(_SUITE))
    if not hasattr(config, "workerinput"):  # the controller sees the reports of all workers
        config.pluginmanager.register(Report(config.getoption("--xf-report"), config.rootpath), "xf-report")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        _refuse_skipped_checks(item)
    if config.getoption("--xf-conformance") is None:
        return
    written = {contract_of(i) for i in items if contract_of(i) and Path(i.path) != _SUITE}
    chosen = [i for i in items if (at := contract_of(i)) and (Path(i.path) != _SUITE or at not in written)]
    dropped = [i for i in items if i not in set(chosen)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    items[:] = chosen


def _refuse_skipped_checks(item: pytest.Item) -> None:
    """A standard check may not be skipped by a mark on its function, class or module."""
    cls = getattr(item, "cls", None)
    if cls is None or not issubclass(cls, Conformance):
        return
    name = getattr(item, "originalname", item.name)
    if name in checks_of(cls) and any(item.iter_markers("skip")):
        raise pytest.UsageError(str(ConformanceError(f"{item.nodeid} is marked skip; use xfail with a reason")))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if at := contract_of(item):
        item.user_properties.append(("xf_contract", list(at)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """A test that leaves sys.path with less than it found would fail all that come after it, far from its cause."""
    try:
        return (yield)
    finally:
        lost = [entry for entry in _SYS_PATH if entry not in sys.path]
        if lost:
            sys.path += lost
            pytest.fail(f"this test left sys.path without {', '.join(lost)}")


_SYS_PATH = [entry for entry in sys.path if "site-packages" in entry]  # when pytest began


# ---- discovery


@cache
def _project(folder: Path) -> dict[str, Any]:
    """The nearest pyproject.toml with a project name at or above `folder`."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if path.is_file():
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            if data.get("project", {}).get("name"):
                return data
    return {}


def _distribution_of(folder: Path) -> str:
    return str(_project(folder).get("project", {}).get("name", ""))


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names_in(requirements: list[Any]) -> list[str]:
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", r) for r in requirements if isinstance(r, str))
    return [_normalize(m.group()) for m in found if m]


@cache
def _closure(names: tuple[str, ...]) -> frozenset[str]:
    """The distributions named and all they require (without extras), as far as they are installed."""
    from importlib.metadata import PackageNotFoundError, requires

    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found.add(name)
        try:
            queue += _names_in([r for r in requires(name) or () if "extra ==" not in r])
        except PackageNotFoundError:
            continue
    return frozenset(found)


@pytest.fixture(autouse=True)
def _xf_discovery(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Narrow discovery to what the test may see."""
    if request.config.getini("xf_discovery") == "all":
        yield
        return
    extra = [name for mark in request.node.iter_markers("xf_plugins") for name in mark.args]
    data = _project(Path(request.node.path).parent)
    own = data.get("project", {}).get("name")
    if "*" in extra or not own or own == "xf":  # the meta distribution's tests are those that cross plugins
        yield
        return
    named = [_normalize(own), *_names_in(data.get("dependency-groups", {}).get("test", [])), *map(_normalize, extra)]
    with _visible(monkeypatch, _closure(tuple(named))):
        yield


class _visible:
    """Within the block only these distributions (and throw-away ones) are discoverable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names: frozenset[str]) -> None:
        self.monkeypatch, self.names = monkeypatch, names

    def __enter__(self) -> None:
        from xf.plugins import index

        real = index._fingerprint
        installed = _installed()

        def filtered() -> tuple[str, list[str]]:
            key, folders = real()
            hidden = installed - self.names
            kept = [f for f in folders if _normalize(Path(f).name.rpartition(".")[0].partition("-")[0]) not in hidden]
            return key + f"\nonly {sorted(self.names)}", kept

        self.monkeypatch.setattr(index, "_fingerprint", filtered)
        self.monkeypatch.setattr(index, "_current", None)

    def __exit__(self, *error: object) -> None:
        return None


@lru_cache(maxsize=1)
def _installed() -> frozenset[str]:
    from importlib.metadata import distributions

    return frozenset(_normalize(d.name) for d in distributions() if d.name)


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing but the kernel and throw-away distributions is discoverable."""
    with _visible(monkeypatch, frozenset({"xf-kernel"})):
        yield


@pytest.fixture
def tmp_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Make throw-away distributions that are discovered as installed ones are, until the test ends.

    tmp_plugin("my-plugin", {"xf.v1.cache": {"mine": "my_module:MyCache"}}, {"my_module.py": source}, requires=[...])
    returns the folder on sys.path.
    """
    from xf.plugins import refresh

    made: list[Path] = []

    def make(name: str, entry_points: EntryPoints, modules: dict[str, str] | None = None, **options: Any) -> Path:
        folder = tmp_path / f"site-{len(made)}"
        write_distribution(folder, name, entry_points=entry_points, modules=modules, **options)
        monkeypatch.syspath_prepend(str(folder))
        made.append(folder)
        refresh()
        return folder

    yield make
    for folder in made:
        forget_modules_under(folder)
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
    refresh()


@pytest.fixture
def no_network() -> Iterator[list[str]]:
    """Every connection raises while the test runs, and one that was tried and swallowed fails the test at its end."""
    from .network import no_network as block

    with block() as attempts:
        yield attempts
