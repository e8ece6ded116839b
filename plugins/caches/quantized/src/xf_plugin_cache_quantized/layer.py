"""QuantizedLayer: old tokens quantized in blocks, the latest ones as they are (arXiv:2402.02750).

Shapes: B batch, G key-value heads, T new tokens, K tokens so far, D head width; keys and values are (B, G, K, D).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xf.interfaces.cache import CacheLayerMixin, DynamicLayer

if TYPE_CHECKING:
    from .processors import QuantizedCacheProcessor


@dataclass
class Block:
    """Tokens that were quantized together: keys and values in the backend's own form."""

    keys: Any
    values: Any
    length: int


class QuantizedLayer(CacheLayerMixin):
    """Once more than residual_length tokens wait, all waiting ones become a block, which is never quantized again.

    The tokens of one update are always returned as they came; only later ones see them quantized.
    """

    def __init__(self, scheme: QuantizedCacheProcessor) -> None:
        self._scheme = scheme
        self._blocks: list[Block] = []
        self._waiting = DynamicLayer()

    @property
    def keys(self) -> Tensor | None:
        return self._joined("keys")

    @property
    def values(self) -> Tensor | None:
        return self._joined("values")

    def _joined(self, name: str) -> Tensor | None:
        """All tokens, the quantized ones restored."""
        waiting = getattr(self._waiting, name)
        parts = [self._scheme._dequantize(getattr(block, name)) for block in self._blocks]
        if waiting is not None and waiting.shape[2]:
            parts = [part.to(waiting.dtype) for part in parts] + [waiting]
        return torch.cat(parts, dim=2) if parts else None

    def update(
        self, key_states: Tensor, value_states: Tensor, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        self._waiting.update(key_states, value_states)
        keys, values = self.keys, self.values
        assert keys is not None and values is not None, "something was just added"
        if self._waiting.get_seq_length() > self._scheme.residual_length:
            self._quantize_waiting()
        return keys.to(key_states.dtype), values.to(value_states.dtype)

    @torch.no_grad()
    def _quantize_waiting(self) -> None:
        keys, values = self._waiting.keys, self._waiting.values
        assert keys is not None and values is not None
        scheme = self._scheme
        self._blocks.append(
            Block(
                scheme._quantize(keys.contiguous(), scheme.axis_key),
                scheme._quantize(values.contiguous(), scheme.axis_value),
                keys.shape[2],
            )
        )
        self._waiting.reset()

    @property
    def quantized_length(self) -> int:
        """Tokens that are quantized."""
        return sum(block.length for block in self._blocks)

    def get_seq_length(self, cache_position: Tensor | None = None) -> int:
        return self.quantized_length + self._waiting.get_seq_length()

    def get_max_cache_shape(self) -> int:
        return -1

    def get_mask_sizes(self, cache_position: Tensor) -> tuple[int, int]:
        return self.get_seq_length() + cache_position.shape[0], 0

    def reset(self) -> None:
        self._blocks.clear()
        self._waiting.reset()

    def crop(self, max_length: int) -> None:
        seen = self.get_seq_length()
        keep = max(seen + max_length, 0) if max_length < 0 else max_length
        if keep >= seen:
            return
        if keep >= self.quantized_length:
            self._waiting.crop(keep - self.quantized_length)
            return
        self._waiting.reset()
        while self._blocks and keep <= self.quantized_length - self._blocks[-1].length:
            self._blocks.pop()
        rest = keep - self.quantized_length
        if rest < 0:  # the cut goes through a block: what is left of it waits again
            block = self._blocks.pop()
            kept = slice(0, block.length + rest)
            scheme = self._scheme
            self._waiting.update(
                scheme._dequantize(block.keys)[:, :, kept], scheme._dequantize(block.values)[:, :, kept]
            )

    def map_batch(self, change: Callable[[Tensor], Tensor]) -> None:
        scheme = self._scheme
        for block in self._blocks:
            block.keys = scheme._map(block.keys, change, scheme.axis_key)
            block.values = scheme._map(block.values, change, scheme.axis_value)
        self._waiting.map_batch(change)
