"""Sums and means over the tokens of a cell or a column.

Shapes: B batch, T tokens, R rows, N columns, G groups of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

EPSILON = 1e-10  # keeps a division by a count that may be 0 finite
LOG_ZERO = -10000.0  # the logit of what cannot be


def grouped_sum(x_BT: Tensor, groups_BT: Tensor, count: int) -> Tensor:
    """(B, T) -> (B, count): the sum of each group; groups count from 0."""
    return x_BT.new_zeros(x_BT.shape[0], count).scatter_add(1, groups_BT, x_BT)


def grouped_mean(x_BT: Tensor, groups_BT: Tensor, count: int) -> Tensor:
    """(B, T) -> (B, count): the mean of each group, 0 for one without tokens."""
    sizes = grouped_sum(x_BT.new_ones(x_BT.shape), groups_BT, count)
    return grouped_sum(x_BT, groups_BT, count) / sizes.clamp(min=1)


def grouped_max(x_BT: Tensor, groups_BT: Tensor, count: int) -> Tensor:
    """(B, T) -> (B, count): the greatest of each group, 0 for one without tokens."""
    zeros = x_BT.new_zeros(x_BT.shape[0], count)
    return zeros.scatter_reduce(1, groups_BT, x_BT, "amax", include_self=False)


def positions_in_cells(column_BT: Tensor, row_BT: Tensor, rows: int, columns: int, positions_T: Tensor) -> Tensor:
    """(B, T): each token's position counted from the first token of its cell."""
    cells_BT = column_BT * rows + row_BT
    spread = positions_T.expand(cells_BT.shape)
    first = spread.new_zeros(cells_BT.shape[0], rows * columns)
    first = first.scatter_reduce(1, cells_BT, spread, "amin", include_self=False)
    return spread - first.gather(1, cells_BT)


@dataclass(frozen=True)
class Cells:
    """Which cell each token of a batch belongs to; cell (row, column) is group row * columns + column.

    Row 0 is the header, column 0 the question and padding. mask: 1 at tokens that are none of padding.
    """

    row_BT: Tensor
    column_BT: Tensor
    rows: int
    columns: int
    mask_BT: Tensor

    @property
    def count(self) -> int:
        """How many cells there can be."""
        return self.rows * self.columns

    @property
    def cell_BT(self) -> Tensor:
        """The cell of each token."""
        return self.row_BT * self.columns + self.column_BT

    @property
    def mask_BG(self) -> Tensor:
        """(B, R * N): the share of each cell's tokens that count; 0 for a cell without tokens."""
        return grouped_mean(self.mask_BT, self.cell_BT, self.count)

    def mean(self, x_BT: Tensor) -> Tensor:
        """(B, T) -> (B, R * N)."""
        return grouped_mean(x_BT, self.cell_BT, self.count)

    def column_sums(self, x_BG: Tensor) -> Tensor:
        """(B, R * N) -> (B, N)."""
        return x_BG.unflatten(1, (self.rows, self.columns)).sum(1)

    def to_tokens(self, x_BG: Tensor) -> Tensor:
        """(B, R * N) -> (B, T): each token gets what its cell has."""
        return x_BG.gather(1, self.cell_BT)
