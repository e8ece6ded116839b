"""What every benchmark shares: a measure, the table, the reference's Python, timed child processes.

A benchmark is a script `bench_*.py` in a `bench` folder. `--json FILE` makes it write its measures there as a list of
objects with the fields of `Measure`; `make bench` runs all of them and joins the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Measure:
    """One figure and what it is held against.

    name: what was measured. value, unit: ours. base, base_name: what it is compared with, in the same unit, measured in
    the same run; None for absolute targets. target: the most that value (or value / base) may be; None where there is
    no target.
    """

    name: str
    value: float
    unit: str
    base: float | None = None
    base_name: str = ""
    target: float | None = None

    @property
    def ratio(self) -> float:
        return self.value / self.base if self.base else self.value

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.ratio <= self.target


def table(measures: Sequence[Measure]) -> str:
    """A readable table: figure, base, ratio, target, and whether it was met."""
    rows = [("measure", "value", "against", "ratio", "target", "")]
    for m in measures:
        against = f"{m.base:.4g} {m.unit} ({m.base_name})" if m.base is not None else ""
        target = "" if m.target is None else f"<= {m.target:g}" + (" x" if m.base is not None else f" {m.unit}")
        verdict = {None: "", True: "met", False: "MISSED"}[m.met]
        ratio = f"{m.ratio:.3g} x" if m.base is not None else ""
        rows.append((m.name, f"{m.value:.4g} {m.unit}", against, ratio, target, verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def finish(measures: Sequence[Measure]) -> None:
    """End of a benchmark script: print the table, and write JSON where the command line says so."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    options, _ = parser.parse_known_args()
    print(table(measures))
    if options.json:
        records = [asdict(m) | {"ratio": m.ratio, "met": m.met} for m in measures]
        options.json.write_text(json.dumps(records, indent=1), encoding="utf-8")


def reference_python(version: str = "5") -> Path | None:
    """The Python of the reference environment (`make reference`) of major version "4" or "5", None if there is none.

    XF_REFERENCE_PYTHON_4 and XF_REFERENCE_PYTHON_5 name others.
    """
    named = os.environ.get(f"XF_REFERENCE_PYTHON_{version}")
    if named:
        return Path(named)
    found = sorted((ROOT / ".reference").glob(f"{version}*/bin/python"))
    return found[-1] if found else None


def seconds_of(command: Sequence[str | Path], repeat: int = 5, **options: object) -> float:
    """Median wall time of a child process, after one run that is not counted (it fills the file cache)."""
    times = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
        times.append(time.perf_counter() - begin)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, command))[:200]} failed:\n{done.stderr[-2000:]}")
    return statistics.median(times[1:])


def output_of(python: Path | str, code: str, *arguments: str, **environment: str) -> str:
    """What `code` prints on `python`, with two threads and without a network."""
    env = os.environ | {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "XF_OFFLINE": "1"} | environment
    done = subprocess.run([str(python), "-c", code, *arguments], capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"a measured program failed on {python}:\n{done.stderr[-3000:]}")
    return done.stdout


def median_of(function: Callable[[], object], repeat: int = 5) -> float:
    """Median seconds of `function`, after one call that is not counted."""
    function()
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
