"""Caches of fixed size, by the documented names (spec: internal/generation_utils.md)."""

from __future__ import annotations

from typing import Any

import torch

from xf.interfaces.cache import Cache, CacheLayerMixin, CacheProcessor, layer_kinds

from .layers import ChunkedSlidingLayer, SlidingWindowLayer, StaticLayer


class StaticCache(Cache):
    """Every layer has max_cache_len slots from the start.

    config: of the model. max_batch_size: rows. max_cache_len: tokens per row, prompt included; the model's
    max_position_embeddings by default. layer_device_map: {layer: device} where layers lie on several devices. tp_size:
    key-value heads are divided by it.
    Raises: ValueError for sizes that make no cache.
    """

    def __init__(
        self,
        config: Any,
        max_batch_size: int = 1,
        max_cache_len: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        layer_device_map: dict[int, torch.device | str] | None = None,
        tp_size: int | None = None,
        cache_processor: str | type[CacheProcessor] | None = None,
        **kwargs: Any,
    ) -> None:
        text_config = config.get_text_config(decoder=True)
        super().__init__(config=config, cache_processor=cache_processor, **kwargs)
        length = max_cache_len if max_cache_len is not None else text_config.max_position_embeddings
        # an encoder-decoder's num_attention_heads are its encoder's; the cache is the decoder's
        of_decoder = getattr(text_config, "decoder_attention_heads", None)
        queries = of_decoder or text_config.num_attention_heads
        heads = of_decoder or getattr(text_config, "num_key_value_heads", None) or queries
        common = {
            "batch_size": max_batch_size,
            "num_heads": heads // tp_size if tp_size else heads,
            "head_dim": getattr(text_config, "head_dim", None) or text_config.hidden_size // queries,
            "dtype": dtype,
        }
        kinds = layer_kinds(text_config)
        for index in range(self.num_hidden_layers):
            place = (layer_device_map or {}).get(index, device or "cpu")
            self.layers.append(self.make_layer(kinds[index], text_config, length, {**common, "device": place}))

    def make_layer(self, kind: str, config: Any, length: int, common: dict[str, Any]) -> CacheLayerMixin:
        """One layer, for a model layer of `kind`: here with room for all tokens whatever the kind."""
        return StaticLayer(length, **common)

    @classmethod
    def for_generation(
        cls, config: Any, *, batch_size: int, max_length: int, device: torch.device, dtype: torch.dtype, **options: Any
    ) -> StaticCache:
        """As `generate` makes it; options are those of the constructor."""
        sizes = {"max_batch_size": batch_size, "max_cache_len": max_length, "device": device, "dtype": dtype}
        return cls(config, **{**sizes, **options})


class SlidingWindowCache(StaticCache):
    """Every layer keeps the last config.sliding_window tokens.

    Raises: ValueError for a model without a window, or with layers that look further back.
    """

    def make_layer(self, kind: str, config: Any, length: int, common: dict[str, Any]) -> CacheLayerMixin:
        window = getattr(config, "sliding_window", None)
        if window is None:
            raise ValueError("A sliding-window cache needs config.sliding_window; use 'static' for this model.")
        if kind != "sliding_attention" and window < length:
            raise ValueError(
                f"Every layer of a sliding-window cache forgets what is {window} tokens back, but the model has layers "
                f"of kind {kind!r}, which see all {length}: use 'hybrid' for this model."
            )
        return SlidingWindowLayer(window, length, **common)


class HybridCache(StaticCache):
    """Each layer as the model declares it: full ones have room for all tokens, sliding and chunked ones for theirs."""

    def make_layer(self, kind: str, config: Any, length: int, common: dict[str, Any]) -> CacheLayerMixin:
        if kind == "sliding_attention":
            return SlidingWindowLayer(config.sliding_window, length, **common)
        if kind == "chunked_attention":
            return ChunkedSlidingLayer(config.attention_chunk_size, length, **common)
        return StaticLayer(length, **common)


class HybridChunkedCache(HybridCache):
    """`HybridCache` under the name it has for models with chunked attention."""
