"""OffloadedCacheProcessor: layers take turns on the accelerator; the others' keys and values wait elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf.interfaces.cache import Cache, CacheLayerMixin, CacheProcessor


class OffloadedCacheProcessor(CacheProcessor):
    """Brings the layer that is about to be used to the device of its new tokens, and sends the one before it away.

    On a GPU the next layer is fetched on a stream of its own while this one computes. offload_device: where layers
    wait. Where keys and values are on that device already, nothing moves.
    """

    def __init__(self, cache: Cache, offload_device: str | torch.device = "cpu", **kwargs: Any) -> None:
        self.offload_device = torch.device(offload_device)
        self._stream: Any = None
        self._fetched: dict[int, Any] = {}  # layer -> event after which it is there

    def pre_update(
        self,
        cache: Cache,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        cache_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        device = key_states.device
        if device == self.offload_device:
            return key_states, value_states
        layers, count = cache.layers, len(cache.layers)
        if layer_idx < count:
            self._ensure_there(layers[layer_idx], layer_idx, device)
        if count > 1:
            self._evict(layers[(layer_idx - 1) % count])
            self._prefetch(layers[(layer_idx + 1) % count], (layer_idx + 1) % count, device)
        return key_states, value_states

    def _ensure_there(self, layer: CacheLayerMixin, layer_idx: int, device: torch.device) -> None:
        event = self._fetched.pop(layer_idx, None)
        if event is not None:
            torch.cuda.current_stream(device).wait_event(event)
        _move(layer, device)  # no work where the fetch has brought it

    def _evict(self, layer: CacheLayerMixin) -> None:
        _move(layer, self.offload_device)

    def _prefetch(self, layer: CacheLayerMixin, layer_idx: int, device: torch.device) -> None:
        if device.type != "cuda":
            return  # other devices have no streams to fetch on: the layer comes when it is needed
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            _move(layer, device)
            event = torch.cuda.Event()
            event.record(self._stream)
        self._fetched[layer_idx] = event


def _move(layer: CacheLayerMixin, device: torch.device) -> None:
    """Put what a layer holds on `device`."""
    keys = layer.keys
    if keys is not None and keys.device != device:
        layer.map_batch(lambda x: x.to(device, non_blocking=True))
