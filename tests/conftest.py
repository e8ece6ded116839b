"""Shared by the tests that cross distributions."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory):
    """The wheels of this repository, built as `make wheels` does."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, ROOT / "tools" / "build_wheels.py", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
