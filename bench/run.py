"""All benchmarks, one after the other on an otherwise idle machine: `make bench`.

    python bench/run.py                 every bench_*.py of the repository
    python bench/run.py startup load    those whose file name contains one of the words

Prints one table and writes bench/results.json. Comparisons with the reference need `make reference`; without it they
are left out and named.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measures import ROOT, Measure, table

FIELDS = ("name", "value", "unit", "base", "base_name", "target")


def main() -> None:
    words = sys.argv[1:]
    scripts = sorted(
        p for pattern in ("bench", "kernel/bench", "plugins/*/*/bench") for p in ROOT.glob(f"{pattern}/bench_*.py")
    )
    chosen = [p for p in scripts if not words or any(word in p.stem for word in words)]
    if not chosen:
        sys.exit(f"no benchmark matches {words}; there are: {', '.join(p.stem for p in scripts)}")
    records: list[dict[str, object]] = []
    failed = []
    for script in chosen:
        print(f"== {script.relative_to(ROOT)}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "measures.json"
            done = subprocess.run([sys.executable, script, "--json", path], cwd=ROOT)
            if done.returncode or not path.exists():
                failed.append(script.stem)
                continue
            records += [record | {"script": script.stem} for record in json.loads(path.read_text())]
    measures = [Measure(**{key: record[key] for key in FIELDS}) for record in records]  # type: ignore[arg-type]
    print("\n" + table(measures))
    (ROOT / "bench" / "results.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    if failed:
        sys.exit(f"these did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
