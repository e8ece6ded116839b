"""What every command of `xf` must do. Each is called as `xf NAME ...` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

from .base import Conformance


class CommandConformance(Conformance):
    """Subclass and set `name` (of the entry point); `arguments` that make it do something small and succeed."""

    contract: ClassVar[str] = "command"
    name: ClassVar[str] = ""
    arguments: ClassVar[tuple[str, ...]] = ("--help",)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xf.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)

    def test_it_is_listed(self) -> None:
        assert self.name in self.run("--help").stdout

    def test_it_explains_itself(self) -> None:
        done = self.run(self.name, "--help")
        assert done.returncode == 0 and done.stdout.strip(), done.stderr

    def test_it_works(self) -> None:
        done = self.run(self.name, *self.arguments)
        assert done.returncode == 0, done.stderr

    def test_an_unknown_option_is_refused(self) -> None:
        done = self.run(self.name, *(a for a in self.arguments if a != "--help"), "--no-such-option-anywhere")
        assert done.returncode != 0 and "no-such-option-anywhere" in done.stdout + done.stderr
