"""Checkpoints: source -> plan -> read -> place -> report; and save.

`resolve` and `Checkpoint` need no torch; the key rules, `xf.checkpoint.load` and `xf.checkpoint.save` do, and are
imported when they are asked for.
"""

from typing import TYPE_CHECKING, Any

from xf.checkpoint.errors import CheckpointError, LoadError
from xf.checkpoint.formats import CheckpointFormat, TensorSource
from xf.checkpoint.report import LoadReport
from xf.checkpoint.source import Checkpoint, resolve

if TYPE_CHECKING:
    from xf.checkpoint.rules import KeyRule, TensorRule, merge_rule, split_rule, stack_rule, transpose_rule

_RULES = ("KeyRule", "TensorRule", "merge_rule", "split_rule", "stack_rule", "transpose_rule")

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointFormat",
    "KeyRule",
    "LoadError",
    "LoadReport",
    "TensorRule",
    "TensorSource",
    "merge_rule",
    "resolve",
    "split_rule",
    "stack_rule",
    "transpose_rule",
]


def __getattr__(name: str) -> Any:
    if name not in _RULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    from xf.checkpoint import rules

    return getattr(rules, name)
