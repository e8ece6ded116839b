"""Attention to a window around each token, and from and to few global tokens (Longformer, arXiv:2004.05150).

Queries go in blocks of w = window / 2 tokens against the three blocks of keys around them, so that time and memory grow
with T * w.

Shapes: B batch, T tokens, H heads, D head width, X global tokens (at most, of a text), N blocks, W = w, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Places:
    """Which tokens there are: is_token_BT; is_global_BT, and where they are, index_BX (valid_BX: no filling).

    blocked_length: T rounded up to whole windows; published weights of fillings are one over it.
    """

    is_token_BT: Tensor
    is_global_BT: Tensor
    index_BX: Tensor
    valid_BX: Tensor
    blocked_length: int

    @classmethod
    def of(cls, is_token_BT: Tensor, is_global_BT: Tensor, window: int) -> Places:
        """A global token is a token; where a text has fewer than another one, places are filled up."""
        is_global_BT = is_global_BT & is_token_BT
        count_B = is_global_BT.sum(1)
        most = int(count_B.max())
        index_BX = is_global_BT.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        valid_BX = torch.arange(most, device=count_B.device) < count_B[:, None]
        length = is_token_BT.shape[1]
        return cls(is_token_BT, is_global_BT, index_BX, valid_BX, length + -length % window)


class WindowSelfAttention(nn.Module):
    """query, key, value for windows; query_global, key_global, value_global for what global tokens see."""

    def __init__(self, width: int, heads: int, window: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"The width ({width}) must be a multiple of the number of attention heads ({heads}).")
        self.num_heads, self.head_dim = heads, width // heads
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(width, width))
            setattr(self, f"{name}_global", nn.Linear(width, width))
        self.dropout = dropout
        self.reach = window // 2

    def heads(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D)."""
        return x_BTC.view(*x_BTC.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def forward(
        self, x_BTC: Tensor, places: Places, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """States; weights (B, H, T, X + 2 W + 1) to global tokens and the window; weights (B, H, T, X) of global ones.

        head_mask: (1, H, 1, 1), 1 to keep a head. The weights where asked.
        """
        q_BHTD = self.heads(self.query(x_BTC)) * self.head_dim**-0.5
        k_BHTD, v_BHTD = self.heads(self.key(x_BTC)), self.heads(self.value(x_BTC))
        scores_BHTK = self.window_scores(q_BHTD, k_BHTD, places.is_token_BT & ~places.is_global_BT)
        count = places.index_BX.shape[1]
        if count:
            to_global_BHTX = q_BHTD @ pick(k_BHTD, places.index_BX).transpose(-1, -2)
            lowest = torch.finfo(to_global_BHTX.dtype).min
            to_global_BHTX = to_global_BHTX.masked_fill(~places.valid_BX[:, None, None], lowest)
            scores_BHTK = torch.cat((to_global_BHTX, scores_BHTK), -1)
        weights_BHTK = scores_BHTK.softmax(-1, dtype=torch.float32).to(x_BTC.dtype)
        if head_mask is not None:
            weights_BHTK = weights_BHTK * head_mask
        weights_BHTK = weights_BHTK.masked_fill(~places.is_token_BT[:, None, :, None], 0.0)
        dropped_BHTK = F.dropout(weights_BHTK, self.dropout, self.training)
        out_BHTD = self.window_values(dropped_BHTK[..., count:], v_BHTD)
        if count:
            out_BHTD = out_BHTD + dropped_BHTK[..., :count] @ pick(v_BHTD, places.index_BX)
        out_BTC = out_BHTD.transpose(1, 2).flatten(2)
        global_weights = None
        if count:
            seen_BXC, global_weights = self.global_rows(x_BTC, places, head_mask)
            batch, column = places.valid_BX.nonzero(as_tuple=True)
            out_BTC = out_BTC.index_put((batch, places.index_BX[batch, column]), seen_BXC[batch, column])
        if not output_attentions:
            return out_BTC, None, None
        weights = torch.cat((weights_BHTK[..., :count], self.by_distance(weights_BHTK[..., count:])), -1)
        return out_BTC, weights.masked_fill(places.is_global_BT[:, None, :, None], 0.0), global_weights

    def blocks(self, x: Tensor) -> Tensor:
        """(B, H, T, D) -> (B, H, N, D, 3 W): to each block of W places those before and after it, zero outside."""
        extra = -x.shape[2] % self.reach
        return F.pad(x, (0, 0, self.reach, self.reach + extra)).unfold(2, 3 * self.reach, self.reach)

    def window_scores(self, q_BHTD: Tensor, k_BHTD: Tensor, visible_BT: Tensor) -> Tensor:
        """(B, H, T, 3 W): scores with the blocks around a query's, the smallest number outside of its window."""
        reach, length = self.reach, q_BHTD.shape[2]
        q_BHNWD = F.pad(q_BHTD, (0, 0, 0, -length % reach)).unflatten(2, (-1, reach))
        scores_BHNWK = q_BHNWD @ self.blocks(k_BHTD)
        row_W1 = torch.arange(reach, device=q_BHTD.device)[:, None]
        column_K = torch.arange(3 * reach, device=q_BHTD.device)
        inside_WK = (column_K >= row_W1) & (column_K <= row_W1 + 2 * reach)
        visible_BNK = self.blocks(visible_BT[:, None, :, None].to(q_BHTD.dtype))[:, 0, :, 0].bool()
        allowed = inside_WK & visible_BNK[:, None, :, None]
        scores_BHNWK = scores_BHNWK.masked_fill(~allowed, torch.finfo(scores_BHNWK.dtype).min)
        return scores_BHNWK.flatten(2, 3)[:, :, :length]

    def window_values(self, weights_BHTK: Tensor, v_BHTD: Tensor) -> Tensor:
        """The weighted values of the blocks around each query's, (B, H, T, D)."""
        length = v_BHTD.shape[2]
        weights_BHNWK = F.pad(weights_BHTK, (0, 0, 0, -length % self.reach)).unflatten(2, (-1, self.reach))
        out_BHNWD = weights_BHNWK @ self.blocks(v_BHTD).transpose(-1, -2)
        return out_BHNWD.flatten(2, 3)[:, :, :length]

    def by_distance(self, weights_BHTK: Tensor) -> Tensor:
        """(B, H, T, 3 W) by block -> (B, H, T, 2 W + 1) by distance: the token itself is in the middle."""
        length = weights_BHTK.shape[2]
        row_T1 = torch.arange(length, device=weights_BHTK.device)[:, None] % self.reach
        index_TK = row_T1 + torch.arange(2 * self.reach + 1, device=weights_BHTK.device)
        return weights_BHTK.gather(-1, index_TK.expand(*weights_BHTK.shape[:2], -1, -1))

    def global_rows(self, x_BTC: Tensor, places: Places, head_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """What global tokens see of all tokens, (B, X, C), and their weights (B, H, T, X)."""
        where_BXC = places.index_BX[..., None].expand(-1, -1, x_BTC.shape[-1])
        q_BHXD = self.heads(self.query_global(x_BTC.gather(1, where_BXC))) * self.head_dim**-0.5
        k_BHTD, v_BHTD = self.heads(self.key_global(x_BTC)), self.heads(self.value_global(x_BTC))
        scores_BHXT = q_BHXD @ k_BHTD.transpose(-1, -2)
        scores_BHXT = scores_BHXT.masked_fill(~places.is_token_BT[:, None, None], torch.finfo(scores_BHXT.dtype).min)
        weights_BHXT = scores_BHXT.softmax(-1, dtype=torch.float32).to(x_BTC.dtype)
        if head_mask is not None:
            weights_BHXT = weights_BHXT * head_mask
        weights_BHXT = weights_BHXT.masked_fill(~places.valid_BX[:, None, :, None], 1 / places.blocked_length)
        out_BHXD = F.dropout(weights_BHXT, self.dropout, self.training) @ v_BHTD
        return out_BHXD.transpose(1, 2).flatten(2), weights_BHXT.transpose(-1, -2)


def pick(x_BHTD: Tensor, index_BX: Tensor) -> Tensor:
    """(B, H, X, D): the vectors at index_BX."""
    return x_BHTD.gather(2, index_BX[:, None, :, None].expand(-1, x_BHTD.shape[1], -1, x_BHTD.shape[-1]))
