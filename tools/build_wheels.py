"""Build the wheel of every distribution into one folder, in this process: a second or two for all of them.

python tools/build_wheels.py dist [NAME ...]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import Package, closure, packages


def build(package: Package, target: Path) -> Path:
    """One wheel; hatchling reads files relative to the working directory, so that is where we stand."""
    before = Path.cwd()
    os.chdir(package.folder)
    try:
        builder = WheelBuilder(str(package.folder))
        return Path(next(iter(builder.build(directory=str(target), versions=["standard"]))))
    finally:
        os.chdir(before)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True, exist_ok=True)
    wanted = closure(sys.argv[2:]) if sys.argv[2:] else packages(meta=True)
    total = 0
    for package in wanted:
        wheel = build(package, target)
        total += wheel.stat().st_size
        print(f"{wheel.stat().st_size / 1024:8.1f} KiB  {wheel.name}")
    print(f"{len(wanted)} wheels, {total / 1024:.1f} KiB, in {target}")


if __name__ == "__main__":
    main()
