"""Reading .safetensors: the header is checked as a whole before anything is used, the data is mapped, not read.

Format: https://github.com/huggingface/safetensors (README, "Format"): 8 bytes little-endian length N, N bytes of JSON
{name: {dtype, shape, data_offsets}, "__metadata__": {str: str}}, then the data; offsets count from its start, cover it
without holes and do not overlap.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch

from xf.checkpoint.errors import CheckpointError

#: the limit that the format's own library sets
MAX_HEADER = 100_000_000

_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip
#: what this torch has of them
DTYPES: dict[str, torch.dtype] = {code: getattr(torch, name) for code, name in _NAMES.items() if hasattr(torch, name)}


class Entry(NamedTuple):
    """One tensor of the header; `start` counts from the beginning of the data."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(path: Path) -> tuple[dict[str, Entry], dict[str, str], int]:
    """(tensors by name, metadata, where the data begins) of a checked file.

    Raises: CheckpointError that names the file, the tensor and what is wrong.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > MAX_HEADER or 8 + length > size:
            raise _damaged(path, f"it has {size} bytes and a header of {length}: it is truncated or of another kind")
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not valid JSON ({error})") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, "its __metadata__ is not an object of strings")
    entries = {name: _entry(path, name, value) for name, value in header.items()}
    _check_layout(path, entries, size - 8 - length)
    return entries, metadata, 8 + length


class SafetensorsFile:
    """A mapped safetensors file: tensors are views of the file's pages, copied only where they are written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, metadata, self._begin = read_header(path)
        self.metadata: Mapping[str, Any] = metadata
        self._bytes: torch.Tensor | None = None

    def names(self) -> Collection[str]:
        return self.entries.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.entries[name].shape

    def dtype(self, name: str) -> torch.dtype:
        return self.entries[name].dtype

    def get(self, name: str) -> torch.Tensor:
        entry = self.entries[name]
        if entry.start == entry.stop:
            return torch.empty(entry.shape, dtype=entry.dtype, device="cpu")
        if self._bytes is None:
            size = self.path.stat().st_size
            storage: Any = torch.UntypedStorage.from_file(str(self.path), False, size)
            self._bytes = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage)
        data = self._bytes[self._begin + entry.start : self._begin + entry.stop]
        if data.storage_offset() % entry.dtype.itemsize:  # a header of odd length: torch views need alignment
            data = data.clone()
        return data.view(entry.dtype).view(entry.shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _entry(path: Path, name: str, value: Any) -> Entry:
    if not isinstance(value, Mapping) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"tensor {name!r} has no dtype, shape and data_offsets")
    dtype, shape, offsets = DTYPES.get(str(value["dtype"])), value["shape"], value["data_offsets"]
    if dtype is None:
        raise _damaged(path, f"tensor {name!r} has the dtype {value['dtype']!r}; known are {', '.join(DTYPES)}")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _damaged(path, f"tensor {name!r} has shape {shape!r} and offsets {offsets!r}")
    if offsets[1] - offsets[0] != prod(shape) * dtype.itemsize:
        raise _damaged(path, f"tensor {name!r} ({value['dtype']} {shape}) does not fill its offsets {offsets}")
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_layout(path: Path, entries: dict[str, Entry], size: int) -> None:
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != end:
            what = "overlaps the tensor before it" if entry.start < end else "leaves a hole before it"
            raise _damaged(path, f"tensor {name!r} at {entry.start} {what} (which ends at {end})")
        end = entry.stop
    if end != size:
        raise _damaged(path, f"its tensors need {end} bytes of data, {size} are there: the download is not complete")


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read: {what}. Nothing was loaded; fetch the file again.")
