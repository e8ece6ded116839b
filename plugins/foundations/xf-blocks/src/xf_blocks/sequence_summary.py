"""SequenceSummary: one vector for a text, as config.summary_* says.

Shapes: B batch (any leading dimensions), T tokens, C width, N results.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .activations import get_activation


class SequenceSummary(nn.Module):
    """A state of the text, then (where the config says so) dropout, a linear layer, an activation, dropout.

    summary_type: "first", "last" or "mean" of the states, or "cls_index" for a place that is given with the states.
    summary_use_proj: whether there is a linear layer, with config.num_labels results if summary_proj_to_labels.
    summary_activation, summary_first_dropout, summary_last_dropout: none where they are not set.
    Raises: ValueError for another summary_type.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.summary_type = getattr(config, "summary_type", "last")
        if self.summary_type not in ("first", "last", "mean", "cls_index"):
            raise ValueError(f"summary_type is {self.summary_type!r}; it can be first, last, mean or cls_index.")
        self.summary: nn.Module = nn.Identity()
        if getattr(config, "summary_use_proj", False):
            labels = getattr(config, "summary_proj_to_labels", False) and config.num_labels > 0
            self.summary = nn.Linear(config.hidden_size, config.num_labels if labels else config.hidden_size)
        name = getattr(config, "summary_activation", None)
        self.activation: nn.Module = get_activation(name) if name else nn.Identity()
        self.first_dropout = nn.Dropout(getattr(config, "summary_first_dropout", 0.0) or 0.0)
        self.last_dropout = nn.Dropout(getattr(config, "summary_last_dropout", 0.0) or 0.0)

    def forward(self, x_BTC: Tensor, cls_index: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, N). cls_index: (B,) or (B, 1), the last place where it is not given."""
        return self.last_dropout(self.activation(self.summary(self.first_dropout(self.chosen(x_BTC, cls_index)))))

    def chosen(self, x_BTC: Tensor, cls_index: Tensor | None) -> Tensor:
        """The state that stands for the text, (B, C)."""
        if self.summary_type == "mean":
            return x_BTC.mean(dim=-2)
        if self.summary_type == "cls_index" and cls_index is not None:
            index = cls_index.reshape(*x_BTC.shape[:-2], 1, 1).expand(*x_BTC.shape[:-2], 1, x_BTC.shape[-1])
            return torch.gather(x_BTC, -2, index).squeeze(-2)
        return x_BTC[..., 0 if self.summary_type == "first" else -1, :]
