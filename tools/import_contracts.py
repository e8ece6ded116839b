"""Check with import-linter that imports run one way: leaf plugin -> foundation -> kernel.

The contracts are written from the folder tree, so a new distribution is bound by them the day it appears.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import ROOT, packages


def contract(number: int, name: str, kind: str, **lists: list[str]) -> str:
    lines = [f"[importlinter:contract:{number}]", f"name = {name}", f"type = {kind}"]
    for key, values in lists.items():
        lines.append(f"{key} =")
        lines += [f"    {value}" for value in values]
    return "\n".join(lines)


def configuration() -> str:
    found = packages()
    kernel = "xf"
    foundations = sorted(p.import_name for p in found if p.kind == "foundation" and p.import_name)
    leaves = sorted(p.import_name for p in found if p.kind in ("plugin", "contrib") and p.import_name)
    parts = ["[importlinter]\nroot_packages =\n" + "\n".join(f"    {n}" for n in [kernel, *foundations, *leaves])]
    # an import of a sibling that is meant: the function is optional and the import sits inside it
    if foundations or leaves:
        parts.append(
            contract(
                1,
                "the kernel imports no plugin",
                "forbidden",
                source_modules=[kernel],
                forbidden_modules=foundations + leaves,
            )
        )
    if len(foundations) > 1:
        parts.append(contract(2, "foundations stand on the kernel alone", "independence", modules=foundations))
    if foundations and leaves:
        parts.append(
            contract(
                3,
                "foundations import no leaf plugin",
                "forbidden",
                source_modules=foundations,
                forbidden_modules=leaves,
            )
        )
    if len(leaves) > 1:
        parts.append(contract(4, "leaf plugins do not import each other", "independence", modules=leaves))
    if "xf_testing" in foundations and leaves:
        parts.append(
            contract(
                5,
                "nothing but tests needs xf-testing",
                "forbidden",
                source_modules=[kernel, *leaves],
                forbidden_modules=["xf_testing"],
            )
        )
    return "\n\n".join(parts) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "importlinter.ini"
        config.write_text(configuration(), encoding="utf-8")
        command = [Path(sys.executable).with_name("lint-imports"), "--config", config, "--no-cache"]
        sys.exit(subprocess.run([str(c) for c in command], cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
