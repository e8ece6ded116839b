"""Checkpoints: source -> plan -> read -> place -> report; and save.

`resolve` and `Checkpoint` need no torch; `xf.checkpoint.load` and `xf.checkpoint.save` do.
"""

from xf.checkpoint.errors import CheckpointError
from xf.checkpoint.formats import CheckpointFormat, TensorSource
from xf.checkpoint.source import Checkpoint, resolve

__all__ = ["Checkpoint", "CheckpointError", "CheckpointFormat", "TensorSource", "resolve"]
