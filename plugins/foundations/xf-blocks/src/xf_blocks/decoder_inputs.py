"""What every causal decoder does with its arguments before the first layer."""

from __future__ import annotations

from difflib import get_close_matches
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.interfaces.cache import Cache, DynamicCache
from xf.interfaces.mask import create_masks_for_layers

logger = logging.get_logger(__name__)

# What tokenizers may return for any model, though decoders have no segments: dropping it changes nothing.
_HARMLESS = frozenset({"token_type_ids"})


def check_decoder_inputs(model: Any, input_ids: Any, inputs_embeds: Any, unknown: dict[str, Any]) -> None:
    """Refuse what cannot be served.

    Raises: ValueError unless exactly one of input_ids and inputs_embeds is given; TypeError for unknown arguments.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError(f"{type(model).__name__} needs exactly one of input_ids and inputs_embeds.")
    for name, value in unknown.items():
        if name in _HARMLESS:
            logger.warning_once(f"{type(model).__name__} has no use for {name}: it is ignored.")
        elif value is not None:
            near = get_close_matches(name, signature(model.forward).parameters, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{type(model).__name__}.forward has no argument {name!r}.{hint}")


def start_cache(model: Any, past_key_values: Any, use_cache: bool | None) -> tuple[Cache | None, bool]:
    """(the cache to fill, whether to return it); an empty one is made where use_cache asks for it and none is given."""
    if use_cache is None:
        use_cache = bool(model.config.use_cache)
    if use_cache and model.training and model.is_gradient_checkpointing:
        logger.warning_once("use_cache is not used: gradient checkpointing computes layers twice.")
        use_cache = False
    if isinstance(past_key_values, (tuple, list)):
        past_key_values = DynamicCache.from_legacy_cache(past_key_values)
    if past_key_values is None and use_cache:
        past_key_values = DynamicCache(config=model.config)
    return past_key_values, use_cache


def decoder_masks(
    config: Any,
    kinds: list[str],
    x_BTC: Tensor,
    attention_mask: Any,
    cache_position: Tensor | None,
    past_key_values: Cache | None,
    position_ids: Tensor | None,
    start: int,
) -> dict[str, Any]:
    """{layer kind: mask as the attention backend reads it}; start: tokens before these, where cache_position is None.

    attention_mask: as `xf.interfaces.mask.create_causal_mask` takes it, or already such a dict.
    """
    if isinstance(attention_mask, dict):
        return attention_mask
    length = x_BTC.shape[1]
    if attention_mask is None and length == 1 and past_key_values is not None:
        if past_key_values.get_max_cache_shape() < 0 and all(kind == "full_attention" for kind in kinds):
            return dict.fromkeys(kinds)  # one new token may look at all there is in a cache that grows
    if cache_position is None:
        cache_position = torch.arange(start, start + length, device=x_BTC.device)
    return create_masks_for_layers(
        config, kinds, x_BTC, attention_mask, cache_position, past_key_values, position_ids=position_ids
    )


def kept_positions(hidden_BTC: Tensor, logits_to_keep: int | Tensor) -> Tensor:
    """The last logits_to_keep positions of (B, T, C), all for 0; or those in a tensor of positions."""
    if isinstance(logits_to_keep, Tensor):
        return hidden_BTC[:, logits_to_keep]
    return hidden_BTC[:, -logits_to_keep:] if logits_to_keep else hidden_BTC
