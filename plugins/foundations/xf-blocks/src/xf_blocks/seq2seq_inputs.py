"""What goes into encoder-decoders: decoder inputs made from labels, caches, head masks.

Shapes: B batch, T tokens, L layers, H heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.interfaces.cache import Cache, DynamicCache, EncoderDecoderCache
from xf.outputs import BaseModelOutput

from .losses import IGNORED

logger = logging.get_logger(__name__)


def shift_tokens_right(input_ids_BT: Tensor, pad_token_id: int | None, decoder_start_token_id: int | None) -> Tensor:
    """Decoder inputs of teacher forcing: the start token, then all tokens but the last; -100 becomes padding.

    Raises: ValueError where the config has no pad token or no start token.
    """
    if pad_token_id is None or decoder_start_token_id is None:
        raise ValueError(
            "Decoder inputs are made from labels with config.pad_token_id and config.decoder_start_token_id: set both."
        )
    start_B1 = torch.full_like(input_ids_BT[:, :1], decoder_start_token_id)
    shifted_BT = torch.cat([start_B1, input_ids_BT[:, :-1]], dim=1)
    return shifted_BT.masked_fill(shifted_BT == IGNORED, pad_token_id)


def wrap_last_token(input_ids_BT: Tensor, pad_token_id: int | None) -> Tensor:
    """Decoder inputs that begin with each row's last token that is no padding (a language code), then all but the last.

    Raises: ValueError where the config has no pad token.
    """
    if pad_token_id is None:
        raise ValueError("Decoder inputs are made from labels with config.pad_token_id: set it.")
    ids_BT = input_ids_BT.masked_fill(input_ids_BT == IGNORED, pad_token_id)
    last_B1 = (ids_BT.ne(pad_token_id).sum(dim=1, keepdim=True) - 1) % ids_BT.shape[1]
    return torch.cat([ids_BT.gather(1, last_B1), ids_BT[:, :-1]], dim=1)


def settle_use_cache(model: Any, use_cache: bool | None) -> bool:
    """Whether to fill a cache: what the caller says, else the config; never while layers are computed twice."""
    use_cache = bool(model.config.use_cache if use_cache is None else use_cache)
    if use_cache and model.training and model.is_gradient_checkpointing:
        logger.warning_once("use_cache is not used: gradient checkpointing computes layers twice.")
        return False
    return use_cache


def start_decoder_cache(past_key_values: Any, use_cache: bool) -> Cache | None:
    """The cache that a decoder fills: the given one (legacy tuples too), else an empty one where use_cache asks."""
    if isinstance(past_key_values, (tuple, list)):
        return EncoderDecoderCache.from_legacy_cache(tuple(past_key_values))
    if past_key_values is None and use_cache:
        return EncoderDecoderCache(DynamicCache(), DynamicCache())
    cache: Cache | None = past_key_values
    return cache


def head_rows(head_mask_LH: Tensor | None, layers: int, name: str) -> list[Tensor | None]:
    """The row of a head mask (layers, heads) for each layer as (1, H, 1, 1), or None for each.

    Raises: ValueError for another number of rows.
    """
    if head_mask_LH is None:
        return [None] * layers
    if head_mask_LH.ndim != 2 or head_mask_LH.shape[0] != layers:
        raise ValueError(
            f"{name} must be (layers, heads) for {layers} layers; it has shape {tuple(head_mask_LH.shape)}."
        )
    return [row_H.view(1, -1, 1, 1) for row_H in head_mask_LH]


def as_encoder_output(encoder_outputs: Any) -> Any:
    """encoder_outputs as an output object; a tuple holds last_hidden_state, hidden_states, attentions."""
    return encoder_outputs if isinstance(encoder_outputs, dict) else BaseModelOutput(*encoder_outputs)
