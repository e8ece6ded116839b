"""A tokenized table as one sequence, and what is known of each of its tokens.

Rows and columns of tokens count from 1; 0 is the question, and for rows also the header. Coordinates of answers are
(row, column), from 0 and without the header.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xf_tokenizers.tables import Table

from .values import Value, column_values, ranks, relations

Coordinates = tuple[int, int]
SEGMENT, COLUMN, ROW, PREVIOUS_LABEL, RANK, INVERSE_RANK, RELATION = range(7)


@dataclass(frozen=True)
class Piece:
    """A token of the table with its column (from 1) and row (0 is the header)."""

    token: str
    column: int
    row: int


class TokenizedTable:
    """The tokens of every cell, header first, and the values of the columns.

    Raises: ValueError for answers that are not in it (`labels`, `find`).
    """

    def __init__(self, table: Table, tokenize: Callable[[str], list[str]], with_header: bool = True) -> None:
        self.table = table
        header = [tokenize(name) if with_header else [] for name in table.columns]
        self.rows = [header, *([tokenize(cell) for cell in row] for row in table.values)]

    @cached_property
    def values(self) -> list[dict[int, Value]]:
        """The values of each column by row, from 0."""
        columns = list(zip(*self.table.values, strict=True)) or [()] * len(self.table.columns)
        return [column_values(cells) for cells in columns]

    @cached_property
    def ranks(self) -> list[dict[int, tuple[int, int]]]:
        """The ranks of each column by row."""
        return [ranks(values) for values in self.values]

    def cell(self, row: int, column: int, limit: int | None = None) -> list[str]:
        """The tokens of a cell; with a limit those of the words that begin among its first `limit` tokens."""
        tokens = self.rows[row][column]
        return tokens if limit is None or len(tokens) <= limit else tokens[: _cut(tokens, limit)]

    def row_length(self, row: int, limit: int | None = None) -> int:
        """Tokens of a row, each cell cut to `limit`."""
        return sum(len(self.cell(row, column, limit)) for column in range(len(self.rows[row])))

    def _length(self, rows: int, limit: int) -> int:
        return sum(self.row_length(row, limit) for row in range(rows + 1))

    def fit(self, rows: int, budget: int, trim: int) -> tuple[int, int | None] | None:
        """(how many of the first `rows` rows, the limit of each cell) that fit into `budget` tokens with the header.

        Rows at the end are dropped until the first word of every cell fits; then cells get as many tokens as they can.
        A positive `trim` is the limit instead. None where not even the header's first words fit.
        """
        if self.row_length(0, 1) > budget:
            return None
        limit, kept = max(trim, 1), 0
        used = self.row_length(0, limit)
        for row in range(1, rows + 1):
            used += self.row_length(row, limit)
            if used > budget:
                break
            kept = row
        if kept == 0 < rows:  # the header alone stays short
            return 0, 1
        longest = max((len(cell) for row in self.rows[: kept + 1] for cell in row), default=0)
        while trim <= 0 and limit < longest and self._length(kept, limit + 1) <= budget:
            limit += 1
        return kept, limit

    def pieces(self, rows: int, limit: int | None = None) -> list[Piece]:
        """The tokens of the header and the first `rows` rows, row by row, each cell cut to `limit`."""
        return [
            Piece(token, column + 1, row)
            for row in range(rows + 1)
            for column in range(len(self.table.columns))
            for token in self.cell(row, column, limit)
        ]

    def token_types(self, question: str, pieces: Sequence[Piece], previous: Sequence[int]) -> list[list[int]]:
        """The seven type ids of each token of the table; previous: the labels of the answer before."""
        related = relations(question, self.values)
        types = []
        for piece, label in zip(pieces, previous, strict=True):
            row, column = piece.row - 1, piece.column - 1
            rank, inverse = self.ranks[column].get(row, (0, 0)) if row >= 0 else (0, 0)
            types.append([1, piece.column, piece.row, label, rank, inverse, related.get((row, column), 0)])
        return types

    def numbers(self, pieces: Sequence[Piece]) -> tuple[list[float], list[float]]:
        """The number of each token's cell (nan where it has none), and the count of that cell's tokens."""
        sizes = Counter((piece.row, piece.column) for piece in pieces)
        numbers, counts = [], []
        for piece in pieces:
            value = self.values[piece.column - 1].get(piece.row - 1) if piece.row else None
            numbers.append(value if isinstance(value, float) else math.nan)
            counts.append(float(sizes[piece.row, piece.column]) if piece.row else 1.0)
        return numbers, counts

    def labels(self, pieces: Sequence[Piece], answers: Iterable[Coordinates]) -> list[int]:
        """1 at the tokens of the cells of an answer."""
        wanted = {(int(row), int(column)) for row, column in answers}
        labels = [int((piece.row - 1, piece.column - 1) in wanted) for piece in pieces]
        missing = wanted - {(piece.row - 1, piece.column - 1) for piece in pieces}
        if missing:
            raise ValueError(
                f"Couldn't find all answers: there are no tokens for the cells {sorted(missing)} (row, column). They "
                f"are outside of the table of {len(self.table)} rows, empty, or in rows that truncation dropped."
            )
        return labels

    def find(self, pieces: Sequence[Piece], answers: Iterable[list[str]]) -> list[int]:
        """1 at the tokens that are the texts of an answer (given as tokens), wherever they are in a cell."""
        starts: dict[tuple[int, int], int] = {}
        for i, piece in enumerate(pieces):
            starts.setdefault((piece.row, piece.column), i)
        labels = [0] * len(pieces)
        for answer in answers:
            places = [
                start + place
                for (row, column), start in starts.items()
                if row and (place := _position(self.rows[row][column - 1], answer)) is not None
            ]
            if not places or not answer:
                raise ValueError(f"Couldn't find all answers: no cell has the tokens {answer}.")
            for place in places:
                labels[place : place + len(answer)] = [1] * len(answer)
        return labels


def _cut(tokens: list[str], limit: int) -> int:
    """Where to cut a cell so that its words stay whole: after the word that the `limit`-th token is of."""
    end = limit
    while end < len(tokens) and tokens[end].startswith("##"):
        end += 1
    return end


def _position(cell: list[str], answer: list[str]) -> int | None:
    """Where `answer` first is in the tokens of a cell."""
    starts = range(len(cell) - len(answer) + 1)
    return next((start for start in starts if cell[start : start + len(answer)] == answer), None)


def cell_probabilities(probabilities_T: Sequence[float], types_T7: Sequence[Sequence[int]]) -> dict[Coordinates, float]:
    """The mean probability of each cell's tokens, by (row, column)."""
    found: dict[Coordinates, list[float]] = {}
    for probability, types in zip(probabilities_T, types_T7, strict=True):
        row, column = int(types[ROW]) - 1, int(types[COLUMN]) - 1
        if int(types[SEGMENT]) == 1 and row >= 0 and column >= 0:
            found.setdefault((row, column), []).append(float(probability))
    return {cell: sum(values) / len(values) for cell, values in found.items()}


def previous_labels(cells: Mapping[Coordinates, float], types_T7: Sequence[Sequence[int]]) -> list[int]:
    """1 at the tokens of the cells whose probability says that they were the answer before."""
    labels = []
    for types in types_T7:
        cell = (int(types[ROW]) - 1, int(types[COLUMN]) - 1)
        labels.append(int(int(types[SEGMENT]) == 1 and cells.get(cell, 0.0) > 0.5))
    return labels


def sigmoid(x: Any) -> float:
    """1 / (1 + exp(-x)), also where exp would overflow."""
    return 1 / (1 + math.exp(-max(float(x), -700.0)))
