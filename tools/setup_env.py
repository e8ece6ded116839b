"""Make the environment of `make`: .venv with torch, the tools and this repository's distributions, editable.

    python3 tools/setup_env.py                   # everything (make setup)
    python3 tools/setup_env.py xf-plugin-bert    # only this distribution and what it needs (make demo)

Runs on the Python of the system with nothing but the standard library and pip. A second run compares hashes and does
nothing. An existing .venv is adopted: only what is missing or has changed is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from packages import ROOT, Package, closure, packages, requirement_name

TORCH = "torch==2.13.0"  # first release with every operator we call; CI and the reference run it too
BUILD_REQUIREMENTS = ROOT / "tools" / "requirements-build.txt"
DEV_REQUIREMENTS = ROOT / "tools" / "requirements-dev.txt"
NO_DISTRIBUTION = {"torch", BUILD_REQUIREMENTS.stem, DEV_REQUIREMENTS.stem}  # what else the state keeps


def run(command: list[str | Path], **options: object) -> None:
    print("+", shlex.join(str(c) for c in command[:8]) + (" ..." if len(command) > 8 else ""), flush=True)
    result = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, cwd=ROOT, **options)  # type: ignore[call-overload]
    if result.returncode:
        sys.exit(f"error: the command above failed with code {result.returncode}; the environment is not complete")


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def works(python: Path, statement: str) -> bool:
    return python.exists() and subprocess.run([python, "-c", statement], capture_output=True).returncode == 0


def make_venv(venv: Path) -> Path:
    """A virtual environment with pip. Debian ships venv without ensurepip, so pip comes from the system's pip."""
    python = python_of(venv)
    if not works(python, "import sys"):
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv])
    if not works(python, "import pip"):
        run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pip"])
    return python


def install_torch(python: Path) -> None:
    """Torch before everything else and with pip, whose settings (index, find-links) choose the CPU build.

    PIP_TORCH_ARGS adds arguments, e.g. --index-url and the address of a CPU wheel index.
    """
    want = TORCH.split("==")[1]
    if works(python, f"import importlib.metadata as m; assert m.version('torch').split('+')[0] == {want!r}"):
        return
    extra = shlex.split(os.environ.get("PIP_TORCH_ARGS", ""))
    run([python, "-m", "pip", "install", "--quiet", *extra, TORCH])


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in paths)).hexdigest()


def read_state(path: Path) -> dict[str, str]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(path: Path, state: dict[str, str]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")
    temporary.replace(path)


def is_installed(python: Path, names: list[str]) -> set[str]:
    code = (
        "import importlib.metadata as m, json, sys, re\n"
        "have = {re.sub('[-_.]+', '-', d.name).lower() for d in m.distributions()}\n"
        "print(json.dumps(sorted(have & set(json.loads(sys.argv[1])))))"
    )
    done = subprocess.run([python, "-c", code, json.dumps(names)], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def install_editable(python: Path, wanted: list[Package], everything: bool) -> None:
    """All of them in one resolution; the build backend is there already, so nothing is built in isolation.

    everything: with all extras and what their tests need; else what they require and no more.
    """
    arguments: list[str | Path] = []
    own = {p.name for p in packages(meta=True)}
    for package in wanted:
        extras = f"[{','.join(package.extras)}]" if everything and package.extras and package.kind != "meta" else ""
        arguments += ["-e", f"{package.folder}{extras}"]
        if everything:
            arguments += [r for r in package.tests if requirement_name(r) not in own]
    uv = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    run([*uv, "--no-sources", "--no-build-isolation", "--overrides", write_override(python), *arguments])


def is_current(installed: str | None, wanted: str) -> bool:
    """Whether what is installed is what is wanted, or that and its extras."""
    return installed is not None and installed.removesuffix(" and extras") == wanted or installed == wanted


def write_override(python: Path) -> Path:
    """Keep the torch that is installed, of which a resolver may prefer another build, and keep the reference out.

    hqq asks for transformers and needs it for its model loading alone; what is compared with must not be in the
    environment of what is tested.
    """
    path = python.parent.parent / "overrides.txt"
    path.write_text(f"{TORCH}\ntransformers; sys_platform == 'nowhere'\n", encoding="utf-8")
    return path


def remove_gone(python: Path, state: dict[str, str]) -> None:
    """Distributions that were installed from here and whose folder is gone."""
    gone = sorted(set(state) - {p.name for p in packages(meta=True)} - NO_DISTRIBUTION)
    if gone:
        run([python, "-m", "uv", "pip", "uninstall", "--quiet", "--python", python, *gone])
        for name in gone:
            del state[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="distributions to install with what they need; default: all")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    options = parser.parse_args()
    if sys.version_info < (3, 11):
        sys.exit(f"error: the tools need Python 3.11, this is {sys.version.split()[0]}; say make PYTHON=python3.11")

    wanted = closure(options.names) if options.names else packages(meta=True)
    everything = not options.names
    hashes = {p.name: digest(p.folder / "pyproject.toml") for p in wanted}
    if everything:  # what a demo installed lacks the extras
        hashes = {name: f"{value} and extras" for name, value in hashes.items()}
    tools = DEV_REQUIREMENTS if everything else BUILD_REQUIREMENTS
    hashes |= {"torch": TORCH, tools.stem: digest(BUILD_REQUIREMENTS, DEV_REQUIREMENTS)}
    state_path = options.venv / "xf-setup.json"
    state = read_state(state_path)
    python = python_of(options.venv)
    current = python.exists() and all(is_current(state.get(k), v) for k, v in hashes.items())
    if current and not (everything and set(state) - set(hashes) - NO_DISTRIBUTION):
        return

    python = make_venv(options.venv)
    install_torch(python)
    if state.get(tools.stem) != hashes[tools.stem]:
        run([python, "-m", "pip", "install", "--quiet", "-r", tools])
    if everything:
        remove_gone(python, state)
    present = is_installed(python, [p.name for p in wanted])
    changed = [p for p in wanted if not is_current(state.get(p.name), hashes[p.name]) or p.name not in present]
    if changed:
        install_editable(python, changed, everything)
    write_state(state_path, state | {k: v for k, v in hashes.items() if not is_current(state.get(k), v)})
    print(f"{options.venv.name}: {len(wanted)} distributions ready ({len(changed)} installed now)")


if __name__ == "__main__":
    main()
