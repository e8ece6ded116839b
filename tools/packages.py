"""The distributions of this repository, found from the folder tree: nothing lists them by hand.

`python tools/packages.py` prints one line per distribution: kind, name, import name, folder.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ("kernel", "plugins/*/*", "contrib/*")


@dataclass(frozen=True)
class Package:
    """One distribution: where it lies, what it is called, what it needs."""

    folder: Path
    name: str
    version: str
    import_name: str | None  # None for the meta distribution, which has no files
    kind: str  # "kernel", "foundation", "plugin", "contrib" or "meta"
    requires: tuple[str, ...] = field(default=(), repr=False)
    extras: tuple[str, ...] = ()
    optional: tuple[str, ...] = field(default=(), repr=False)  # what its extras require
    tests: tuple[str, ...] = field(default=(), repr=False)  # what its tests require (dependency group `test`)
    entry_points: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)


def normalize(name: str) -> str:
    """A distribution name as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    if match is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return normalize(match.group())


def read(folder: Path) -> Package:
    data = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    project = data.get("project")
    if not project or "name" not in project:
        raise ValueError(f"{folder / 'pyproject.toml'} has no [project] name")
    parts = folder.relative_to(ROOT).parts
    if folder == ROOT:
        kind = "meta"
    elif parts[0] == "kernel":
        kind = "kernel"
    elif parts[0] == "contrib":
        kind = "contrib"
    else:
        kind = "foundation" if parts[1] == "foundations" else "plugin"
    sources = sorted(p.name for p in (folder / "src").glob("*") if p.is_dir() and p.name.isidentifier())
    if kind != "meta" and len(sources) != 1:
        raise ValueError(f"{folder.relative_to(ROOT)}/src must hold exactly one package, found {sources or 'none'}")
    return Package(
        folder=folder,
        name=normalize(project["name"]),
        version=project["version"],
        import_name=sources[0] if sources else None,
        kind=kind,
        requires=tuple(project.get("dependencies", ())),
        extras=tuple(project.get("optional-dependencies", {})),
        tests=tuple(r for r in data.get("dependency-groups", {}).get("test", ()) if isinstance(r, str)),
        optional=tuple(r for extra in project.get("optional-dependencies", {}).values() for r in extra),
        entry_points=project.get("entry-points", {}),
    )


def folders() -> list[Path]:
    """Every folder with a pyproject.toml, in a stable order; the root (the meta distribution) is not among them."""
    return sorted(p for pattern in PATTERNS for p in ROOT.glob(pattern) if (p / "pyproject.toml").is_file())


def packages(*, meta: bool = False) -> list[Package]:
    """Every distribution; raises ValueError when two folders claim one name."""
    found = [read(p) for p in folders()] + ([read(ROOT)] if meta else [])
    by_name: dict[str, Package] = {}
    for package in found:
        other = by_name.setdefault(package.name, package)
        if other is not package:
            raise ValueError(f"{package.name} is claimed by {other.folder} and by {package.folder}")
    return found


def closure(names: list[str]) -> list[Package]:
    """The named distributions and those of this repository that they need, dependencies first."""
    by_name = {p.name: p for p in packages(meta=True)}
    ordered: dict[str, Package] = {}

    def add(name: str, asked_by: str) -> None:
        if name in ordered:
            return
        if name not in by_name:
            raise ValueError(f"{asked_by} needs {name}, which is not in this repository")
        package = by_name[name]
        for requirement in package.requires:
            if requirement_name(requirement) in by_name:
                add(requirement_name(requirement), name)
        ordered[name] = package

    for name in names:
        add(normalize(name), "the command line")
    return list(ordered.values())


if __name__ == "__main__":
    for item in packages(meta="--meta" in sys.argv):
        print(f"{item.kind:<11} {item.name:<40} {item.import_name or '-':<36} {item.folder.relative_to(ROOT)}")
