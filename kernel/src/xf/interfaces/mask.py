"""MaskFunction: who may look at whom, as predicates over (batch, head, query, key) indices.

A mask function takes four index tensors that broadcast against each other and returns booleans: True where the query
at q_idx may attend to the key at kv_idx. Indices are absolute positions in the sequence, so a predicate never knows
about caches. Predicates combine with `and_masks` and `or_masks`; each attention backend expands the combination once
per forward into what its kernel reads (None where its own causal flag is enough).

Shapes: B batch, H heads (1 here, broadcast), Q queries, K keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .cache import Cache
    from .config import PretrainedConfig

Index = Any  # an int, or an integer tensor that broadcasts
MaskFunction = Callable[[Index, Index, Index, Index], Any]


class MaskBuilder(Protocol):
    """Expands a mask function for one backend; the documented signature of `AttentionMaskInterface.register`.

    batch_size: B. cache_position: (Q,) absolute positions of the queries. kv_length, kv_offset: the keys are at
    positions kv_offset ... kv_offset + kv_length - 1. attention_mask: (B, positions) bool, False at padding, or None.
    local_size: window or chunk size where the mask is local. allow_is_causal_skip: None may be returned where the
    kernel's own causality (module.is_causal) says the same as the mask.
    """

    def __call__(
        self,
        batch_size: int,
        cache_position: Tensor,
        kv_length: int,
        kv_offset: int = 0,
        mask_function: MaskFunction = ...,
        attention_mask: Tensor | None = None,
        local_size: int | None = None,
        allow_is_causal_skip: bool = True,
        **kwargs: Any,
    ) -> Any: ...


def causal_mask_function(batch_idx: Index, head_idx: Index, q_idx: Index, kv_idx: Index) -> Any:
    """A query sees itself and what came before."""
    return kv_idx <= q_idx


def bidirectional_mask_function(batch_idx: Index, head_idx: Index, q_idx: Index, kv_idx: Index) -> Any:
    """Every query sees every key."""
    return (q_idx >= 0) & (kv_idx >= 0)


def sliding_window_overlay(sliding_window: int) -> MaskFunction:
    """Only the last `sliding_window` positions, the query's own included."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: kv_idx > q_idx - sliding_window


def chunked_overlay(chunk_size: int) -> MaskFunction:
    """Only positions of the query's own chunk: [0, chunk_size), [chunk_size, 2 chunk_size), ..."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: kv_idx // chunk_size == q_idx // chunk_size


def prefix_mask_function(prefix_lengths: Tensor) -> MaskFunction:
    """Keys within the first prefix_lengths (B,) positions are seen by all (prefix language models)."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: kv_idx < prefix_lengths[batch_idx]


def padding_mask_function(padding_mask: Tensor) -> MaskFunction:
    """Keys where padding_mask (B, positions) is True."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: padding_mask[batch_idx, kv_idx]


def packed_sequence_mask_function(packed_sequence_mask: Tensor) -> MaskFunction:
    """Keys of the query's own sequence, where packed_sequence_mask (B, positions) numbers the sequences of a row."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: (
        packed_sequence_mask[batch_idx, q_idx] == packed_sequence_mask[batch_idx, kv_idx]
    )


def and_masks(*mask_functions: MaskFunction) -> MaskFunction:
    """True where all of `mask_functions` are."""

    def combined(batch_idx: Index, head_idx: Index, q_idx: Index, kv_idx: Index) -> Any:
        result = mask_functions[0](batch_idx, head_idx, q_idx, kv_idx)
        for mask_function in mask_functions[1:]:
            result = result & mask_function(batch_idx, head_idx, q_idx, kv_idx)
        return result

    return combined


def or_masks(*mask_functions: MaskFunction) -> MaskFunction:
    """True where any of `mask_functions` is."""

    def combined(batch_idx: Index, head_idx: Index, q_idx: Index, kv_idx: Index) -> Any:
        result = mask_functions[0](batch_idx, head_idx, q_idx, kv_idx)
        for mask_function in mask_functions[1:]:
            result = result | mask_function(batch_idx, head_idx, q_idx, kv_idx)
        return result

    return combined


def sliding_window_causal_mask_function(sliding_window: int) -> MaskFunction:
    """Causal within the last `sliding_window` positions."""
    return and_masks(sliding_window_overlay(sliding_window), causal_mask_function)


def chunked_causal_mask_function(chunk_size: int) -> MaskFunction:
    """Causal within the query's own chunk."""
    return and_masks(chunked_overlay(chunk_size), causal_mask_function)


def expand_mask(
    mask_function: MaskFunction, batch_size: int, q_positions: Tensor, kv_positions: Tensor, padding_mask: Tensor | None
) -> Tensor:
    """The predicate on all indices, padding applied: bool (B, 1, Q, K), True where attention is allowed."""
    device = q_positions.device
    batch_idx = torch.arange(batch_size, device=device)[:, None, None, None]
    head_idx = torch.zeros((1, 1, 1, 1), dtype=torch.long, device=device)
    q_idx, kv_idx = q_positions[None, None, :, None], kv_positions[None, None, None, :]
    allowed = mask_function(batch_idx, head_idx, q_idx, kv_idx)
    if padding_mask is not None:
        width = padding_mask.shape[1]
        beyond = kv_positions >= width  # slots of a preallocated cache that no token has reached yet
        real = padding_mask[:, kv_positions.clamp(max=width - 1)] & ~beyond
        allowed = allowed & real[:, None, None, :]
    return torch.broadcast_to(allowed, (batch_size, 1, q_positions.shape[0], kv_positions.shape[0]))


def _causal_flag_suffices(
    q_length: int, kv_length: int, kv_offset: int, padding_mask: Tensor | None, local_size: int | None
) -> bool:
    """Whether is_causal (or, for a single query, no mask at all) equals the causal mask over these keys."""
    if q_length != 1 and q_length != kv_length:
        return False
    if local_size is not None and kv_length > local_size:
        return False
    return padding_mask is None or bool(padding_mask[:, kv_offset : kv_offset + kv_length].all())


def sdpa_mask(
    batch_size: int,
    cache_position: Tensor,
    kv_length: int,
    kv_offset: int = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **kwargs: Any,
) -> Tensor | None:
    """Bool (B, 1, Q, K) as scaled_dot_product_attention reads it, or None where its causal flag is enough."""
    if allow_is_causal_skip and _causal_flag_suffices(
        cache_position.shape[0], kv_length, kv_offset, attention_mask, local_size
    ):
        return None
    kv_positions = torch.arange(kv_length, device=cache_position.device) + kv_offset  # traced: a tensor
    return expand_mask(mask_function, batch_size, cache_position, kv_positions, attention_mask)


def eager_mask(
    batch_size: int,
    cache_position: Tensor,
    kv_length: int,
    kv_offset: int = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = False,
    dtype: torch.dtype = torch.float32,
    **kwargs: Any,
) -> Tensor:
    """Additive (B, 1, Q, K): 0 where attention is allowed, the smallest number of `dtype` elsewhere; always built.

    Also the mask of every backend registered without one: a kernel that knows nothing of causality stays causal.
    """
    kv_positions = torch.arange(kv_length, device=cache_position.device) + kv_offset  # traced: a tensor
    allowed = expand_mask(mask_function, batch_size, cache_position, kv_positions, attention_mask)
    return to_additive(allowed, dtype)


def to_additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Bool mask to additive: 0 where True, finfo(dtype).min where False."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


def find_packed_sequence_indices(position_ids: Tensor) -> Tensor:
    """Number the sequences packed into the rows of position_ids (B, T): one begins where they do not go up by 1."""
    first = position_ids[:, :1] - 1  # so that the first token never begins a new sequence
    return (torch.diff(position_ids, prepend=first, dim=-1) != 1).cumsum(-1)


def _create_mask(
    config: PretrainedConfig,
    input_embeds: Tensor,
    attention_mask: Any,
    cache_position: Tensor,
    past_key_values: Cache | None,
    position_ids: Tensor | None,
    or_mask_function: MaskFunction | None,
    and_mask_function: MaskFunction | None,
    mask_function: MaskFunction,
    kind: str,
    local_size: int | None,
) -> Any:
    """Shared by all mask makers: sizes from the cache layer of `kind`, extra predicates, then the backend's builder."""
    from .attention import attention_backend

    backend = attention_backend(config._attn_implementation or "eager")
    if attention_mask is not None and (not isinstance(attention_mask, Tensor) or attention_mask.ndim != 2):
        return _ready_made(attention_mask, backend.name, input_embeds.dtype)
    layer_idx = past_key_values.first_layer_of_kind(kind) if past_key_values is not None else 0
    kv_length, kv_offset = cache_position.shape[0], 0
    exact = True
    if past_key_values is not None:
        kv_length, kv_offset = past_key_values.get_mask_sizes(cache_position, layer_idx)
        # preallocated caches have slots ahead of the last query
        exact = not past_key_values.is_compileable and (
            kv_offset + kv_length == past_key_values.get_seq_length(layer_idx) + cache_position.shape[0]
        )
    if attention_mask is not None:
        attention_mask = attention_mask.to(device=cache_position.device, dtype=torch.bool)
    elif position_ids is not None and past_key_values is None:
        packed = find_packed_sequence_indices(position_ids.expand(input_embeds.shape[0], -1))
        if bool((packed[:, -1] > 0).any()):
            mask_function = and_masks(mask_function, packed_sequence_mask_function(packed))
            exact = False
    if or_mask_function is not None:
        mask_function, exact = or_masks(mask_function, or_mask_function), False
    if and_mask_function is not None:
        mask_function, exact = and_masks(mask_function, and_mask_function), False
    return backend.mask(
        batch_size=input_embeds.shape[0],
        cache_position=cache_position,
        kv_length=kv_length,
        kv_offset=kv_offset,
        mask_function=mask_function,
        attention_mask=attention_mask,
        local_size=local_size,
        allow_is_causal_skip=exact,
        dtype=input_embeds.dtype,
        config=config,
    )


def _ready_made(attention_mask: Any, backend_name: str, dtype: torch.dtype) -> Any:
    """A mask that the caller made: 4D tensors (B or 1, H or 1, Q, K), bool or additive, or a backend's own object."""
    if isinstance(attention_mask, Tensor):
        if attention_mask.ndim != 4:
            raise ValueError(
                f"attention_mask has {attention_mask.ndim} dimensions, shape {tuple(attention_mask.shape)}: give "
                "(batch, positions) with 1 at real tokens and 0 at padding, or (batch, heads or 1, queries, keys)."
            )
        if attention_mask.dtype == torch.bool and backend_name == "eager":
            return to_additive(attention_mask, dtype)
        if not attention_mask.is_floating_point() and attention_mask.dtype != torch.bool:
            return to_additive(attention_mask.bool(), dtype) if backend_name == "eager" else attention_mask.bool()
    return attention_mask


def create_causal_mask(
    config: PretrainedConfig,
    input_embeds: Tensor,
    attention_mask: Tensor | None,
    cache_position: Tensor,
    past_key_values: Cache | None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
) -> Any:
    """The causal mask for full-attention layers, as config's attention backend reads it.

    input_embeds: (B, Q, C), for its batch size and dtype. attention_mask: (B, positions so far) with 0 at padding, or a
    ready 4D mask that is used as it is. position_ids: given, without mask and cache, positions that restart mark packed
    sequences, which then do not see each other.
    """
    return _create_mask(
        config, input_embeds, attention_mask, cache_position, past_key_values, position_ids, or_mask_function,
        and_mask_function, causal_mask_function, "full_attention", None,
    )  # fmt: skip


def create_sliding_window_causal_mask(
    config: PretrainedConfig,
    input_embeds: Tensor,
    attention_mask: Tensor | None,
    cache_position: Tensor,
    past_key_values: Cache | None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
) -> Any:
    """As `create_causal_mask`, for layers that see the last config.sliding_window positions."""
    window = getattr(config, "sliding_window", None)
    if window is None:
        raise ValueError("A sliding-window mask was asked for, but config.sliding_window is not set.")
    return _create_mask(
        config, input_embeds, attention_mask, cache_position, past_key_values, position_ids, or_mask_function,
        and_mask_function, sliding_window_causal_mask_function(window), "sliding_attention", window,
    )  # fmt: skip


def create_chunked_causal_mask(
    config: PretrainedConfig,
    input_embeds: Tensor,
    attention_mask: Tensor | None,
    cache_position: Tensor,
    past_key_values: Cache | None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
) -> Any:
    """As `create_causal_mask`, for layers that see only their own chunk of config.attention_chunk_size positions."""
    chunk = getattr(config, "attention_chunk_size", None)
    if chunk is None:
        raise ValueError("A chunked mask was asked for, but config.attention_chunk_size is not set.")
    return _create_mask(
        config, input_embeds, attention_mask, cache_position, past_key_values, position_ids, or_mask_function,
        and_mask_function, chunked_causal_mask_function(chunk), "chunked_attention", chunk,
    )  # fmt: skip


def create_bidirectional_mask(
    config: PretrainedConfig,
    input_embeds: Tensor,
    attention_mask: Tensor | None,
    encoder_hidden_states: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
) -> Any:
    """The mask of an encoder, or of cross attention to encoder_hidden_states (B, K, C); None without padding.

    attention_mask: (B, K) with 0 at padding, or a ready 3D (B, Q, K) or 4D mask.
    """
    from .attention import attention_backend

    keys = input_embeds if encoder_hidden_states is None else encoder_hidden_states
    if attention_mask is None and or_mask_function is None and and_mask_function is None:
        return None
    backend = attention_backend(config._attn_implementation or "eager")
    if attention_mask is not None and (not isinstance(attention_mask, Tensor) or attention_mask.ndim != 2):
        if isinstance(attention_mask, Tensor) and attention_mask.ndim == 3:
            attention_mask = attention_mask[:, None]
        return _ready_made(attention_mask, backend.name, input_embeds.dtype)
    if attention_mask is not None:
        if attention_mask.shape[1] != keys.shape[1]:
            raise ValueError(
                f"attention_mask is for {attention_mask.shape[1]} positions, the input has {keys.shape[1]}."
            )
        attention_mask = attention_mask.to(device=keys.device, dtype=torch.bool)
        if or_mask_function is None and and_mask_function is None and bool(attention_mask.all()):
            return None
    mask_function: MaskFunction = bidirectional_mask_function
    if or_mask_function is not None:
        mask_function = or_masks(mask_function, or_mask_function)
    if and_mask_function is not None:
        mask_function = and_masks(mask_function, and_mask_function)
    return backend.mask(
        batch_size=input_embeds.shape[0],
        cache_position=torch.arange(input_embeds.shape[1], device=input_embeds.device),
        kv_length=keys.shape[1],
        kv_offset=0,
        mask_function=mask_function,
        attention_mask=attention_mask,
        allow_is_causal_skip=False,
        dtype=input_embeds.dtype,
        config=config,
    )


_MAKERS: dict[str, Callable[..., Any]] = {
    "full_attention": create_causal_mask,
    "sliding_attention": create_sliding_window_causal_mask,
    "chunked_attention": create_chunked_causal_mask,
}


def create_masks_for_layers(config: PretrainedConfig, kinds: list[str], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """One mask per kind of attention layer among `kinds`; arguments as `create_causal_mask` after config."""
    return {kind: _MAKERS[kind](config, *args, **kwargs) for kind in dict.fromkeys(kinds) if kind in _MAKERS}


def create_masks_for_generate(config: PretrainedConfig, *args: Any, **kwargs: Any) -> Any:
    """The mask, or a dict of masks by layer kind, that the model of `config` would make for these arguments."""
    from .cache import layer_kinds

    text_config = config.get_text_config()
    kinds = layer_kinds(text_config)
    masks = create_masks_for_layers(text_config, kinds, *args, **kwargs)
    return masks if hasattr(text_config, "layer_types") else next(iter(masks.values()))
