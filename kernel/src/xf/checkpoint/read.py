"""Which weight files a checkpoint has, opened as one `TensorSource`."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xf import logging
from xf.checkpoint.atomic import plain_name
from xf.checkpoint.errors import CheckpointError
from xf.checkpoint.formats import TensorSource, find_plugin_format
from xf.checkpoint.safetensors_file import SafetensorsFile
from xf.checkpoint.source import Checkpoint

logger = logging.get_logger(__name__)

SAFE_NAME, BIN_NAME = "model.safetensors", "pytorch_model.bin"


class DictSource:
    """Tensors that are in memory already, as a TensorSource."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.metadata: Mapping[str, Any] = {}

    def names(self) -> Collection[str]:
        return self.tensors.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        return self.tensors[name].dtype

    def get(self, name: str) -> torch.Tensor:
        return self.tensors[name]


class ShardedSource:
    """Several files as one: `where` says which shard holds a tensor."""

    def __init__(self, shards: Mapping[str, TensorSource], weight_map: Mapping[str, str]) -> None:
        self.shards = shards
        self.metadata: Mapping[str, Any] = {}
        extra = {name: file for file, shard in shards.items() for name in shard.names() if name not in weight_map}
        self.where = {**weight_map, **extra}

    def names(self) -> Collection[str]:
        return self.where.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.shards[self.where[name]].shape(name)

    def dtype(self, name: str) -> torch.dtype:
        return self.shards[self.where[name]].dtype(name)

    def get(self, name: str) -> torch.Tensor:
        return self.shards[self.where[name]].get(name)


@dataclass(frozen=True)
class Weights:
    """Opened weights: the tensors, the format's name and the files they lie in."""

    source: TensorSource
    format: str
    files: tuple[Path, ...] = ()


def open_weights(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Weights:
    """Open the weights of `checkpoint`: one file, else the shards of an index.

    `options`: use_safetensors (True: nothing else, False: not them, None: they first), variant ("fp16" reads
    model.fp16.safetensors), sharded (True: an index only), gguf_file or another `<format>_file` (that format and file,
    from its plugin).

    Raises: CheckpointError that lists what is there; a plugin error that says what to install.
    """
    single = checkpoint.file if checkpoint.file and not checkpoint.file.endswith(".json") else None
    if single is None and not any(key.endswith("_file") and value for key, value in options.items()):
        variant, safe = options.get("variant"), options.get("use_safetensors")
        names = ([SAFE_NAME] if safe is not False else []) + ([BIN_NAME] if safe is not True else [])
        for name in names:
            single_file = None if options.get("sharded") else _open_single(checkpoint, name, variant)
            opened = single_file or _open_sharded(checkpoint, name, variant)
            if opened is not None:
                return opened
    elif single is not None and single.endswith((".safetensors", ".bin")):
        return _open_file(checkpoint.require(single))
    found = find_plugin_format(checkpoint, options)
    if found is not None:
        name, format, filename = found
        path = checkpoint.require(filename)
        return Weights(format.open(path), name, (path,))
    raise _no_weights(checkpoint, options)


def _with_variant(name: str, variant: str | None, index: bool) -> str:
    """model.safetensors -> model.fp16.safetensors; its index -> model.safetensors.index.fp16.json."""
    if variant is not None and not plain_name(variant):
        raise CheckpointError(f"variant={variant!r} is not a part of a file name")
    if index:
        return f"{name}.index.{variant}.json" if variant else f"{name}.index.json"
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{variant}.{suffix}" if variant else name


def _open_single(checkpoint: Checkpoint, name: str, variant: str | None) -> Weights | None:
    path = checkpoint.path(_with_variant(name, variant, index=False))
    return None if path is None else _open_file(path)


def _open_sharded(checkpoint: Checkpoint, name: str, variant: str | None) -> Weights | None:
    index_name = _with_variant(name, variant, index=True)
    index = checkpoint.read_json(index_name)
    if index is None:
        return None
    weight_map = index.get("weight_map")
    suffix = name[name.rindex(".") :]
    where = f"{index_name} of {checkpoint.name}"
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{where} has no weight_map of tensor names to files")
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or not plain_name(shard) or not shard.endswith(suffix):
            raise CheckpointError(f"{where} puts {tensor!r} into {shard!r}, which is no {suffix} file beside it")
    files = {shard: checkpoint.path(shard) for shard in sorted(set(weight_map.values()))}
    if absent := [shard for shard, path in files.items() if path is None]:
        raise CheckpointError(f"{where} names files that are not there: {absent}. {checkpoint.describe()}")
    opened = {shard: _open_file(path) for shard, path in files.items() if path is not None}
    shards = {shard: weights.source for shard, weights in opened.items()}
    lost = [tensor for tensor, shard in weight_map.items() if tensor not in shards[shard].names()]
    if lost:
        raise CheckpointError(f"{where} names tensors that their files do not hold: {lost[:10]} ({len(lost)} in all)")
    format = next(iter(opened.values())).format
    return Weights(ShardedSource(shards, weight_map), format, tuple(path for path in files.values() if path))


def _open_file(path: Path) -> Weights:
    if path.suffix == ".safetensors":
        return Weights(SafetensorsFile(path), "safetensors", (path,))
    return Weights(DictSource(read_pickle(path)), "pickle", (path,))


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .bin file, read by torch's restricted unpickler: nothing in the file is ever executed.

    Raises: CheckpointError for a file that asks for more than tensors and plain containers, or is damaged.
    """
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty")
    try:
        try:
            data = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # files from before torch 1.6 cannot be mapped
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused: it is a pickle that holds more than tensors, and reading it would run its code. "
            f"Ask its publisher for a safetensors file. ({str(error).splitlines()[0]})"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: it is damaged or no weight file ({error})") from None
    tensors = {str(k): v for k, v in data.items() if isinstance(v, torch.Tensor)} if isinstance(data, dict) else {}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors by name: it is no state dict")
    return tensors


def _no_weights(checkpoint: Checkpoint, options: Mapping[str, Any]) -> CheckpointError:
    variant, safe = options.get("variant"), options.get("use_safetensors")
    wanted = f"model{'.' + variant if variant else ''}.safetensors (or its index)"
    also = "" if safe is None else f" (use_safetensors={safe})"
    others = [name for name in checkpoint.list() if name.endswith((".h5", ".msgpack", ".ckpt.index", ".onnx"))]
    hint = f" {', '.join(others)}: weights of other frameworks are not read." if others else ""
    return CheckpointError(f"{checkpoint.name} has no weights: no {wanted}{also}.{hint} {checkpoint.describe()}")
