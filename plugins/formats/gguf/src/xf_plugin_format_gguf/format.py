"""The `gguf` checkpoint format: finds a .gguf file, and reads weights, configuration and tokenizer from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .configuration import configuration
from .mapping import GGUFTensors
from .reader import open_parts

if TYPE_CHECKING:
    from xf.checkpoint.source import Checkpoint

_OTHER_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")


class GGUFFormat:
    """See `xf.checkpoint.formats.CheckpointFormat`."""

    def detects(self, checkpoint: Checkpoint, options: Mapping[str, Any]) -> str | None:
        """The file that `gguf_file` names, or the only .gguf file of a checkpoint without other weights.

        Raises: ValueError when there are several and none was named.
        """
        named = options.get("gguf_file")
        if named:
            return str(named)
        if checkpoint.file is not None:
            return checkpoint.file if checkpoint.file.endswith(".gguf") else None
        names = checkpoint.list()
        found = [n for n in names if n.endswith(".gguf") and "/" not in n and not _is_later_part(n)]
        if not found or any(n.endswith(_OTHER_WEIGHTS) for n in names if "/" not in n):
            return None
        if len(found) > 1:
            raise ValueError(f"{checkpoint.name} holds several models: {', '.join(found)}. Choose one with gguf_file=.")
        return found[0]

    def open(self, path: Path) -> GGUFTensors:
        """Open and check a file, with all its parts."""
        return GGUFTensors(open_parts(path))

    def config(self, source: GGUFTensors) -> dict[str, Any]:
        """What config.json would hold."""
        return configuration(source.parts[0], source.infos)

    def tokenizer(self, source: GGUFTensors) -> dict[str, Any]:
        """Arguments of PreTrainedTokenizerFast."""
        from .tokenization import tokenizer_arguments

        return tokenizer_arguments(source.metadata, str(source.parts[0].path))


def _is_later_part(name: str) -> bool:
    """Whether it is part two or later of a model in parts: ...-00002-of-00003.gguf."""
    end = name[-len("-00002-of-00003.gguf") :]
    return len(end) == 20 and end[0] == "-" and end[6:10] == "-of-" and end[1:6].isdigit() and end[1:6] != "00001"
