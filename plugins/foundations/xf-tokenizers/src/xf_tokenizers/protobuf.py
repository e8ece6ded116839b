"""A reader for the wire format of protocol buffers: enough for SentencePiece's model files, without a dependency.

Source: the encoding page of the protocol buffers documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
#: Bytes of a varint of 64 bits.
_LONGEST_VARINT = 10


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in order: (number, value); values are whole numbers (varint, fixed) or bytes.

    Raises:
        ValueError: the data is cut off or no message.
    """
    view = memoryview(data)
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if kind == VARINT:
            value, at = _varint(view, at)
            yield number, value
        elif kind in (FIXED32, FIXED64, BYTES):
            size = {FIXED32: 4, FIXED64: 8}.get(kind)
            if size is None:
                size, at = _varint(view, at)
            if size > len(view) - at:
                raise ValueError(f"field {number} needs {size} bytes, {len(view) - at} are left")
            yield number, bytes(view[at : at + size])
            at += size
        else:
            raise ValueError(f"field {number} has the wire type {kind}")


def as_float(value: int | bytes) -> float:
    """A field of type float."""
    if not isinstance(value, bytes) or len(value) != 4:
        raise ValueError("a float of another length than 4 bytes")
    number: float = struct.unpack("<f", value)[0]
    return number


def as_int(value: int | bytes) -> int:
    """A field of type int32 or enum; negative numbers are stored as 64 bits."""
    if not isinstance(value, int):
        raise ValueError("bytes where a number is needed")
    return value - (1 << 64) if value >> 63 else value


def as_bytes(value: int | bytes) -> bytes:
    """A field of type string, bytes or message."""
    if not isinstance(value, bytes):
        raise ValueError("a number where bytes are needed")
    return value


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for i in range(_LONGEST_VARINT):
        if at + i >= len(view):
            raise ValueError("cut off inside a number")
        byte = view[at + i]
        result |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return result & ((1 << 64) - 1), at + i + 1
    raise ValueError("a number of more than 64 bits")
