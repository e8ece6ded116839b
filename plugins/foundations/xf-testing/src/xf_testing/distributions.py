"""Throw-away distributions: a folder on sys.path with code, metadata and entry points, as an installed plugin has."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

EntryPoints = Mapping[str, Mapping[str, str]]


def write_distribution(
    folder: str | Path,
    name: str,
    *,
    entry_points: EntryPoints | None = None,
    modules: Mapping[str, str] | None = None,
    version: str = "1.0",
    requires: Iterable[str] = ("xf-kernel>=1.0,<2",),
) -> Path:
    """Write a distribution as an installer would lay it out below `folder`, and return `folder`.

    entry_points: {"xf.v1.attention": {"mine": "my_module:BACKEND"}}. modules: {"my_module.py": "source"} or
    {"pkg/__init__.py": ...}; paths are relative to `folder`.
    """
    root = Path(folder)
    info = root / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(metadata) + "\n", encoding="utf-8")
    groups = (
        f"[{group}]\n" + "\n".join(f"{key} = {value}" for key, value in entries.items())
        for group, entries in (entry_points or {}).items()
    )
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n", encoding="utf-8")
    recorded = [f"{info.name}/METADATA,,", f"{info.name}/entry_points.txt,,", f"{info.name}/RECORD,,"]
    for path, source in (modules or {}).items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source, encoding="utf-8")
        recorded.append(f"{path},,")
    (info / "RECORD").write_text("\n".join(recorded) + "\n", encoding="utf-8")
    return root


def forget_modules_under(folder: Path) -> None:
    """Drop from sys.modules what was imported from below `folder`."""
    prefix = str(folder.resolve())
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if origin and str(Path(origin).resolve()).startswith(prefix):
            del sys.modules[name]
