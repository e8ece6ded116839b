"""CompileConfig: how `generate` compiles the decoding step of a cache with fixed shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class CompileConfig:
    """Arguments of `torch.compile` (see its documentation) for the decoding step.

    Used by `generate(cache_implementation="static", compile_config=CompileConfig())`; calling it gives those arguments.
    """

    fullgraph: bool = True
    dynamic: bool | None = None
    backend: str | Callable[..., Any] = "inductor"
    mode: str = "reduce-overhead"
    options: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        """The keyword arguments for `torch.compile`."""
        return {key: value for key, value in self.to_dict().items() if key != "options" or value is not None}

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)
