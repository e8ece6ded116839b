"""Absolute positions of encoder-decoders. Each is called with (input_ids or None, states, positions).

Shapes: B batch, T tokens, C width, N rows of the table.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def check_positions(positions_T: Tensor, limit: int) -> None:
    """Raises: ValueError for a position that the table does not have."""
    if positions_T.numel() and int(positions_T[-1]) >= limit:
        raise ValueError(
            f"Position {int(positions_T[-1])} is beyond the {limit} that the model was built for: shorten the text "
            "(truncation=True), or generate fewer tokens (max_new_tokens)."
        )


class LearnedPositions(nn.Embedding):
    """One trained row per position; the first `offset` rows are not used."""

    def __init__(self, length: int, width: int, offset: int = 0) -> None:
        super().__init__(length + offset, width)
        self.offset = offset

    def forward(self, input_ids: Tensor | None, x_BTC: Tensor, positions_T: Tensor) -> Tensor:  # type: ignore[override]
        """(T, C) for positions_T (T,)."""
        check_positions(positions_T, self.num_embeddings - self.offset)
        return super().forward(positions_T + self.offset)


class BartPositions(LearnedPositions):
    """Positions that begin at row 2, as BART numbers them (arXiv:1910.13461)."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__(length, width, offset=2)


def sines(length: int, width: int) -> Tensor:
    """(length, width): the sines, then the cosines, of the position times 10000^(-2i/width)."""
    angles_NC = torch.arange(length)[:, None].double() / 10000 ** (2 * torch.arange((width + 1) // 2) / width).double()
    return torch.cat([angles_NC.sin(), angles_NC[:, : width // 2].cos()], dim=1).to(torch.get_default_dtype())


class SinusoidalPositions(nn.Embedding):
    """Fixed sines, then cosines, of 10000^(-2i/C) times the position (arXiv:1706.03762, section 3.5).

    Checkpoints may hold them under the name of an embedding; where they do not, they are computed.
    """

    def __init__(self, length: int, width: int) -> None:
        # given as a tensor, so that a loader which leaves layers empty finds them computed
        super().__init__(length, width, _weight=sines(length, width))
        self.requires_grad_(False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fill in the sines."""
        self.weight.copy_(sines(*self.weight.shape))

    def forward(self, input_ids: Tensor | None, x_BTC: Tensor, positions_T: Tensor) -> Tensor:  # type: ignore[override]
        """(T, C) for positions_T (T,)."""
        check_positions(positions_T, self.num_embeddings)
        return super().forward(positions_T)


class PaddedSinusoidalPositions(nn.Module):
    """Fixed sines and cosines for the number of a token among those of its row that are no padding; 0 at padding.

    Not part of a checkpoint. Numbers begin behind padding_idx.
    """

    weights: Tensor

    def __init__(self, length: int, width: int, padding_idx: int) -> None:
        super().__init__()
        self.width, self.padding_idx = width, padding_idx
        self.register_buffer("weights", self.table(length + padding_idx + 1), persistent=False)

    def table(self, rows: int) -> Tensor:
        """(N, C): sines, then cosines, of frequencies from 1 down to 1/10000; the padding's row is 0."""
        half = self.width // 2
        frequencies = torch.exp(torch.arange(half).float() * -(math.log(10000) / (half - 1)))
        angles_NC = torch.arange(rows).float()[:, None] * frequencies
        table_NC = torch.cat([angles_NC.sin(), angles_NC.cos(), torch.zeros(rows, self.width % 2)], dim=1)
        table_NC[self.padding_idx] = 0
        return table_NC

    def forward(self, input_ids: Tensor | None, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        """(B or 1, T, C); embeddings without ids count as tokens that are no padding."""
        if input_ids is None:
            numbers_BT = (positions_T + self.padding_idx + 1)[None]
        else:
            real_BT = input_ids.ne(self.padding_idx)
            numbers_BT = (real_BT.cumsum(1) + positions_T[0]) * real_BT + self.padding_idx
        rows = int(positions_T[-1]) + self.padding_idx + 2
        if rows > len(self.weights):
            self.weights = self.table(rows).to(self.weights)
        return self.weights[numbers_BT].to(x_BTC.dtype)
