"""Token embeddings that are scaled as they are looked up."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScaledEmbedding(nn.Embedding):
    """Rows times `scale`, which is rounded to the weights' dtype first."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, scale: float) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:
        """Ids (...) -> (..., C)."""
        return super().forward(input) * torch.tensor(self.scale, dtype=self.weight.dtype, device=self.weight.device)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale}"
