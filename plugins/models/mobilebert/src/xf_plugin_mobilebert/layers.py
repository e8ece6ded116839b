"""The layers of MobileBERT (arXiv:2004.02984): bottlenecks around attention and a stack of feed-forward networks.

Shapes: B batch, T tokens, H heads, D head width, W width inside of the bottleneck, E width of embeddings, C width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.model import GradientCheckpointingLayer
from xf_blocks.encoder_inputs import check_length
from xf_blocks.pytorch_utils import find_pruneable_heads_and_indices, prune_linear_layer
from xf_blocks.recorder import Recorder
from xf_blocks.text_encoder import TextIntermediate

from .configuration import MobileBertConfig

_FIXED_EPS = 1e-5  # of two norms, which published models compute without the config's


class NoNorm(nn.Module):
    """x * weight + bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))
        self.weight = nn.Parameter(torch.ones(width))

    def reset_parameters(self) -> None:
        """The identity."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return x * self.weight + self.bias


def norm(config: MobileBertConfig, width: int, eps: float | None = None) -> nn.Module:
    """The norm of the config; eps: config.layer_norm_eps unless it is given."""
    if config.normalization_type == "no_norm":
        return NoNorm(width)
    return nn.LayerNorm(width, eps=config.layer_norm_eps if eps is None else eps)


def inner_width(config: MobileBertConfig) -> int:
    """The width that layers work in."""
    assert config.true_hidden_size is not None, "set by the config"
    return config.true_hidden_size


class MobileBertEmbeddings(nn.Module):
    """Words (beside their neighbours), projected, + positions + segments, then the norm and dropout."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.trigram_input = config.trigram_input
        width = config.embedding_size * (3 if config.trigram_input else 1)
        self.embedding_transformation = nn.Linear(width, config.hidden_size)
        self.projects = config.trigram_input or config.embedding_size != config.hidden_size
        self.LayerNorm = norm(config, config.hidden_size, _FIXED_EPS)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, E) -> (B, T, C)."""
        x_BTE = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if self.trigram_input:  # the word after, itself, the word before
            x_BTE = torch.cat((F.pad(x_BTE[:, 1:], (0, 0, 0, 1)), x_BTE, F.pad(x_BTE[:, :-1], (0, 0, 1, 0))), -1)
        x_BTC = self.embedding_transformation(x_BTE) if self.projects else x_BTE
        if position_ids is None:
            check_length(x_BTC.shape[1], self.position_embeddings.num_embeddings)
            position_ids = torch.arange(x_BTC.shape[1], device=x_BTC.device)[None]
        x_BTC = x_BTC + self.position_embeddings(position_ids)
        if token_type_ids is None:
            x_BTC = x_BTC + self.token_type_embeddings.weight[0]
        else:
            x_BTC = x_BTC + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(x_BTC))


class SelfAttention(AttentionModule):
    """Query and key from one input each, value from another."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__(config)
        width, heads = inner_width(config), config.num_attention_heads
        if width % heads:
            raise ValueError(f"The width of layers ({width}) must be a multiple of num_attention_heads ({heads}).")
        self.num_attention_heads, self.attention_head_size = heads, width // heads
        self.scaling = self.attention_head_size**-0.5
        self.attention_dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width if config.use_bottleneck_attention else config.hidden_size, width)

    def heads(self, x_BTW: Tensor) -> Tensor:
        """(B, T, W) -> (B, H, T, D)."""
        return x_BTW.view(*x_BTW.shape[:2], -1, self.attention_head_size).transpose(1, 2)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) and, where asked or the kernel gives them, the weights (B, H, T, T)."""
        q_BHTD, k_BHTD = self.heads(self.query(query)), self.heads(self.key(key))
        options = {} if head_mask is None else {"head_mask": head_mask}
        out_BTHD, weights = self.attend(
            q_BHTD, k_BHTD, self.heads(self.value(value)), mask, output_attentions, **options
        )
        return out_BTHD.flatten(2), weights


class AddedOutput(nn.Module):
    """norm(x + dropout(dense(y)))."""

    def __init__(self, config: MobileBertConfig, inner: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = norm(config, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """y: the branch. x: what it is added to."""
        return self.LayerNorm(x + self.dropout(self.dense(y)))


class AttentionBlock(nn.Module):
    """The attention under the name `self`, and the output; its heads can be pruned."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        width = inner_width(config)
        self.output = AddedOutput(config, width, width, 0.0 if config.use_bottleneck else config.hidden_dropout_prob)
        self.pruned_heads: set[int] = set()

    def prune_heads(self, heads: list[int] | set[int]) -> None:
        """Remove heads, numbered as in the unpruned layer; those already removed are passed over."""
        attention = self.self
        heads, index = find_pruneable_heads_and_indices(
            heads, attention.num_attention_heads, attention.attention_head_size, self.pruned_heads
        )
        if not heads:
            return
        for name in ("query", "key", "value"):
            setattr(attention, name, prune_linear_layer(getattr(attention, name), index))
        self.output.dense = prune_linear_layer(self.output.dense, index, dim=1)
        attention.num_attention_heads -= len(heads)
        self.pruned_heads |= heads


class Narrowed(nn.Module):
    """norm(dense(x)), (B, T, C) -> (B, T, W)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intra_bottleneck_size)
        self.LayerNorm = norm(config, config.intra_bottleneck_size)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, W)."""
        return self.LayerNorm(self.dense(x_BTC))


class Bottleneck(nn.Module):
    """What query, key, value and the residual of the layer start from."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.whole = config.use_bottleneck_attention
        self.shared = config.key_query_shared_bottleneck
        self.input = Narrowed(config)
        if self.shared:
            self.attention = Narrowed(config)

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(query, key, value, residual)."""
        inner_BTW = self.input(x_BTC)
        if self.whole:
            return inner_BTW, inner_BTW, inner_BTW, inner_BTW
        if self.shared:
            asked_BTW = self.attention(x_BTC)
            return asked_BTW, asked_BTW, x_BTC, inner_BTW
        return x_BTC, x_BTC, x_BTC, inner_BTW


class FeedForward(nn.Module):
    """One more feed-forward network."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.intermediate = InnerIntermediate(config)
        self.output = AddedOutput(config, config.intermediate_size, inner_width(config))

    def forward(self, x_BTW: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return self.output(self.intermediate(x_BTW), x_BTW)


class InnerIntermediate(TextIntermediate):
    """act(dense(x)), from inside of the bottleneck."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__(config)
        self.dense = nn.Linear(inner_width(config), config.intermediate_size)


class LastOutput(AddedOutput):
    """The output of the last feed-forward network, and out of the bottleneck."""

    def __init__(self, config: MobileBertConfig) -> None:
        dropout = 0.0 if config.use_bottleneck else config.hidden_dropout_prob
        super().__init__(config, config.intermediate_size, inner_width(config), dropout)
        self.LayerNorm = norm(config, inner_width(config), _FIXED_EPS)
        self.widens = config.use_bottleneck
        if self.widens:
            self.bottleneck = AddedOutput(config, inner_width(config), config.hidden_size, config.hidden_dropout_prob)


class MobileBertLayer(GradientCheckpointingLayer):
    """Into the bottleneck, attention, feed-forward networks, out of it."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.attention = AttentionBlock(config)
        self.intermediate = InnerIntermediate(config)
        self.output = LastOutput(config)
        self.narrows = config.use_bottleneck
        if self.narrows:
            self.bottleneck = Bottleneck(config)
        self.ffn = nn.ModuleList([FeedForward(config) for _ in range(config.num_feedforward_networks - 1)])

    def forward(
        self, x_BTC: Tensor, mask: Any, head_mask: Tensor | None, output_attentions: bool
    ) -> tuple[Tensor, Tensor | None]:
        """States (B, T, C) and weights (B, H, T, T), where asked."""
        query, key, value, inner_BTW = self.bottleneck(x_BTC) if self.narrows else (x_BTC,) * 4
        attended, weights = self.attention.self(query, key, value, mask, head_mask, output_attentions)
        inner_BTW = self.attention.output(attended, inner_BTW)
        for network in self.ffn:
            inner_BTW = network(inner_BTW)
        inner_BTW = self.output(self.intermediate(inner_BTW), inner_BTW)
        return self.output.bottleneck(inner_BTW, x_BTC) if self.narrows else inner_BTW, weights


class MobileBertEncoder(nn.Module):
    """The layers, under the name `layer`."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([MobileBertLayer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, x_BTC: Tensor, mask: Any, head_mask: Any, seen: Recorder, output_attentions: bool) -> Tensor:
        """(B, T, C) -> (B, T, C); `seen` collects states and weights."""
        for index, layer in enumerate(self.layer):
            seen.state(x_BTC)
            x_BTC, weights = layer(x_BTC, mask, None if head_mask is None else head_mask[index], output_attentions)
            seen.weights(weights)
        seen.state(x_BTC)
        return x_BTC


class MobileBertPooler(nn.Module):
    """The state of the first token, through a layer and tanh where the config says so."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.activates = config.classifier_activation
        if self.activates:
            self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, C)."""
        return torch.tanh(self.dense(x_BTC[:, 0])) if self.activates else x_BTC[:, 0]
