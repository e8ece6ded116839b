"""Whisper: a log-mel encoder and a text decoder (Radford et al. 2022, arXiv:2212.04356, section 2.2).

Shapes: B batch, F mel bins, S frames of the spectrogram, T encoder positions (S / 2), L decoder positions, K keys,
C channels (d_model), H heads, D head width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import Cache, EncoderDecoderCache
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput
from xf_blocks.activations import ACT2FN
from xf_plugin_whisper.configuration import WhisperConfig


def sinusoids(length: int, channels: int, max_timescale: float = 10000.0) -> Tensor:
    """Fixed positions (length, channels): sines of geometrically spaced frequencies, then their cosines.

    Raises:
        ValueError: an odd number of channels.
    """
    if channels % 2:
        raise ValueError(f"Sinusoidal positions need an even number of channels, not {channels}.")
    step = math.log(max_timescale) / (channels // 2 - 1)
    frequencies = torch.exp(-step * torch.arange(channels // 2))
    angles_TC = torch.arange(length).view(-1, 1) * frequencies.view(1, -1)
    return torch.cat([angles_TC.sin(), angles_TC.cos()], dim=1)


class SinusoidalPositions(nn.Embedding):
    """Fixed positions, in the checkpoint under the name of an embedding; not trained."""

    def __init__(self, length: int, channels: int) -> None:
        super().__init__(length, channels)
        self.requires_grad_(False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fill in the sinusoids."""
        self.weight.copy_(sinusoids(*self.weight.shape))


def shift_tokens_right(labels_BL: Tensor, pad_token_id: int | None, decoder_start_token_id: int | None) -> Tensor:
    """Decoder inputs of teacher forcing: the start token, then the labels but the last; -100 becomes padding.

    Raises:
        ValueError: the config has no pad or start token.
    """
    if pad_token_id is None or decoder_start_token_id is None:
        raise ValueError("Labels need config.pad_token_id and config.decoder_start_token_id: set both.")
    shifted_BL = labels_BL.new_zeros(labels_BL.shape)
    shifted_BL[:, 1:] = labels_BL[:, :-1]
    shifted_BL[:, 0] = decoder_start_token_id
    return shifted_BL.masked_fill(shifted_BL == -100, pad_token_id)


class WhisperAttention(AttentionModule):
    """Multi-head attention without a bias on the keys, over its own states or the encoder's."""

    def __init__(self, config: WhisperConfig, heads: int, layer_idx: int = 0, is_causal: bool = False) -> None:
        super().__init__(config)
        self.heads = heads
        self.head_dim = config.d_model // heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = is_causal
        self.attention_dropout = config.attention_dropout
        self.layer_idx = layer_idx
        self.k_proj = nn.Linear(config.d_model, config.d_model, bias=False)
        self.v_proj = nn.Linear(config.d_model, config.d_model)
        self.q_proj = nn.Linear(config.d_model, config.d_model)
        self.out_proj = nn.Linear(config.d_model, config.d_model)

    def _heads(self, states_BLC: Tensor) -> Tensor:
        return states_BLC.view(*states_BLC.shape[:2], self.heads, self.head_dim).transpose(1, 2)

    def _keys_values(self, source_BKC: Tensor) -> tuple[Tensor, Tensor]:
        return self._heads(self.k_proj(source_BKC)), self._heads(self.v_proj(source_BKC))

    def _cached_keys_values(
        self, hidden_BLC: Tensor, encoder_BTC: Tensor | None, past_key_values: Cache | None, cache_position: Any
    ) -> tuple[Tensor, Tensor]:
        if encoder_BTC is None:
            keys, values = self._keys_values(hidden_BLC)
            if past_key_values is None:
                return keys, values
            return past_key_values.update(keys, values, self.layer_idx, {"cache_position": cache_position})
        if not isinstance(past_key_values, EncoderDecoderCache):
            return self._keys_values(encoder_BTC)
        cross = past_key_values.cross_attention_cache
        if not past_key_values.is_updated.get(self.layer_idx):
            past_key_values.is_updated[self.layer_idx] = True
            return cross.update(*self._keys_values(encoder_BTC), self.layer_idx)
        layer = cross.layers[self.layer_idx]
        assert layer.keys is not None and layer.values is not None, "is_updated says that they are there"
        return layer.keys, layer.values

    def forward(
        self,
        hidden_BLC: Tensor,
        attention_mask: Any = None,
        encoder_BTC: Tensor | None = None,
        past_key_values: Cache | None = None,
        head_mask_H: Tensor | None = None,
        output_attentions: bool = False,
        cache_position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        queries_BHLD = self._heads(self.q_proj(hidden_BLC))
        keys_BHKD, values_BHKD = self._cached_keys_values(hidden_BLC, encoder_BTC, past_key_values, cache_position)
        extra = {} if head_mask_H is None else {"head_mask": head_mask_H.view(1, -1, 1, 1)}
        attended_BLHD, weights_BHLK = self.attend(
            queries_BHLD, keys_BHKD, values_BHKD, attention_mask, output_attentions=output_attentions, **extra
        )
        return self.out_proj(attended_BLHD.reshape(hidden_BLC.shape)), weights_BHLK


class FeedForward(nn.Module):
    """Mixed into both layers: fc1, activation, fc2, each followed by dropout."""

    fc1: nn.Linear
    fc2: nn.Linear

    def _add_feed_forward(self, config: WhisperConfig, width: int) -> None:
        self.activation_fn = ACT2FN[config.activation_function]
        self.dropout = config.dropout
        self.activation_dropout = config.activation_dropout
        self.fc1 = nn.Linear(config.d_model, width)
        self.fc2 = nn.Linear(width, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model)

    def _drop(self, states_BLC: Tensor) -> Tensor:
        return F.dropout(states_BLC, self.dropout, self.training)

    def _feed_forward(self, hidden_BLC: Tensor) -> Tensor:
        inner = self.activation_fn(self.fc1(self.final_layer_norm(hidden_BLC)))
        inner = F.dropout(inner, self.activation_dropout, self.training)
        return hidden_BLC + self._drop(self.fc2(inner))


class WhisperEncoderLayer(GradientCheckpointingLayer, FeedForward):
    """Pre-norm self-attention and feed-forward."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.self_attn = WhisperAttention(config, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self._add_feed_forward(config, config.encoder_ffn_dim)

    def forward(
        self, hidden_BTC: Tensor, head_mask_H: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        attended_BTC, weights = self.self_attn(
            self.self_attn_layer_norm(hidden_BTC), head_mask_H=head_mask_H, output_attentions=output_attentions
        )
        hidden_BTC = self._feed_forward(hidden_BTC + self._drop(attended_BTC))
        if hidden_BTC.dtype == torch.float16:  # its range is short: keep sums finite
            limit = torch.finfo(torch.float16).max - 1000
            hidden_BTC = hidden_BTC.clamp(-limit, limit)
        return hidden_BTC, weights


class WhisperDecoderLayer(GradientCheckpointingLayer, FeedForward):
    """Pre-norm causal self-attention, attention to the encoder, feed-forward."""

    def __init__(self, config: WhisperConfig, layer_idx: int) -> None:
        super().__init__()
        heads = config.decoder_attention_heads
        self.self_attn = WhisperAttention(config, heads, layer_idx, is_causal=True)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.encoder_attn = WhisperAttention(config, heads, layer_idx)
        self.encoder_attn_layer_norm = nn.LayerNorm(config.d_model)
        self._add_feed_forward(config, config.decoder_ffn_dim)

    def forward(
        self,
        hidden_BLC: Tensor,
        attention_mask: Any = None,
        encoder_BTC: Tensor | None = None,
        head_mask_H: Tensor | None = None,
        cross_head_mask_H: Tensor | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        cache_position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        attended_BLC, weights = self.self_attn(
            self.self_attn_layer_norm(hidden_BLC),
            attention_mask,
            past_key_values=past_key_values,
            head_mask_H=head_mask_H,
            output_attentions=output_attentions,
            cache_position=cache_position,
        )
        hidden_BLC = hidden_BLC + self._drop(attended_BLC)
        cross_weights = None
        if encoder_BTC is not None:
            attended_BLC, cross_weights = self.encoder_attn(
                self.encoder_attn_layer_norm(hidden_BLC),
                encoder_BTC=encoder_BTC,
                past_key_values=past_key_values,
                head_mask_H=cross_head_mask_H,
                output_attentions=output_attentions,
            )
            hidden_BLC = hidden_BLC + self._drop(attended_BLC)
        return self._feed_forward(hidden_BLC), weights, cross_weights


class WhisperPreTrainedModel(PreTrainedModel):
    """What all Whisper models share."""

    config_class = WhisperConfig
    base_model_prefix = "model"
    main_input_name = "input_features"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.init_std
        if isinstance(module, (nn.Linear, nn.Conv1d)):
            module.weight.normal_(0.0, std)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, SinusoidalPositions):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, std)
            if module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(weights := getattr(module, "layer_weights", None), nn.Parameter):
            weights.fill_(1.0 / len(weights))

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:
        """Frames that leave the convolutions for `input_lengths` that enter."""
        return (input_lengths - 1) // 2 + 1

    def freeze_encoder(self) -> None:
        """Exclude the encoder from training."""
        cast(Any, self).get_encoder().requires_grad_(False)


def check_head_mask(head_mask_NH: Tensor | None, layers: int, name: str) -> list[Tensor | None]:
    """One row of a head mask (layers, heads) for each layer, or None for each.

    Raises:
        ValueError: another number of rows.
    """
    if head_mask_NH is None:
        return [None] * layers
    if head_mask_NH.shape[0] != layers:
        raise ValueError(f"{name} has rows for {head_mask_NH.shape[0]} layers, but the model has {layers}.")
    return list(head_mask_NH)


class WhisperEncoder(WhisperPreTrainedModel):
    """Two convolutions over time, fixed sinusoidal positions, and transformer layers."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.dropout = config.dropout
        self.layerdrop = config.encoder_layerdrop
        self.conv1 = nn.Conv1d(config.num_mel_bins, config.d_model, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(config.d_model, config.d_model, kernel_size=3, stride=2, padding=1)
        self.embed_positions = SinusoidalPositions(config.max_source_positions, config.d_model)
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.conv1

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the first convolution."""
        self.conv1 = value  # type: ignore[assignment]

    def _check_length(self, input_features_BFS: Tensor) -> None:
        expected = self.config.max_source_positions * 2
        if input_features_BFS.ndim != 3 or input_features_BFS.shape[-1] != expected:
            raise ValueError(
                f"Whisper reads input features (batch, mel bins, {expected}), but these have shape "
                f"{tuple(input_features_BFS.shape)}. Make them with the processor, which pads or cuts to 30 s."
            )

    @model_forward
    def forward(
        self,
        input_features: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """Encode log-mel features.

        Args:
            input_features: (B, F, S) with S = 2 * max_source_positions.
            attention_mask: accepted and not used: silence is part of the input.
            head_mask: (layers, heads), 1 keeps a head.

        Raises:
            ValueError: features of another length.
        """
        self._check_length(input_features)
        hidden_BCS = F.gelu(self.conv1(input_features))
        hidden_BTC = F.gelu(self.conv2(hidden_BCS)).transpose(1, 2)
        hidden_BTC = F.dropout(hidden_BTC + self.embed_positions.weight, self.dropout, self.training)
        states: list[Tensor] = []
        attentions: list[Any] = []
        for layer, mask in zip(self.layers, check_head_mask(head_mask, len(self.layers), "head_mask"), strict=True):
            states.append(hidden_BTC)
            weights = None
            if not (self.training and self.layerdrop > 0 and torch.rand([]) < self.layerdrop):
                hidden_BTC, weights = layer(hidden_BTC, mask, output_attentions)
            attentions.append(weights)
        hidden_BTC = self.layer_norm(hidden_BTC)
        return BaseModelOutput(
            last_hidden_state=hidden_BTC,
            hidden_states=(*states, hidden_BTC) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )
