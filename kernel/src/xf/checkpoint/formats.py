"""The contract of a weight file format, and the choice among the formats at hand.

A plugin adds a format with one entry point::

    [project.entry-points."xf.v1.checkpoint_format"]
    gguf = "xf_plugin_format_gguf.format:GGUFFormat"

The target is a class without constructor arguments (or an instance) that satisfies `CheckpointFormat`.
This module does not import torch: a tokenizer path may ask a format for its tokenizer without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from xf.checkpoint.source import Checkpoint


@runtime_checkable
class TensorSource(Protocol):
    """Named tensors of one opened checkpoint; nothing is read before it is asked for.

    `names`, `shape` and `metadata` must not read tensor data, and opening must not import torch.
    """

    #: free key/value data of the file, as the format stores it
    metadata: Mapping[str, Any]

    def names(self) -> Collection[str]:
        """All tensor names, in the spelling of the model family's own checkpoints (``model.layers.0...``)."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape `get` will return, in torch's order. KeyError for an unknown name."""

    def dtype(self, name: str) -> torch.dtype:
        """The dtype `get` will return; for a block-quantized type the dtype it dequantizes to."""

    def get(self, name: str) -> torch.Tensor:
        """The tensor on the CPU: a view of the mapped file where the format allows it, else freshly computed.

        Each call may compute anew; the caller keeps what it needs. Views are copy-on-write: writing to one never
        changes the file.
        """


@runtime_checkable
class CheckpointFormat(Protocol):
    """How to recognise and open one kind of weight file.

    Two optional methods are used where they exist:

    * ``config(source) -> dict``: the model's configuration as config.json would hold it (with ``model_type``), for
      formats that carry it;
    * ``tokenizer(source) -> dict``: keyword arguments of `PreTrainedTokenizerFast` (``tokenizer_object``,
      ``bos_token``, ``chat_template``, ...), with an optional ``tokenizer_class`` name.
    """

    def detects(self, checkpoint: Checkpoint, options: Mapping[str, Any]) -> str | None:
        """The file name inside `checkpoint` that this format would open, or None.

        `options` holds the loading arguments that concern formats: ``gguf_file``, ``use_safetensors``, ``variant``,
        and any ``<format>_file`` of a plugin. Must be cheap: look at names, open nothing.
        """

    def open(self, path: Path) -> TensorSource:
        """Open the file that `detects` named; ValueError with the file's name when it is malformed."""


def plugin_formats(options: Mapping[str, Any]) -> list[tuple[str, CheckpointFormat]]:
    """The installed formats beside the kernel's own, as (name, format), in name order.

    When `options` names a file for one format (``gguf_file="x.gguf"``), only that format is imported, and a missing
    plugin is the error of the registry: it says what to install.
    """
    from xf.plugins import registry

    formats = registry("checkpoint_format")
    asked = sorted(key[: -len("_file")] for key, value in options.items() if key.endswith("_file") and value)
    names = asked or [record.name for record in formats.records() if record.status == "ok"]
    found: list[tuple[str, CheckpointFormat]] = []
    for name in names:
        target: Any = formats.get(name)
        found.append((name, target() if isinstance(target, type) else target))
    return found


def find_plugin_format(checkpoint: Checkpoint, options: Mapping[str, Any]) -> tuple[str, CheckpointFormat, str] | None:
    """The first installed format that detects a file of its own in `checkpoint`: (format name, format, file name)."""
    for name, candidate in plugin_formats(options):
        filename = candidate.detects(checkpoint, options)
        if filename is not None:
            return name, candidate, filename
    return None
