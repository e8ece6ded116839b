"""One step of generation for a causal decoder as a direct form (see `direct`): its forward without its modules.

Shapes: B batch, T new tokens (usually 1), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xf.interfaces.cache import Cache
from xf.outputs import CausalLMOutputWithPast

from .decoder_inputs import decoder_masks, kept_positions
from .direct import direct, is_hooked, takes_rows

if TYPE_CHECKING:
    from .decoder_heads import CausalLM
    from .decoder_model import DecoderModel


def direct_step(model: CausalLM, body: DecoderModel) -> Callable[..., CausalLMOutputWithPast] | None:
    """A function of the forward's arguments that gives its logits and cache; None where only the model will do.

    It takes input_ids (B, T) and a cache; anything else it is given (labels, output_attentions ...) goes to the model.
    """
    if model.training or is_hooked(model) or is_hooked(body):
        return None
    embed, norm, logits = (
        direct(body.get_input_embeddings()),
        direct(getattr(body, body.norm_name)),
        model.direct_logits(),
    )
    scale_inputs, rotations, config, kinds = body.scale_inputs, body.rotations, body.config, body.kinds
    layers = [direct(layer) for layer in body.layers]
    by_rows = takes_rows(norm) and all(takes_rows(layer) for layer in layers)
    logits_by_rows = takes_rows(logits)

    def step(
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        cache_position: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        further = any(other is not None and other is not False for other in others.values())
        if further or input_ids is None or past_key_values is None or use_cache is False:
            return model(
                input_ids=input_ids,
                past_key_values=past_key_values,
                attention_mask=attention_mask,
                position_ids=position_ids,
                cache_position=cache_position,
                use_cache=use_cache,
                logits_to_keep=0 if logits_to_keep is None else logits_to_keep,
                **others,
            )
        x_BTC = scale_inputs(embed(input_ids))
        start = past_key_values.get_seq_length() if cache_position is None else 0
        masks = decoder_masks(
            config, kinds, x_BTC, attention_mask, cache_position, past_key_values, position_ids, start
        )
        if position_ids is None and cache_position is not None:
            position_ids = cache_position[None]
        turns = rotations(x_BTC, position_ids, start)
        x = x_BTC.flatten(0, 1) if by_rows and x_BTC.shape[1] == 1 else x_BTC
        for layer, kind, rotation in zip(layers, kinds, turns, strict=True):
            x = layer(x, rotation, masks[kind], past_key_values, cache_position)[0]
        x = norm(x)
        if x.ndim == 3:
            found = logits(x if logits_to_keep is None else kept_positions(x, logits_to_keep))
        else:
            found = logits(x).unsqueeze(1) if logits_by_rows else logits(x.unsqueeze(1))
        return CausalLMOutputWithPast(logits=found, past_key_values=past_key_values)

    return step
