"""Check with import-linter that imports run one way, leaf plugin -> foundation -> kernel, and are all declared.

The contracts are written from the folder tree, so a new distribution is bound by them the day it appears.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import ROOT, Package, packages, requirement_name


def contract(number: int, name: str, kind: str, **lists: list[str]) -> str:
    lines = [f"[importlinter:contract:{number}]", f"name = {name}", f"type = {kind}"]
    for key, values in lists.items():
        lines.append(f"{key} =")
        lines += [f"    {value}" for value in values]
    return "\n".join(lines)


def reachable(package: Package, by_name: dict[str, Package]) -> set[str]:
    """Import names of the distributions of this repository that `package` requires, directly or not, with extras."""
    found: set[str] = set()
    queue = [package.name]
    while queue:
        current = by_name.get(queue.pop())
        if current is not None and current.import_name not in found:
            found.add(str(current.import_name))
            queue += [requirement_name(r) for r in (*current.requires, *current.optional)]
    return found


def configuration() -> str:
    found = packages()
    by_name = {p.name: p for p in found}
    names = sorted(str(p.import_name) for p in found)
    foundations = sorted(str(p.import_name) for p in found if p.kind == "foundation")
    leaves = sorted(str(p.import_name) for p in found if p.kind in ("plugin", "contrib"))
    parts = ["[importlinter]\nroot_packages =\n" + "\n".join(f"    {n}" for n in names)]
    rules = [("the kernel imports no plugin", ["xf"], foundations + leaves)]
    for package in found:
        name, declared = str(package.import_name), reachable(package, by_name)
        if package.kind == "kernel":
            continue
        others = [n for n in (foundations if package.kind == "foundation" else names) if n != name]
        undeclared = [n for n in [*others, *leaves] if n not in declared and n != name]
        if package.kind != "foundation":  # a leaf imports no leaf, even one that it requires
            undeclared += [n for n in leaves if n != name]
            undeclared += [n for n in ("xf_testing",) if n in names]
        rules.append((f"{name} imports only what {package.name} requires", [name], sorted(set(undeclared))))
    for number, (title, sources, forbidden) in enumerate(rules, 1):
        if forbidden:
            lists = {"source_modules": sources, "forbidden_modules": forbidden}
            parts.append(contract(number, title, "forbidden", **lists))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "importlinter.ini"
        config.write_text(configuration(), encoding="utf-8")
        command = [Path(sys.executable).with_name("lint-imports"), "--config", config, "--no-cache"]
        sources = os.pathsep.join(str(p.folder / "src") for p in packages())  # also what is not installed yet
        environment = {**os.environ, "PYTHONPATH": sources}
        sys.exit(subprocess.run([str(c) for c in command], cwd=ROOT, env=environment).returncode)


if __name__ == "__main__":
    main()
