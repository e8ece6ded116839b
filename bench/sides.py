"""Programs measured side by side: each keeps its process, and their runs take turns, so that all meet the same load.

A side's code defines `run() -> object` (what is timed; its result must be JSON) and may print nothing else to stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

THREADS = os.environ.get("XF_BENCH_THREADS", "2")
_LOOP = """

import torch as _torch
_torch.set_num_threads(int(_THREADS))
import json as _json, sys as _sys, time as _time
_out, _sys.stdout = _sys.stdout, _sys.stderr
for _line in _sys.stdin:
    _cpu, _begin = _time.process_time(), _time.perf_counter()
    _result = run()
    _seconds = _time.perf_counter() - _begin
    print(_json.dumps([_seconds, _time.process_time() - _cpu, _result]), file=_out, flush=True)
"""


class Side:
    """A child process that runs its `run()` whenever it is asked to; with two threads and without a network.

    With XF_BENCH_THREADS=1 each side has one thread, and its processor time counts in place of the clock's: ratios on a
    machine that others use too, where the clock and threads that wait for each other say little.
    """

    def __init__(self, name: str, python: Path | str, code: str, *arguments: str) -> None:
        self.name, self.seconds = name, []  # type: tuple[str, list[float]]
        environment = os.environ | {"OMP_NUM_THREADS": THREADS, "HF_HUB_OFFLINE": "1", "XF_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [str(python), "-c", code + _LOOP.replace("_THREADS", repr(THREADS)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self) -> Any:
        """Run once; its result. The time is noted in `seconds`.

        Exits with what the program printed if it broke.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            assert self._process.stderr is not None
            sys.exit(f"{self.name} failed:\n{self._process.stderr.read()[-3000:]}")
        clock, processor, result = json.loads(answer)
        self.seconds.append(processor if THREADS == "1" else clock)
        return result

    @property
    def best(self) -> float:
        """The shortest run: what the program needs when nothing else wants the cores."""
        return min(self.seconds)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def take_turns(sides: Mapping[str, Side], rounds: int) -> dict[str, Any]:
    """One run of each that is not counted, then `rounds` of each in turn; the last result of each."""
    for side in sides.values():
        side.ask()
        side.seconds.clear()
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            results[name] = side.ask()
    for side in sides.values():
        side.close()
    return results
