"""The tensors of a GGUF file under the names and in the layout of the family's published checkpoints.

Shapes: R rows (outputs), C columns (inputs), H heads, D head width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .architectures import Architecture
from .configuration import architecture_of
from .reader import GGUFError, GGUFFile, TensorInfo

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Tensors that are part of the configuration.
_CONSUMED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
# Falcon with two norms in front of its parts names them by what follows.
_FALCON_TWO_NORMS = {
    "blk.{n}.attn_norm": "transformer.h.{n}.ln_mlp",
    "blk.{n}.attn_norm_2": "transformer.h.{n}.ln_attn",
}


class Place(NamedTuple):
    """Where a tensor of the checkpoint lies: in which file and tensor, stored how, and which slice of it."""

    file: GGUFFile
    info: TensorInfo
    stored_as: str | None
    index: int | None  # along the first dimension: an expert


class GGUFTensors:
    """A `TensorSource`: names and shapes without torch, values dequantized when asked for."""

    def __init__(self, parts: list[GGUFFile]) -> None:
        self.parts, self.metadata = parts, parts[0].metadata
        self.architecture = architecture_of(parts[0])
        self.infos = {name: info for part in parts for name, info in part.tensors.items()}
        self._heads = self._head_counts()
        self._places: dict[str, Place] = {}
        for part in parts:
            for info in part.tensors.values():
                self._add(part, info)

    def _head_counts(self) -> tuple[int, int]:
        prefix = self.metadata["general.architecture"]
        heads = self.metadata.get(f"{prefix}.attention.head_count", 1)
        groups = self.metadata.get(f"{prefix}.attention.head_count_kv", heads)
        return tuple(h if isinstance(h, int) else h[0] for h in (heads, groups))  # type: ignore[return-value]

    def _add(self, part: GGUFFile, info: TensorInfo) -> None:
        if info.name in _CONSUMED:
            return
        target, stored_as = target_of(info.name, self.architecture, self.infos)
        if stored_as == "experts":
            suffix = info.name.rpartition(".")[2]
            for e in range(info.shape[0]):
                name = target.removesuffix(f".{suffix}").replace("{e}", str(e)) + f".{suffix}"
                self._put(name, Place(part, info, None, e))
        else:
            self._put(target, Place(part, info, stored_as, None))

    def _put(self, name: str, place: Place) -> None:
        if name in self._places:
            raise GGUFError(f"{place.file.path}: {place.info.name} and {self._places[name].info.name} are both {name}.")
        self._places[name] = place

    # ---- the protocol

    def names(self) -> list[str]:
        """All tensor names; a tensor that the architecture does not have keeps its gguf name."""
        return list(self._places)

    def _place(self, name: str) -> Place:
        return self._places[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape `get` returns, without reading."""
        place = self._place(name)
        shape = place.info.shape if place.index is None else place.info.shape[1:]
        return shape[::-1] if place.stored_as == "transposed" else shape

    def dtype(self, name: str) -> torch.dtype:
        """The stored dtype, float32 for quantized tensors."""
        from .dequantize import dtype_of

        return dtype_of(self._place(name).info.type)

    def get(self, name: str) -> Tensor:
        """The tensor in the layout of the family's checkpoints; a view of the file where it is stored so."""
        import torch

        from .dequantize import dequantize

        place = self._place(name)
        info, start, shape = place.info, place.info.start, place.info.shape
        size = info.size
        if place.index is not None:
            size //= shape[0]
            start, shape = start + place.index * size, shape[1:]
        raw = torch.frombuffer(place.file.data, dtype=torch.uint8, count=size, offset=start)
        values = dequantize(raw, info.type, shape)
        if place.stored_as is None:
            return values
        return _RESTORE[place.stored_as](values, *self._heads)


_LAYER = re.compile(r"blk\.([0-9]{1,5})\.")


def target_of(name: str, architecture: Architecture, infos: Any) -> tuple[str, str | None]:
    """(name in the checkpoint, how it is stored) of a gguf tensor; its own name where the architecture lacks it."""
    stem, _, suffix = name.rpartition(".")
    layer = _LAYER.match(stem)
    pattern = f"blk.{{n}}.{stem[layer.end() :]}" if layer else stem
    tensors = architecture.tensors
    if architecture.model_type == "falcon" and "blk.0.attn_norm_2.weight" in infos:
        tensors = {**tensors, **_FALCON_TWO_NORMS}
    if suffix not in ("weight", "bias") or pattern not in tensors:
        return name, None
    target = tensors[pattern].replace("{n}", layer[1] if layer else "")
    stored_as = architecture.stored_as.get(stem.rpartition(".")[2])
    if stored_as == "transposed" and suffix == "bias":
        stored_as = None
    return f"{target}.{suffix}", stored_as


# ---- undoing what the conversion did; each takes the tensor, the query heads H and the key-value heads


def _deinterleave(x_RC: Tensor, heads: int) -> Tensor:
    """Rows of each head from rotary pairs side by side to the first elements of all pairs, then the second."""
    half = x_RC.shape[0] // heads // 2
    return x_RC.reshape(heads, half, 2, *x_RC.shape[1:]).transpose(1, 2).reshape(x_RC.shape)


def _bloom_qkv(x_RC: Tensor, heads: int, groups: int) -> Tensor:
    """From all queries, all keys, all values to query, key and value of each head."""
    width = x_RC.shape[0] // heads // 3
    return x_RC.reshape(3, heads, width, *x_RC.shape[1:]).transpose(0, 1).reshape(x_RC.shape)


def _falcon_qkv(x_RC: Tensor, heads: int, groups: int) -> Tensor:
    """From all queries, all keys, all values to the queries of a group, its key and its value."""
    import torch

    width = x_RC.shape[0] // (heads + 2 * groups)
    rest = x_RC.shape[1:]
    q, k, v = x_RC.split([heads * width, groups * width, groups * width])
    parts = [
        q.reshape(groups, -1, width, *rest),
        k.reshape(groups, 1, width, *rest),
        v.reshape(groups, 1, width, *rest),
    ]
    return torch.cat(parts, dim=1).reshape(x_RC.shape)


_RESTORE: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "interleaved_q": lambda x, heads, groups: _deinterleave(x, heads),
    "interleaved_k": lambda x, heads, groups: _deinterleave(x, groups),
    "plus_one": lambda x, heads, groups: x - 1,
    "transposed": lambda x, heads, groups: x.t(),
    "bloom_qkv": _bloom_qkv,
    "falcon_qkv": _falcon_qkv,
}
