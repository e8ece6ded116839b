"""prefill_chunk_size: read a long prompt in pieces, which bounds the memory of its first forward.

Shapes: B rows, T tokens of the prompt.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xf import logging

from .run import Run

logger = logging.get_logger(__name__)


def prefill_in_chunks(run: Run, kwargs: dict[str, Any], tokens_BT: Tensor) -> dict[str, Any]:
    """Run the model on all of the prompt but its last chunk; returns kwargs whose cache_position are the rest.

    The cache in kwargs holds what was read. Where a prompt cannot be cut, it stays whole, and a warning says why.
    """
    size, positions = run.config.prefill_chunk_size, kwargs.get("cache_position")
    if size is None or positions is None or len(positions) <= size:
        return kwargs
    reason = _whole_because(run, kwargs)
    if reason is not None:
        logger.warning_once(f"prefill_chunk_size={size} is ignored: {reason}.")
        return kwargs
    mask_name = "decoder_attention_mask" if run.is_encoder_decoder else "attention_mask"
    per_token = (mask_name, "token_type_ids", "position_ids", "decoder_position_ids")
    while len(positions) > size:
        now, positions = positions[:size], positions[size:]
        end = int(now[-1]) + 1
        cut = {name: kwargs[name][..., :end] for name in per_token if kwargs.get(name) is not None}
        inputs = run.model.prepare_inputs_for_generation(tokens_BT[:, :end], **{**kwargs, **cut, "cache_position": now})
        run.model(**inputs)
    return {**kwargs, "cache_position": positions}


def _whole_because(run: Run, kwargs: dict[str, Any]) -> str | None:
    """Why this prompt cannot be cut."""
    from .mixin import GenerationMixin

    kind = type(run.model)
    if kind.prepare_inputs_for_generation is not GenerationMixin.prepare_inputs_for_generation:
        return f"{kind.__name__} prepares its inputs in its own way"
    if not kwargs.get("use_cache") or kwargs.get("past_key_values") is None:
        return "without a cache nothing can be read ahead"
    if not run.is_encoder_decoder and kwargs.get("inputs_embeds") is not None:
        return "the prompt is given as inputs_embeds"
    other = [name for name in run.model.prefill_only_inputs if kwargs.get(name) is not None]
    if other:
        return f"{', '.join(other)} belong to the whole prompt"
    mask = kwargs.get("decoder_attention_mask" if run.is_encoder_decoder else "attention_mask")
    return "the mask has more than two dimensions" if mask is not None and mask.ndim != 2 else None
