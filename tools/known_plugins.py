"""Write the index of known plugins that the kernel's wheel carries, from the pyproject files of this repository.

    python tools/known_plugins.py            # rewrite kernel/src/xf/plugins/known_plugins.json
    python tools/known_plugins.py --check    # fail if it is not current

distribution -> registry -> entry name -> attribute (empty for a module). It only ever serves to say what to install.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import ROOT, packages

TARGET = ROOT / "kernel" / "src" / "xf" / "plugins" / "known_plugins.json"
PREFIX = "xf.v1."


def known() -> dict[str, dict[str, dict[str, str]]]:
    """What every plugin of this repository declares; the kernel's own names need no installation."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for package in packages():
        groups = {
            group.removeprefix(PREFIX): {name: value.partition(":")[2] for name, value in sorted(entries.items())}
            for group, entries in sorted(package.entry_points.items())
            if group.startswith(PREFIX)
        }
        if groups and package.kind not in ("kernel", "contrib"):
            found[package.name] = groups
    return dict(sorted(found.items()))


def render() -> str:
    """One line a distribution: short in the wheel, and a change of one plugin is a change of one line."""
    lines = [f"{json.dumps(name)}: {json.dumps(groups, sort_keys=True)}" for name, groups in known().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    text = render()
    current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if "--check" in sys.argv:
        if text != current:
            sys.exit(f"{TARGET.relative_to(ROOT)} is not current: run python tools/known_plugins.py")
    elif text != current:
        TARGET.write_text(text, encoding="utf-8")
        print(f"{TARGET.relative_to(ROOT)}: {len(known())} distributions")


if __name__ == "__main__":
    main()
