"""load_sharded_checkpoint: the shards of a folder into any module (spec: main_classes/model.md)."""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from xf.checkpoint.errors import CheckpointError, LoadError
from xf.checkpoint.read import BIN_NAME, SAFE_NAME, Weights, open_weights
from xf.checkpoint.source import resolve


def load_sharded_checkpoint(
    model: nn.Module, folder: str | os.PathLike[str], strict: bool = True, prefer_safe: bool = True
) -> Any:
    """Copy the tensors of a sharded checkpoint (model.safetensors.index.json or pytorch_model.bin.index.json) into
    `model`; names must be those of its state dict.

    prefer_safe: safetensors shards before .bin shards where both are there. Returns what `nn.Module.load_state_dict`
    returns: missing_keys and unexpected_keys.

    Raises: LoadError with strict=True if names do not match; CheckpointError if there is no index or it is broken.
    """
    checkpoint = resolve(os.fspath(folder))
    names = [SAFE_NAME, BIN_NAME] if prefer_safe else [BIN_NAME, SAFE_NAME]
    found = next((name for name in names if checkpoint.path(f"{name}.index.json")), None)
    if found is None:
        raise CheckpointError(f"{folder} has no index ({SAFE_NAME}.index.json). {checkpoint.describe()}")
    weights: Weights = open_weights(checkpoint, {"use_safetensors": found == SAFE_NAME, "sharded": True})
    tensors = {name: weights.source.get(name) for name in weights.source.names()}
    result = model.load_state_dict(tensors, strict=False)
    if strict and (result.missing_keys or result.unexpected_keys):
        raise LoadError(
            f"{type(model).__name__} and the files of {folder} differ: "
            f"missing {result.missing_keys}, unexpected {result.unexpected_keys}"
        )
    return result
