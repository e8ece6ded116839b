"""The encoder of ALBERT (arXiv:1909.11942): layers that share their weights in groups.

Shapes: B batch, T tokens, H heads, E width of embeddings, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xf.interfaces.model import GradientCheckpointingLayer
from xf_blocks.activations import get_activation
from xf_blocks.encoder_attention import prune_attention
from xf_blocks.pytorch_utils import apply_chunking_to_forward
from xf_blocks.recorder import Recorder
from xf_blocks.text_attention import (
    RelativeKeyQuerySelfAttention,
    RelativeKeySelfAttention,
    TextSelfAttention,
    self_attention_class,
)

from .configuration import AlbertConfig


class WithOutput(TextSelfAttention):
    """LayerNorm(x + dropout(dense(attention(x)))), for each kind of positions."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config, layer_idx=0)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.output_dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pruned_heads: set[int] = set()
        self.bias_scaling = 1.0  # of relative positions: published results add them to scores already scaled

    def forward(  # type: ignore[override]
        self, x_BTC: Tensor, mask: Any, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) and, where asked or the kernel gives them, the weights (B, H, T, T)."""
        attended_BTC, weights = super().forward(x_BTC, mask, head_mask, output_attentions=output_attentions)
        return self.LayerNorm(x_BTC + self.output_dropout(self.dense(attended_BTC))), weights

    def prune_heads(self, heads: list[int] | set[int]) -> None:
        """Remove heads; see `prune_attention`."""
        prune_attention(self, ("query", "key", "value", "dense"), heads)


class WithKeyPositions(WithOutput, RelativeKeySelfAttention):
    """With the distance's vector times the query on the scores."""


class WithKeyQueryPositions(WithOutput, RelativeKeyQuerySelfAttention):
    """With the distance's vector times the query, plus times the key."""


_ATTENTION: dict[type[TextSelfAttention], type[WithOutput]] = {
    TextSelfAttention: WithOutput,
    RelativeKeySelfAttention: WithKeyPositions,
    RelativeKeyQuerySelfAttention: WithKeyQueryPositions,
}


class AlbertLayer(GradientCheckpointingLayer):
    """Self-attention and feed-forward in chunks; each LayerNorm(x + f(x))."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.chunk_size = config.chunk_size_feed_forward
        self.full_layer_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = _ATTENTION[self_attention_class(config)](config)
        self.ffn = nn.Linear(config.hidden_size, config.intermediate_size)
        self.ffn_output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = get_activation(config.hidden_act)

    def feed_forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.ffn_output(self.activation(self.ffn(x_BTC)))

    def forward(
        self, x_BTC: Tensor, mask: Any, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        """States (B, T, C) and weights (B, H, T, T), where asked."""
        x_BTC, weights = self.attention(x_BTC, mask, head_mask, output_attentions)
        changed_BTC = apply_chunking_to_forward(self.feed_forward, self.chunk_size, 1, x_BTC)
        return self.full_layer_layer_norm(changed_BTC + x_BTC), weights


class LayerGroup(nn.Module):
    """config.inner_group_num layers that follow each other."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.albert_layers = nn.ModuleList([AlbertLayer(config) for _ in range(config.inner_group_num)])


class AlbertEncoder(nn.Module):
    """The projected embeddings through num_hidden_layers uses of num_hidden_groups groups."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.embedding_hidden_mapping_in = nn.Linear(config.embedding_size, config.hidden_size)
        self.albert_layer_groups = nn.ModuleList([LayerGroup(config) for _ in range(config.num_hidden_groups)])
        self.uses = config.num_hidden_layers
        self.uses_of_a_group = config.num_hidden_layers // config.num_hidden_groups

    def forward(
        self, embedded_BTE: Tensor, mask: Any, head_mask: Any, seen: Recorder, output_attentions: bool
    ) -> Tensor:
        """(B, T, E) -> (B, T, C); `seen` collects the states between uses of groups, and the weights of all layers."""
        x_BTC = self.embedding_hidden_mapping_in(embedded_BTE)
        seen.state(x_BTC)
        for use in range(self.uses):
            number = use * len(self.albert_layer_groups) // self.uses
            for inner, layer in enumerate(self.albert_layer_groups[number].albert_layers):
                # published results: a group's layers take the first masks of its uses, at every use
                heads = None if head_mask is None else head_mask[number * self.uses_of_a_group + inner]
                x_BTC, weights = layer(x_BTC, mask, heads, output_attentions)
                seen.weights(weights)
            seen.state(x_BTC)
        return x_BTC
