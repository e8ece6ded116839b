"""The encodings of one call as columns of numbers, padded, as lists or as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Encoding

from .lengths import multiple


class Columns:
    """The fields of encodings as padded rows: lists, or arrays where they are asked for and rows are of one length."""

    def __init__(self, rows: list[Encoding], side: str, arrays: bool) -> None:
        self.rows, self.side = rows, side
        self.lengths = [len(row) for row in rows]
        self.width = max(self.lengths, default=0)
        self.padded = False
        self._arrays = arrays
        self._tokens: Any = None

    def pad(self, length: int | None, of: int | None) -> None:
        """Pad to `length` (longer rows stay as they are), or to the longest row."""
        wanted = multiple(self.width if length is None else length, of)
        self._arrays = self._arrays and wanted >= self.width
        self.padded, self.width = True, wanted

    def _shape(self) -> tuple[int, int] | None:
        """The shape of the array, None if there is to be none or the rows cannot be one."""
        same = self.padded or min(self.lengths, default=0) == self.width
        return (len(self.rows), self.width) if self._arrays and same else None

    def _mask(self) -> Any:
        """Where there are tokens, [rows, width] of bool."""
        if self._tokens is None:
            places = np.arange(self.width)
            places = places if self.side == "right" else places[::-1]
            self._tokens = places < np.array(self.lengths, dtype=np.int64)[:, None]
        return self._tokens

    def numbers(self, field: str | None, filler: int | None) -> Any:
        """A field of numbers; None for zeros."""
        shape = self._shape()
        if shape is None:
            values = (
                [[0] * length for length in self.lengths] if field is None else [getattr(r, field) for r in self.rows]
            )
            return self.filled(values, filler)
        if field is None:
            return np.zeros(shape, np.int64)
        flat = np.fromiter(chain.from_iterable(getattr(row, field) for row in self.rows), np.int64, sum(self.lengths))
        if flat.size == shape[0] * shape[1]:
            return flat.reshape(shape)
        array = np.full(shape, filler, np.int64)
        array[self._mask()] = flat
        return array

    def attention(self) -> Any:
        shape = self._shape()
        if shape is None:
            return self.filled([[1] * length for length in self.lengths], 0)
        return np.ones(shape, np.int64) if min(self.lengths, default=0) == self.width else self._mask().astype(np.int64)

    def filled(self, values: list[list[Any]], filler: Any) -> list[list[Any]]:
        """Rows of values, padded."""
        if not self.padded:
            return values
        rows = ((row, [filler] * (self.width - len(row))) for row in values)
        return [row + rest if self.side == "right" else rest + row for row, rest in rows]


class PaddedWhenRead(Sequence[Encoding]):
    """The encodings of a call, which are padded only when somebody looks at them."""

    def __init__(self, rows: list[Encoding], length: int, arguments: dict[str, Any]) -> None:
        self._rows, self._length, self._arguments = rows, length, arguments
        self._pending = True

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if self._pending:
            for row in self._rows:
                row.pad(self._length, **self._arguments)  # does nothing to a row that is padded already
            self._pending = False
        return self._rows[index]
