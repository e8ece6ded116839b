"""Cache: the keys and values (or states) of past tokens, one layer object per model layer.

Shapes: B batch, G key-value heads, T new tokens, K tokens so far, D head width; keys and values are (B, G, K, D).

A cache is a list of layers of the kinds that the model declares (`layer_kinds`): full, sliding, chunked, state-space.
Processors (offloading, quantization) see every update before and after. The kernel holds the growing layers; static,
offloaded, quantized and paged ones are plugins in `xf.v1.cache`.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..plugins import registry

LegacyCache = tuple[tuple[Tensor, ...], ...]


def layer_kinds(config: Any) -> list[str]:
    """The kind of each decoder layer: config.layer_types, else what sliding_window or attention_chunk_size imply."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return list(kinds)
    count = getattr(config, "num_hidden_layers", None) or 1
    if getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True):
        return ["sliding_attention"] * count
    if getattr(config, "attention_chunk_size", None) is not None:
        return ["chunked_attention"] * count
    return ["full_attention"] * count


class CacheLayerMixin(ABC):
    """One layer's memory. `kind` is the layer kind it serves; `is_compileable` says that its shapes never change."""

    kind: str = "full_attention"
    is_compileable: bool = False
    is_sliding: bool = False

    @property
    @abstractmethod
    def keys(self) -> Tensor | None:
        """Stored keys (B, G, K, D), None before the first update."""

    @property
    @abstractmethod
    def values(self) -> Tensor | None:
        """Stored values (B, G, K, D), None before the first update."""

    @abstractmethod
    def update(
        self, key_states: Tensor, value_states: Tensor, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add T tokens (B, G, T, D) and return the keys and values that they attend to.

        cache_kwargs may hold cache_position (T,), the absolute positions of the new tokens.
        """

    @abstractmethod
    def get_seq_length(self, cache_position: Tensor | None = None) -> int:
        """Tokens seen so far."""

    @abstractmethod
    def get_max_cache_shape(self) -> int:
        """The most tokens it can hold, -1 without a bound."""

    @abstractmethod
    def get_mask_sizes(self, cache_position: Tensor) -> tuple[int, int]:
        """(kv_length, kv_offset) of what `update` will return for queries at cache_position (T,)."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all tokens."""

    @abstractmethod
    def map_batch(self, change: Callable[[Tensor], Tensor]) -> None:
        """Apply `change` (which works on dimension 0, the batch) to all that is stored."""

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rows become those of beam_idx (B,): row i takes over row beam_idx[i]."""
        self.map_batch(lambda x: x.index_select(0, beam_idx.to(x.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row `repeats` times."""
        self.map_batch(lambda x: x.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows in `indices` (an index or bool tensor)."""
        self.map_batch(lambda x: x[indices.to(x.device)])

    def crop(self, max_length: int) -> None:
        """Keep the first max_length tokens; a negative number drops that many from the end."""
        raise ValueError(f"{type(self).__name__} cannot forget its latest tokens: use the dynamic cache for this.")


class DynamicLayer(CacheLayerMixin):
    """Keeps every token. Full storage grows by half its size, so that a decoding step copies only its own token."""

    _spare_tokens = 64  # room beyond the growth, so that short prompts do not reallocate at every other step

    def __init__(self) -> None:
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._start = 0  # tokens before it are forgotten (sliding layers)
        self._end = 0
        self._shared = False  # after a crop, views handed out earlier still show the dropped tokens: never write there

    @property
    def keys(self) -> Tensor | None:
        return None if self._keys is None else self._keys[:, :, self._start : self._end]

    @keys.setter
    def keys(self, keys: Tensor | None) -> None:
        self._keys = keys
        self._start, self._end, self._shared = 0, 0 if keys is None else keys.shape[-2], True

    @property
    def values(self) -> Tensor | None:
        return None if self._values is None else self._values[:, :, self._start : self._end]

    @values.setter
    def values(self, values: Tensor | None) -> None:
        self._values = values

    def update(
        self, key_states: Tensor, value_states: Tensor, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        if self._keys is None or self._values is None or self._start == self._end:
            self._keys, self._values = key_states, value_states
            self._start, self._end, self._shared = 0, key_states.shape[-2], False
            return key_states, value_states
        end = self._end + key_states.shape[-2]
        if torch.is_grad_enabled() and (key_states.requires_grad or self._keys.requires_grad):
            self._keys = torch.cat([self._keys[:, :, self._start : self._end], key_states], dim=-2)
            self._values = torch.cat([self._values[:, :, self._start : self._end], value_states], dim=-2)
            self._start, self._end = 0, end - self._start
            return self._keys, self._values
        frozen = self._keys.is_inference() and not torch.is_inference_mode_enabled()
        if end > self._keys.shape[-2] or self._shared or frozen:
            self._grow(key_states.shape[-2])
            end = self._end + key_states.shape[-2]
        self._keys[:, :, self._end : end] = key_states
        self._values[:, :, self._end : end] = value_states
        self._end = end
        return self._keys[:, :, self._start : end], self._values[:, :, self._start : end]

    def _grow(self, new_tokens: int) -> None:
        """Move what is kept into fresh storage with room for new_tokens and half as many again."""
        assert self._keys is not None and self._values is not None
        kept = self._end - self._start
        capacity = (kept + new_tokens) * 3 // 2 + self._spare_tokens
        grown = []
        for old in (self._keys, self._values):
            new = old.new_empty((*old.shape[:2], capacity, old.shape[3]))
            new[:, :, :kept] = old[:, :, self._start : self._end]
            grown.append(new)
        self._keys, self._values = grown
        self._start, self._end, self._shared = 0, kept, False

    def get_seq_length(self, cache_position: Tensor | None = None) -> int:
        return self._end

    def get_max_cache_shape(self) -> int:
        return -1

    def get_mask_sizes(self, cache_position: Tensor) -> tuple[int, int]:
        return self.get_seq_length() + cache_position.shape[0], 0

    def reset(self) -> None:
        self._keys = self._values = None
        self._start = self._end = 0
        self._shared = False

    def crop(self, max_length: int) -> None:
        length = self.get_seq_length()
        keep = length + max_length if max_length < 0 else max_length
        if keep < length:
            self._end -= length - max(keep, 0)
            self._shared = True

    def map_batch(self, change: Callable[[Tensor], Tensor]) -> None:
        if self._keys is not None and self._values is not None:
            self._keys = change(self._keys[:, :, self._start : self._end])
            self._values = change(self._values[:, :, self._start : self._end])
            self._start, self._end, self._shared = 0, self._keys.shape[-2], False

    @classmethod
    def from_tensors(cls, keys: Tensor, values: Tensor) -> DynamicLayer:
        """A layer that holds keys and values (B, G, K, D)."""
        layer = cls()
        layer.keys, layer.values = keys, values
        return layer


class DynamicSlidingWindowLayer(DynamicLayer):
    """Keeps the last sliding_window - 1 tokens, which with the new one make the window."""

    kind = "sliding_attention"
    is_sliding = True

    def __init__(self, sliding_window: int) -> None:
        super().__init__()
        if sliding_window < 1:
            raise ValueError(f"sliding_window is {sliding_window}; it must be at least 1.")
        self.sliding_window = sliding_window
        self._seen = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        self._seen += key_states.shape[-2]
        all_keys, all_values = super().update(key_states, value_states, cache_kwargs)
        self._start = max(self._start, self._end - self.sliding_window + 1)
        return all_keys, all_values

    def get_seq_length(self, cache_position: Tensor | None = None) -> int:
        return self._seen

    def get_max_cache_shape(self) -> int:
        return self.sliding_window

    def get_mask_sizes(self, cache_position: Tensor) -> tuple[int, int]:
        kept = self._end - self._start
        return kept + cache_position.shape[0], self._seen - kept

    def reset(self) -> None:
        super().reset()
        self._seen = 0

    def crop(self, max_length: int) -> None:
        keep = self._seen + max_length if max_length < 0 else max_length
        if keep >= self._seen:
            return
        if self._seen >= self.sliding_window:
            raise ValueError(
                f"A sliding-window layer that has passed its window of {self.sliding_window} tokens cannot be cropped "
                f"to {keep}: older tokens are gone. Use DynamicCache() without a config, which keeps all of them."
            )
        self._end -= self._seen - max(keep, 0)
        self._seen, self._shared = max(keep, 0), True


class CacheProcessor:
    """Sees every update of a cache; subclasses move, compress or record what passes."""

    def __init__(self, cache: Cache, **kwargs: Any) -> None:
        """`cache` is the cache that it will serve."""

    def pre_update(
        self,
        cache: Cache,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        cache_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Before the layer stores them: return the keys and values (B, G, T, D) to store."""
        return key_states, value_states

    def post_update(
        self,
        cache: Cache,
        key_tensors: Tensor,
        value_tensors: Tensor,
        layer_idx: int,
        cache_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """After the layer stored them: return the keys and values (B, G, K, D) to attend to."""
        return key_tensors, value_tensors


LayerFactory = Callable[[], CacheLayerMixin]


class Cache:
    """A list of layers, created when first used.

    layer_classes: one factory (usually a class) for all layers or a list that is repeated; config: a model's config.
    cache_processor: a class, or the name of one: "offloaded" is `offloaded_processor` in `xf.v1.cache`.
    Further keyword arguments (max_batch_size, max_cache_len, device, dtype ...) are for the layers of subclasses.
    """

    def __init__(
        self,
        layer_classes: LayerFactory | list[LayerFactory] | None = None,
        config: Any = None,
        cache_processor: str | type[CacheProcessor] | None = None,
        **kwargs: Any,
    ) -> None:
        self.layers: list[CacheLayerMixin] = []
        factories = layer_classes if isinstance(layer_classes, list) else [layer_classes or DynamicLayer]
        self._factories: list[LayerFactory] = factories
        self.num_hidden_layers = getattr(config.get_text_config(decoder=True), "num_hidden_layers", 1) if config else 1
        if isinstance(cache_processor, str):
            cache_processor = registry("cache").get(f"{cache_processor}_processor")
        self.cache_processor = cache_processor(self, **kwargs) if cache_processor is not None else None  # type: ignore[operator]

    @classmethod
    def for_generation(
        cls, config: Any, *, batch_size: int, max_length: int, device: torch.device, dtype: torch.dtype, **options: Any
    ) -> Cache:
        """The cache that `generate` makes for `cache_implementation`; options are generation_config.cache_config."""
        return cls(config=config, **options)

    def append_new_layers(self, layer_idx: int) -> None:
        """Create the layers up to and including layer_idx."""
        while len(self.layers) <= layer_idx:
            self.layers.append(self._factories[len(self.layers) % len(self._factories)]())

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add tokens (B, G, T, D) to layer layer_idx; returns the keys and values (B, G, K, D) that they attend to."""
        if layer_idx >= len(self.layers):
            self.append_new_layers(layer_idx)
        if self.cache_processor is None:
            return self.layers[layer_idx].update(key_states, value_states, cache_kwargs)
        processor = self.cache_processor
        key_states, value_states = processor.pre_update(self, key_states, value_states, layer_idx, cache_kwargs)
        keys, values = self.layers[layer_idx].update(key_states, value_states, cache_kwargs)
        return processor.post_update(self, keys, values, layer_idx, cache_kwargs)

    def first_layer_of_kind(self, kind: str) -> int:
        """Index of the first layer that serves layers of `kind`; 0 where none is marked so."""
        return next((i for i, layer in enumerate(self.layers) if layer.kind == kind), 0)

    def get_seq_length(self, layer_idx: int = 0, cache_position: Tensor | None = None) -> int:
        """Tokens seen so far by layer layer_idx."""
        return self.layers[layer_idx].get_seq_length(cache_position) if layer_idx < len(self.layers) else 0

    def get_mask_sizes(self, cache_position: Tensor, layer_idx: int = 0) -> tuple[int, int]:
        """(kv_length, kv_offset) of what layer layer_idx will return for queries at cache_position."""
        if layer_idx >= len(self.layers):
            return cache_position.shape[0], 0
        return self.layers[layer_idx].get_mask_sizes(cache_position)

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """The most tokens that layer layer_idx can hold, -1 without a bound."""
        return self.layers[layer_idx].get_max_cache_shape() if layer_idx < len(self.layers) else -1

    def reset(self) -> None:
        """Forget all tokens, keep the layers."""
        for layer in self.layers:
            layer.reset()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i takes over row beam_idx[i] (beam search)."""
        for layer in self.layers:
            layer.reorder_cache(beam_idx)

    def crop(self, max_length: int) -> None:
        """Keep the first max_length tokens; a negative number drops that many from the end."""
        for layer in self.layers:
            layer.crop(max_length)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row `repeats` times."""
        for layer in self.layers:
            layer.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows in `indices`."""
        for layer in self.layers:
            layer.batch_select_indices(indices)

    @property
    def max_cache_len(self) -> int:
        """The largest bound of any layer, -1 without one."""
        return max((layer.get_max_cache_shape() for layer in self.layers), default=-1)

    @property
    def max_batch_size(self) -> int | None:
        """Rows held, None before the first update."""
        keys = self.layers[0].keys if self.layers else None
        return None if keys is None else keys.shape[0]

    @property
    def is_compileable(self) -> bool:
        """Whether every layer keeps its shapes."""
        return bool(self.layers) and all(layer.is_compileable for layer in self.layers)

    @property
    def is_sliding(self) -> list[bool]:
        """Per layer, whether it keeps only a window."""
        return [layer.is_sliding for layer in self.layers]

    @property
    def key_cache(self) -> list[Tensor | None]:
        """Keys per layer."""
        return [layer.keys for layer in self.layers]

    @property
    def value_cache(self) -> list[Tensor | None]:
        """Values per layer."""
        return [layer.values for layer in self.layers]

    def __getitem__(self, layer_idx: int) -> tuple[Tensor, Tensor]:
        if layer_idx >= len(self.layers):
            raise KeyError(f"The cache has {len(self.layers)} layers; there is no layer {layer_idx}.")
        keys, values = self.layers[layer_idx].keys, self.layers[layer_idx].values
        assert keys is not None and values is not None, "a layer is created by its first update"
        return keys, values

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for layer_idx in range(len(self.layers)):
            yield self[layer_idx]

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        kinds = ", ".join(dict.fromkeys(type(layer).__name__ for layer in self.layers))
        return f"{type(self).__name__}(layers={len(self.layers)} [{kinds}], tokens={self.get_seq_length()})"


class DynamicCache(Cache):
    """Grows with the text; the default of `generate`.

    With a config, layers are of the kinds that it declares (a sliding layer keeps only its window); without one, every
    layer keeps all tokens. ddp_cache_data: (keys, values) per layer, as data-parallel wrappers hand them over.
    """

    def __init__(
        self,
        ddp_cache_data: Iterable[tuple[Tensor, Tensor]] | None = None,
        config: Any = None,
        **kwargs: Any,
    ) -> None:
        factories = _dynamic_factories(config.get_text_config(decoder=True)) if config is not None else None
        super().__init__(layer_classes=factories, config=config, **kwargs)
        if ddp_cache_data is not None:
            self.layers = [DynamicLayer.from_tensors(keys, values) for keys, values in ddp_cache_data]

    def to_legacy_cache(self) -> LegacyCache:
        """((keys, values), ...) per layer, the form of older code."""
        return tuple(self[layer_idx] for layer_idx in range(len(self.layers)))

    @classmethod
    def from_legacy_cache(cls, past_key_values: LegacyCache | None = None) -> DynamicCache:
        """From ((keys, values), ...) per layer."""
        cache = cls()
        for layer_idx, pair in enumerate(past_key_values or ()):
            cache.update(pair[0], pair[1], layer_idx)
        return cache


def _dynamic_factories(config: Any) -> list[LayerFactory]:
    def factory(kind: str) -> LayerFactory:
        if kind == "sliding_attention":
            return functools.partial(DynamicSlidingWindowLayer, config.sliding_window)
        return DynamicLayer

    return [factory(kind) for kind in layer_kinds(config)]


class EncoderDecoderCache(Cache):
    """Two caches: the decoder's own, and the encoder's keys and values, which are computed once.

    is_updated[i] is True once layer i of the cross-attention cache holds the encoder's states.
    """

    def __init__(self, self_attention_cache: Cache, cross_attention_cache: Cache) -> None:
        super().__init__()
        self.self_attention_cache = self_attention_cache
        self.cross_attention_cache = cross_attention_cache
        self.layers = self_attention_cache.layers
        filled = len(cross_attention_cache)
        self.is_updated = {i: cross_attention_cache.get_seq_length(i) > 0 for i in range(filled)}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.self_attention_cache.update(key_states, value_states, layer_idx, cache_kwargs)

    def __getitem__(self, layer_idx: int) -> tuple[Tensor, ...]:  # type: ignore[override]
        if layer_idx >= len(self.self_attention_cache):
            raise KeyError(f"The cache has {len(self)} layers; there is no layer {layer_idx}.")
        own = self.self_attention_cache[layer_idx]
        return (*own, *self.cross_attention_cache[layer_idx]) if self.is_updated.get(layer_idx) else own

    def __len__(self) -> int:
        return len(self.self_attention_cache)

    def to_legacy_cache(self) -> LegacyCache:
        """((self keys, self values, cross keys, cross values), ...) per layer."""
        return tuple(self[layer_idx] for layer_idx in range(len(self)))

    @classmethod
    def from_legacy_cache(cls, past_key_values: LegacyCache | None = None) -> EncoderDecoderCache:
        """From tuples of two (self) or four (self and cross) tensors per layer."""
        own, cross = DynamicCache(), DynamicCache()
        for layer_idx, tensors in enumerate(past_key_values or ()):
            own.update(tensors[0], tensors[1], layer_idx)
            if len(tensors) > 2:
                cross.update(tensors[2], tensors[3], layer_idx)
        return cls(own, cross)

    def get_seq_length(self, layer_idx: int = 0, cache_position: Tensor | None = None) -> int:
        return self.self_attention_cache.get_seq_length(layer_idx, cache_position)

    def get_mask_sizes(self, cache_position: Tensor, layer_idx: int = 0) -> tuple[int, int]:
        return self.self_attention_cache.get_mask_sizes(cache_position, layer_idx)

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        return self.self_attention_cache.get_max_cache_shape(layer_idx)

    def first_layer_of_kind(self, kind: str) -> int:
        return self.self_attention_cache.first_layer_of_kind(kind)

    @property
    def is_compileable(self) -> bool:
        return self.self_attention_cache.is_compileable

    def reset(self) -> None:
        self.self_attention_cache.reset()
        self.cross_attention_cache.reset()
        self.is_updated = dict.fromkeys(self.is_updated, False)

    def crop(self, max_length: int) -> None:
        """Crops the decoder's own tokens; the encoder's stay."""
        self.self_attention_cache.crop(max_length)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.self_attention_cache.reorder_cache(beam_idx)
        self.cross_attention_cache.reorder_cache(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.self_attention_cache.batch_repeat_interleave(repeats)
        self.cross_attention_cache.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        self.self_attention_cache.batch_select_indices(indices)
        self.cross_attention_cache.batch_select_indices(indices)

    def batch_split(self, full_batch_size: int, split_size: int) -> list[EncoderDecoderCache]:
        """Caches of split_size rows each."""
        splits = []
        for begin in range(0, full_batch_size, split_size):
            rows = slice(begin, begin + split_size)
            splits.append(
                EncoderDecoderCache(
                    DynamicCache([(k[rows], v[rows]) for k, v in self.self_attention_cache]),
                    DynamicCache([(k[rows], v[rows]) for k, v in self.cross_attention_cache]),
                )
            )
        return splits
