"""Every distribution by itself: its wheel, what it requires and what its tests require, in an environment of its own.

    python tools/test_alone.py                       all of them
    python tools/test_alone.py xf-plugin-bert ...    these
    python tools/test_alone.py --since main~3        those that changed since a commit, and all that need them

Third-party packages come from the environment that runs this; of this repository nothing is there but the wheels that
the distribution's own metadata asks for. So a plugin that relies on one that it does not declare fails here.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from xf_testing.environments import FreshEnvironment

sys.path.insert(0, str(Path(__file__).resolve().parent))
from build_wheels import build
from packages import ROOT, Package, packages, requirement_name

PYTEST = ("-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-m", "not real and not reference")


def dependants(changed: set[str], tree: list[Package]) -> set[str]:
    """The changed distributions and all of this repository that need one of them, also only in their tests."""
    found = set(changed)
    while True:
        needs = lambda p: {requirement_name(r) for r in (*p.requires, *p.optional, *p.tests)}  # noqa: E731
        grown = found | {p.name for p in tree if needs(p) & found}
        if grown == found:
            return found
        found = grown


def changed_since(commit: str, tree: list[Package]) -> set[str]:
    """The distributions with a file that differs between `commit` and the work tree."""
    command = ["git", "diff", "--name-only", commit]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        sys.exit(f"git does not know {commit!r}: {listed.stderr.strip()}")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return {p.name for p in tree if any(path.is_relative_to(p.folder) for path in paths)}


def test(package: Package, wheelhouse: Path, folder: Path) -> str | None:
    """None when its tests pass, else what was printed."""
    environment = FreshEnvironment(folder / "environment")
    try:
        environment.install(package.name, *package.tests, wheelhouse=wheelhouse)
    except RuntimeError as error:
        return str(error)
    shutil.copytree(package.folder / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n    real: needs real checkpoints\n    reference: runs the reference\n", encoding="utf-8"
    )
    done = environment.run(*PYTEST, folder / "tests", cwd=folder, timeout=1800)
    print(f"{package.name:<44} {(done.stdout.strip().splitlines() or ['nothing printed'])[-1]}", flush=True)
    return None if done.returncode == 0 else done.stdout[-6000:] + done.stderr[-2000:]


def main() -> None:
    """Test what the command line names; the exit code is 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--since", metavar="COMMIT")
    options = parser.parse_args()
    tree = packages()
    known = {p.name for p in tree}
    if unknown := set(options.names) - known:
        sys.exit(f"not in this repository: {', '.join(sorted(unknown))}")
    wanted = set(options.names) or known
    if options.since:
        wanted = dependants(changed_since(options.since, tree), tree)
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for package in tree:
            build(package, Path(scratch) / "wheels")
        for package in tree:
            if package.name in wanted:
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    words = test(package, Path(scratch) / "wheels", Path(folder))
                if words:
                    failed[package.name] = words
    for name, words in failed.items():
        print(f"\n== {name}\n{words}")
    print(f"{len(wanted) - len(failed)} of {len(wanted)} distributions pass their tests alone")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
