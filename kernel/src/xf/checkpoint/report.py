"""LoadReport: what became of every tensor of a checkpoint and of every parameter of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SHOWN = 12


@dataclass
class LoadReport:
    """The account of one load; `str(report)` reads as a text.

    Every tensor of the files is in exactly one of `used`, `unexpected`, `ignored`, `mismatched`; every parameter and
    persistent buffer of the model in exactly one of `used`, `tied`, `missing`, `newly_initialised`, `computed`.
    All names are the model's, but for `unexpected` and `ignored`, which only the files know.
    """

    model: str
    name: str
    format: str = ""
    files: tuple[str, ...] = ()
    dtype: str = ""
    used: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)  # {name in the file: name in the model}
    read_as: dict[str, str] = field(default_factory=dict)  # {unexpected name: as the rules and the base prefix make it}
    converted: dict[str, str] = field(default_factory=dict)  # {name in the model: dtypes "float16 -> float32"}
    tied: dict[str, str] = field(default_factory=dict)  # {tied name: the name it shares}
    missing: list[str] = field(default_factory=list)  # an error, unless the load raised none
    allowed: list[str] = field(
        default_factory=list
    )  # declared as optional by the model; keeps what the constructor computed
    newly_initialised: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)  # index buffers that the model derives from its config
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)  # known leftovers of published files
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)  # (name, file, model)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    digest: str = ""  # sha256 over name, dtype and shape of every tensor of the files

    @property
    def ok(self) -> bool:
        """Whether nothing had to be left out, made up or refused."""
        return not (self.errors or self.warnings or self.newly_initialised or self.unexpected or self.mismatched)

    def info(self) -> dict[str, Any]:
        """What output_loading_info=True returns."""
        mismatched = {name for name, _, _ in self.mismatched}
        missing = {*self.missing, *self.newly_initialised} - mismatched
        return {
            "missing_keys": sorted(missing | {name for name, source in self.tied.items() if source in missing}),
            "unexpected_keys": sorted(self.read_as.get(name, name) for name in self.unexpected),
            "mismatched_keys": sorted(mismatched),
            "error_msgs": list(self.errors),
        }

    def __str__(self) -> str:
        lines = [f"{self.model} from {self.name} ({self.format}, {len(self.files)} file(s)), {self.dtype}"]
        lines.append(f"  used: {len(self.used)} tensors, {len(self.renamed)} renamed, {len(self.converted)} converted")
        parts: list[tuple[str, list[str]]] = [
            ("tied", [f"{name} = {source}" for name, source in self.tied.items()]),
            ("missing", self.missing),
            ("newly initialised", self.newly_initialised),
            ("computed by the model", self.computed),
            ("unexpected, not used", self.unexpected),
            ("known leftovers, not used", self.ignored),
            ("wrong shape", [f"{name}: {file}, in the model {model}" for name, file, model in self.mismatched]),
            ("warnings", self.warnings),
            ("errors", self.errors),
        ]
        lines += [f"  {title}: {shorten(names)}" for title, names in parts if names]
        return "\n".join(lines)


def shorten(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more} ({len(names)})" if len(names) > 1 else ", ".join(names)
