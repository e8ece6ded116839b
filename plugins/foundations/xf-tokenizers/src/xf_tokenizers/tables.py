"""Tables as inputs: read from what users have, checked, and turned into text cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMED = 3  # rows or columns that an error names


@dataclass(frozen=True)
class Table:
    """Names of the columns, and rows with a text for each column."""

    columns: list[str]
    values: list[list[str]]

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self.values)


def read_table(table: Any) -> Table:
    """A table from {"column": [cells]}, [{"column": cell}] (a dictionary for each row), a DataFrame, or a Table.

    A cell that is no text becomes one as `str` makes it; None is an empty cell.

    Raises: TypeError for something else; ValueError for ragged rows or columns, naming them.
    """
    if isinstance(table, Table):
        return table
    if isinstance(table, Mapping):
        return _from_columns(table)
    if hasattr(table, "columns") and hasattr(table, "values"):  # a DataFrame of pandas, which need not be installed
        columns = [str(name) for name in table.columns]
        return _checked(columns, [list(row) for row in table.values])
    if isinstance(table, Sequence) and not isinstance(table, (str, bytes)):
        return _from_rows(table)
    raise TypeError(
        f"A table is a dictionary of columns, a list of dictionaries (one for each row) or a DataFrame, not "
        f"{type(table).__name__}."
    )


def _from_columns(table: Mapping[Any, Any]) -> Table:
    columns = {str(name): _cells(name, cells) for name, cells in table.items()}
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} has {count}" for name, count in list(lengths.items())[: NAMED * 2])
        raise ValueError(f"The columns of the table are not equally long: {shown} cells. Fill up the short ones.")
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return _checked(list(columns), rows)


def _cells(name: Any, cells: Any) -> list[Any]:
    if isinstance(cells, Mapping):  # {row: cell}, as DataFrame.to_dict() writes it
        return list(cells.values())
    if isinstance(cells, (str, bytes)) or not hasattr(cells, "__iter__"):
        raise TypeError(f"Column {name!r} of the table is a {type(cells).__name__}, not a list of cells: {cells!r:.80}")
    return list(cells)


def _from_rows(rows: Sequence[Any]) -> Table:
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"Row {i} of the table is a {type(row).__name__}, not a dictionary of cells: {row!r:.80}")
    columns = list(rows[0]) if rows else []
    wrong = [i for i, row in enumerate(rows) if set(row) != set(columns)]
    if wrong:
        raise ValueError(
            f"The rows of the table are ragged: row {wrong[0]} has the columns {sorted(map(str, rows[wrong[0]]))}, row "
            f"0 has {sorted(map(str, columns))} ({len(wrong)} such rows: {wrong[:NAMED]}...). Give every row all "
            "columns."
        )
    return _checked([str(name) for name in columns], [[row[name] for name in columns] for row in rows])


def _checked(columns: list[str], rows: list[list[Any]]) -> Table:
    for i, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(f"Row {i} of the table has {len(row)} cells for {len(columns)} columns.")
        for name, cell in zip(columns, row, strict=True):
            if isinstance(cell, (list, tuple, dict, set)):
                raise TypeError(
                    f"The cell in row {i}, column {name!r} of the table is a {type(cell).__name__}; a cell is a text: "
                    f"{cell!r:.80}"
                )
    return Table(columns, [["" if cell is None else str(cell) for cell in row] for row in rows])
