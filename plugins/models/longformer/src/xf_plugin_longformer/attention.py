"""The attention of Longformer (arXiv:2004.05150): to a window around each token, and from and to few global tokens.

Shapes: B batch, T tokens, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf_blocks.text_encoder import ResidualOutput
from xf_blocks.window_attention import Places, WindowSelfAttention

from .configuration import LongformerConfig

__all__ = ["LongformerAttention", "LongformerSelfAttention", "Places"]


class LongformerSelfAttention(WindowSelfAttention):
    """query, key, value for windows; query_global, key_global, value_global for what global tokens see."""

    def __init__(self, config: LongformerConfig, layer_id: int) -> None:
        heads, dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        super().__init__(config.hidden_size, heads, config.windows()[layer_id], dropout)


class LongformerAttention(nn.Module):
    """The attention under the name `self`, and the residual output."""

    def __init__(self, config: LongformerConfig, layer_id: int) -> None:
        super().__init__()
        self.self = LongformerSelfAttention(config, layer_id)
        self.output = ResidualOutput(config, config.hidden_size)

    def forward(self, x_BTC: Tensor, *args: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """As the attention's forward."""
        out_BTC, weights, global_weights = self.self(x_BTC, *args)
        return self.output(out_BTC, x_BTC), weights, global_weights
