"""Encoder of text in the layout of BERT (arXiv:1810.04805): embeddings, layers with the norm after the sum, pooler.

It decodes too: with config.is_decoder it is causal and keeps a cache; config.add_cross_attention reads an encoder.

Shapes: B batch, T tokens, K tokens so far, S an encoder's tokens, H heads, C width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.cache import Cache
from xf.interfaces.model_utils import GradientCheckpointingLayer
from xf.outputs import BaseModelOutputWithPastAndCrossAttentions

from .activations import get_activation
from .pytorch_utils import apply_chunking_to_forward
from .recorder import Recorder
from .text_attention import (
    ResidualOutput,
    TextAttentionBlock,
    TextCrossAttention,
    TextSelfAttention,
    self_attention_class,
)


class TextEmbeddings(nn.Module):
    """Words + segments + positions (unless attention has relative ones), then LayerNorm and dropout.

    width: of the vectors, config.hidden_size unless it is given.
    """

    def __init__(self, config: Any, width: int | None = None) -> None:
        super().__init__()
        width = config.hidden_size if width is None else width
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.has_positions = self_attention_class(config) is TextSelfAttention  # the others know distances themselves

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C); position_ids default to T positions after the past ones."""
        x_BTC = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if token_type_ids is None:
            x_BTC = x_BTC + self.token_type_embeddings.weight[0]
        else:
            x_BTC = x_BTC + self.token_type_embeddings(token_type_ids)
        if self.has_positions:
            x_BTC = x_BTC + self.positions(x_BTC, position_ids, past_key_values_length)
        return self.dropout(self.LayerNorm(x_BTC))

    def positions(self, x_BTC: Tensor, position_ids: Tensor | None, start: int) -> Tensor:
        """(B or 1, T, C): the vectors of position_ids, or of the T positions from start.

        Raises: ValueError for more positions than the model has.
        """
        if position_ids is not None:
            return self.position_embeddings(position_ids)
        end, limit = start + x_BTC.shape[1], self.position_embeddings.num_embeddings
        if end > limit:
            raise ValueError(f"The text is {end} tokens long, but the model has {limit} positions: truncate it.")
        return self.position_embeddings(torch.arange(start, end, device=x_BTC.device))[None]


class TextIntermediate(nn.Module):
    """act(dense(x))."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = get_activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., F)."""
        return self.intermediate_act_fn(self.dense(x))


class TextEncoderLayer(GradientCheckpointingLayer):
    """Self-attention, cross-attention if the config asks for it, feed-forward in chunks; each LayerNorm(x + f(x))."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        self.chunk_size_feed_forward = config.chunk_size_feed_forward
        self.attention = TextAttentionBlock(config, layer_idx, self_attention_class(config))
        if config.add_cross_attention:
            if not config.is_decoder:
                raise ValueError("add_cross_attention=True needs is_decoder=True.")
            self.crossattention = TextAttentionBlock(config, layer_idx, TextCrossAttention)
        self.intermediate = TextIntermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def feed_forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.output(self.intermediate(x_BTC), x_BTC)

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        head_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """States (B, T, C), weights (B, H, T, K), weights to the encoder (B, H, T, S); weights where asked."""
        x_BTC, weights = self.attention(
            x_BTC, attention_mask, head_mask, past_key_values, cache_position, output_attentions
        )
        cross_weights = None
        if encoder_hidden_states is not None:
            x_BTC, cross_weights = self.crossattention(
                x_BTC, encoder_hidden_states, encoder_attention_mask, head_mask, past_key_values, output_attentions
            )
        if self.chunk_size_feed_forward:
            return (
                apply_chunking_to_forward(self.feed_forward, self.chunk_size_feed_forward, 1, x_BTC),
                weights,
                cross_weights,
            )
        return self.feed_forward(x_BTC), weights, cross_weights


class TextEncoder(nn.Module):
    """The layers, under the name `layer`."""

    layer_class: type[TextEncoderLayer] = TextEncoderLayer

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.ModuleList([self.layer_class(config, index) for index in range(config.num_hidden_layers)])

    def forward(
        self,
        x_BTC: Tensor,
        attention_mask: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Any = None,
        past_key_values: Cache | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Masks as the attention backend reads them; head_mask: one for each layer (`get_head_mask`), or None."""
        reads_encoder = encoder_hidden_states is not None
        seen = Recorder(output_hidden_states, output_attentions, output_attentions and reads_encoder)
        for index, layer in enumerate(self.layer):
            seen.state(x_BTC)
            x_BTC, weights, cross_weights = layer(
                x_BTC,
                attention_mask,
                None if head_mask is None else head_mask[index],
                encoder_hidden_states,
                encoder_attention_mask,
                past_key_values=past_key_values,
                cache_position=cache_position,
                output_attentions=output_attentions,
            )
            seen.weights(weights, cross_weights)
        seen.state(x_BTC)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x_BTC,
            past_key_values=past_key_values,
            hidden_states=seen.hidden_states,
            attentions=seen.attentions,
            cross_attentions=seen.cross_attentions,
        )


class TextPooler(nn.Module):
    """tanh(dense(state of the first token))."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, C)."""
        return self.activation(self.dense(x_BTC[:, 0]))
