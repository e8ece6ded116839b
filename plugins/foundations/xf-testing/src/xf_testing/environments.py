"""Fresh environments that start in a second: third-party packages are shared, everything of xf comes from wheels.

What a test installs there is all that is there of xf: a plugin that relies on a package it does not require fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_OURS = re.compile(r"(?i)(xf([_-].*)?|__editable__.*|_editable_impl_.*|_xf.*|.*\.pth|__pycache__)")


class FreshEnvironment:
    """A virtual environment in `folder` with links to the third-party packages of this one, without xf and plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = folder / "lib" / version / "site-packages"
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if _OURS.fullmatch(entry.name):
                continue
            if entry.suffix == ".dist-info":  # installers do not follow links to metadata
                shutil.copytree(entry, self.site / entry.name)
            else:
                (self.site / entry.name).symlink_to(entry)

    def install(self, *wheels: str | Path, wheelhouse: Path) -> None:
        """Install distributions (names or wheel files) with what they require, from `wheelhouse` and what is there.

        Raises: RuntimeError with the installer's words when something is missing.
        """
        command = ["uv", "pip", "install", "--no-index", "--find-links", wheelhouse, "--python", self.python, *wheels]
        done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{', '.join(map(str, wheels))} cannot be installed alone:\n{done.stderr}")

    def run(
        self, *arguments: str | Path, cwd: Path | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python; nothing of this environment's variables reaches it."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"OMP_NUM_THREADS": "1", "XF_CACHE": str(self.folder / "cache")}
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def distributions(self, names: Iterable[str] = ("xf",)) -> set[str]:
        """The installed distributions whose names begin with one of `names`."""
        code = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"
        import json

        found = json.loads(self.run("-c", code).stdout)
        return {n for n in found if n.startswith(tuple(names))}
