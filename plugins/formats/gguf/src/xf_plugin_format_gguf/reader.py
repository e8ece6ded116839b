"""Read a GGUF file: its metadata, and where its tensors lie. Every count, length, offset and type is checked first.

Layout (github.com/ggml-org/ggml, docs/gguf.md): "GGUF", version, tensor count, metadata count; the metadata as
(key, type, value); the tensors as (name, dimensions, type, offset); padding to the alignment; the data.
Imports neither torch nor numpy: configuration and tokenizer are read without them.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .ggml_types import REMOVED, TYPES, GgmlType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32  # docs/gguf.md, general.alignment
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
MAX_KEY = 65535  # docs/gguf.md: keys are at most 2^16 - 1 bytes
MAX_DEPTH = 4  # of arrays in arrays; none of the documented keys nests at all
_SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8  # an empty name, one dimension
_SMALLEST_PAIR = 8 + 4 + 1

# Value types by number: struct format, None for those of variable size.
_SCALARS: dict[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_BOOL, _STRING, _ARRAY = 7, 8, 9


class GGUFError(ValueError):
    """The file is not a GGUF file, is damaged, or asks for something outside of itself."""


class TensorInfo(NamedTuple):
    """One tensor: shape in torch's order (slowest first); `start` is absolute in the file."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    start: int
    size: int


class GGUFArray:
    """An array of the metadata, decoded when it is first asked for: vocabularies are long and often not needed."""

    def __init__(self, count: int, decode: Callable[[], list[Any]]) -> None:
        self.count, self._decode = count, decode
        self._values: list[Any] | None = None

    def tolist(self) -> list[Any]:
        """The values; the same list each time."""
        if self._values is None:
            self._values = self._decode()
        return self._values

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        return self.tolist()[index]

    def __repr__(self) -> str:
        return f"GGUFArray({self.count} values)"


class GGUFFile:
    """An open GGUF file, memory-mapped copy-on-write: writing to a view of it never changes the file.

    Raises: GGUFError, which names the file, what is wrong, and where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self.size = file.seek(0, 2)
            if self.size < 24:
                raise GGUFError(f"{path} is {self.size} bytes long: it is no GGUF file or was cut off.")
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._at = 0
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        try:
            self._read_header()
        except struct.error:
            raise self._error("the file ends in the middle of its header: it was cut off") from None

    def _error(self, what: str) -> GGUFError:
        return GGUFError(f"{self.path}: {what} (at byte {self._at} of {self.size}).")

    # ---- the header

    def _read_header(self) -> None:
        if self.data[:4] != MAGIC:
            raise self._error(f"this is no GGUF file: it begins with {self.data[:4]!r}")
        self._at = 4
        self.version = self._number("<I")
        if self.version not in VERSIONS:
            swapped = int.from_bytes(self.version.to_bytes(4, "little"), "big")
            if swapped in VERSIONS:
                raise self._error("the file is big-endian; convert it with gguf's convert_endian")
            raise self._error(f"GGUF version {self.version} is not supported, only {VERSIONS}; convert the model anew")
        tensor_count, pair_count = self._number("<Q"), self._number("<Q")
        if tensor_count * _SMALLEST_TENSOR + pair_count * _SMALLEST_PAIR > self.size:
            raise self._error(f"it claims {tensor_count} tensors and {pair_count} keys, more than fit into the file")
        for _ in range(pair_count):
            key = self._name(MAX_KEY, "key")
            if key in self.metadata:
                raise self._error(f"the key {key!r} is there twice")
            self.metadata[key] = self._value(self._number("<I"), depth=0)
        alignment = self.metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise self._error(f"general.alignment is {alignment!r}; it must be a power of two from 8 up")
        found = [self._tensor_info(alignment) for _ in range(tensor_count)]
        self._place(found, -(-self._at // alignment) * alignment)

    def _number(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self.data, self._at)
        self._at += struct.calcsize(layout)
        return value

    def _length(self, what: str) -> int:
        length: int = self._number("<Q")
        if length > self.size - self._at:
            raise self._error(f"a {what} of {length} bytes reaches beyond the end of the file")
        return length

    def _name(self, limit: int, what: str) -> str:
        length = self._length(what)
        if not 0 < length <= limit:
            raise self._error(f"a {what} of {length} bytes; 1 to {limit} are allowed")
        return self._text(length, what)

    def _text(self, length: int, what: str) -> str:
        raw = self.data[self._at : self._at + length]
        self._at += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"a {what} is not UTF-8 ({error.reason})") from None

    # ---- metadata

    def _value(self, kind: int, depth: int) -> Any:
        if kind == _STRING:
            return self._text(self._length("text"), "text")
        if kind == _ARRAY:
            return self._array(depth + 1)
        if kind not in _SCALARS:
            raise self._error(f"{kind} is no type of a metadata value")
        value = self._number(_SCALARS[kind])
        if kind == _BOOL:
            if value > 1:
                raise self._error(f"{value} is no bool")
            return bool(value)
        return value

    def _array(self, depth: int) -> Any:
        kind, count = self._number("<I"), self._number("<Q")
        if depth > MAX_DEPTH:
            raise self._error(f"arrays are nested more than {MAX_DEPTH} deep")
        if kind in _SCALARS:
            width = struct.calcsize(_SCALARS[kind])
            if count * width > self.size - self._at:
                raise self._error(f"an array of {count} values reaches beyond the end of the file")
            start, self._at = self._at, self._at + count * width
            return GGUFArray(count, lambda: self._scalars(kind, count, start))
        if count * (8 if kind == _STRING else 12) > self.size - self._at:
            raise self._error(f"an array of {count} values reaches beyond the end of the file")
        if kind == _STRING:
            return self._strings(count)
        if kind == _ARRAY:
            return [self._array(depth + 1) for _ in range(count)]
        raise self._error(f"{kind} is no type of an array's values")

    def _scalars(self, kind: int, count: int, start: int) -> list[Any]:
        layout = _SCALARS[kind]
        values = list(struct.unpack_from(f"<{count}{layout[1]}", self.data, start))
        return [bool(v) for v in values] if kind == _BOOL else values

    def _strings(self, count: int) -> GGUFArray:
        """Walk over `count` texts, checking their lengths, and decode them later."""
        spans: list[tuple[int, int]] = []
        at, size, data, read = self._at, self.size, self.data, struct.Struct("<Q").unpack_from
        for _ in range(count):
            (length,) = read(data, at)
            at += 8
            if length > size - at:
                self._at = at
                raise self._error(f"a text of {length} bytes reaches beyond the end of the file")
            spans.append((at, at + length))
            at += length
        self._at = at

        def decode() -> list[Any]:
            try:
                return [data[a:b].decode("utf-8") for a, b in spans]
            except UnicodeDecodeError as error:
                raise GGUFError(f"{self.path}: a text in an array of {count} is not UTF-8 ({error.reason}).") from None

        return GGUFArray(count, decode)

    # ---- tensors

    def _tensor_info(self, alignment: int) -> TensorInfo:
        name = self._name(MAX_KEY, "tensor name")
        dimensions = self._number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self._error(f"tensor {name!r} has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are allowed")
        sizes = [self._number("<Q") for _ in range(dimensions)]  # fastest first
        number, offset = self._number("<I"), self._number("<Q")
        if number not in TYPES:
            old = (
                f"; {REMOVED[number]} was removed from the format, convert the model anew" if number in REMOVED else ""
            )
            raise self._error(f"tensor {name!r} has type {number}, which is not known{old}")
        kind = TYPES[number]
        if 0 in sizes or sizes[0] % kind.block:
            raise self._error(f"tensor {name!r} has sizes {sizes}; rows of {kind.name} are multiples of {kind.block}")
        elements = 1
        for size in sizes:
            elements *= size
        if offset % alignment:
            raise self._error(f"tensor {name!r} begins at {offset}, which is no multiple of the alignment {alignment}")
        return TensorInfo(name, tuple(reversed(sizes)), kind, offset, elements // kind.block * kind.size)

    def _place(self, found: list[TensorInfo], data_start: int) -> None:
        """Offsets to absolute positions; everything inside the file, nothing twice."""
        end, before = 0, "the header"
        for info in sorted(found, key=lambda t: t.start):
            if info.start < end:
                raise self._error(f"tensors {before!r} and {info.name!r} overlap")
            end, before = info.start + info.size, info.name
            if data_start + end > self.size:
                missing = data_start + end - self.size
                raise self._error(f"tensor {info.name!r} reaches {missing} bytes beyond the end: the file was cut off")
        for info in found:
            if info.name in self.tensors:
                raise self._error(f"the tensor {info.name!r} is there twice")
            self.tensors[info.name] = info._replace(start=data_start + info.start)


_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def open_parts(path: Path) -> list[GGUFFile]:
    """The file at `path` and, if it is the first of a model split into parts, the other parts from the same folder.

    Raises: GGUFError when a part is missing or does not belong to the rest.
    """
    first = GGUFFile(path)
    count = first.metadata.get("split.count", 1)
    if not isinstance(count, int) or count < 2:
        return [first]
    match = _PART.fullmatch(path.name)
    if match is None or int(match[3]) != count or int(match[2]) != 1:
        raise GGUFError(f"{path} is one of {count} parts; give the first one, named ...-00001-of-{count:05d}.gguf.")
    parts = [first]
    for number in range(2, count + 1):
        other = path.with_name(f"{match[1]}-{number:05d}-of-{count:05d}.gguf")
        if not other.is_file():
            raise GGUFError(f"{path} is the first of {count} parts, and {other.name} is not beside it.")
        parts.append(GGUFFile(other))
    names = [name for part in parts for name in part.tensors]
    expected = first.metadata.get("split.tensors.count", len(names))
    if len(set(names)) != len(names) or len(names) != expected:
        raise GGUFError(f"the {count} parts of {path} hold {len(names)} tensors, {expected} are expected, each once.")
    return parts


def metadata_of(parts: list[GGUFFile]) -> Mapping[str, Any]:
    """The metadata of a model: that of its first part."""
    return parts[0].metadata
