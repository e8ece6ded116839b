"""Cache layers whose tensors never change shape or place, so that compiled and exported programs can use them.

Shapes: B batch, G key-value heads, T new tokens, L slots, D head width; keys and values are (B, G, L, D).

A traced program learns the positions of new tokens from cache_kwargs["cache_position"]; outside of tracing a layer
counts for itself where no positions are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.cache import CacheLayerMixin


class StaticLayer(CacheLayerMixin):
    """max_cache_len slots, all returned at every update; the mask hides those that no token has reached."""

    is_compileable = True

    def __init__(
        self,
        max_cache_len: int,
        batch_size: int,
        num_heads: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        sliding_window: int | None = None,
    ) -> None:
        if max_cache_len < 1 or batch_size < 1:
            raise ValueError(f"A static cache needs room: max_cache_len={max_cache_len}, batch_size={batch_size}.")
        self.max_cache_len, self.max_batch_size = max_cache_len, batch_size
        shape = (batch_size, num_heads, max_cache_len, head_dim)
        with torch.inference_mode(False):  # so that a cache made by `generate` can be used outside of it
            self._keys = torch.zeros(shape, dtype=dtype, device=device)
            self._values = torch.zeros(shape, dtype=dtype, device=device)
        self._seen: int | None = 0  # None: a traced program wrote, which cannot count
        self._positions: Tensor | None = None  # of the latest tokens, where they are not read for want of speed

    @property
    def keys(self) -> Tensor:
        return self._keys

    @keys.setter
    def keys(self, keys: Tensor) -> None:
        self._keys = keys

    @property
    def values(self) -> Tensor:
        return self._values

    @values.setter
    def values(self, values: Tensor) -> None:
        self._values = values

    def update(
        self, key_states: Tensor, value_states: Tensor, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write T tokens (B, G, T, D) to their slots; returns all slots (B, G, L, D).

        Raises: ValueError if there are not enough slots, or the batch is another.
        """
        positions = (cache_kwargs or {}).get("cache_position")
        tokens = key_states.shape[2]
        if torch.compiler.is_compiling():
            if positions is None:
                raise ValueError("A traced program must give cache_position to a static cache.")
            self._seen = self._positions = None
            self._write(key_states, value_states, positions)
            return self._keys, self._values
        begin = self._begin(positions, tokens)
        if begin is None:
            assert positions is not None, "the layer counts where none are given"
            self._seen, self._positions = None, positions
            self._write(key_states, value_states, positions)
            return self._keys, self._values
        self._check(key_states, begin + tokens)
        self._keys[:, :, begin : begin + tokens] = key_states
        self._values[:, :, begin : begin + tokens] = value_states
        self._seen, self._positions = begin + tokens, None
        return self._keys, self._values

    def _write(self, key_states: Tensor, value_states: Tensor, slots: Tensor) -> None:
        self._keys.index_copy_(2, slots, key_states.to(self._keys.dtype))
        self._values.index_copy_(2, slots, value_states.to(self._values.dtype))

    def _begin(self, positions: Tensor | None, tokens: int) -> int | None:
        """The first of the new positions; None where they are not in a row, or reading them would wait for a device."""
        if positions is None:
            return self.get_seq_length()
        if positions.device.type != "cpu" or int(positions[-1]) - int(positions[0]) + 1 != tokens:
            return None
        return int(positions[0])

    def _check(self, key_states: Tensor, needed: int) -> None:
        if needed > self.max_cache_len:
            raise ValueError(
                f"The static cache holds {self.max_cache_len} tokens, {needed} are needed: make it larger "
                "(max_cache_len)."
            )
        if key_states.shape[0] != self._keys.shape[0]:
            raise ValueError(
                f"The static cache is for {self._keys.shape[0]} rows, not {key_states.shape[0]}: set max_batch_size."
            )

    def get_seq_length(self, cache_position: Tensor | None = None) -> int:
        """Tokens seen so far."""
        if self._seen is None:
            if self._positions is not None:
                self._seen = int(self._positions[-1]) + 1
            else:  # after a traced program: slots that were written are not zero
                self._seen = int(self._keys[0, 0].any(dim=-1).sum())
        return self._seen

    def get_max_cache_shape(self) -> int:
        return self.max_cache_len

    def get_mask_sizes(self, cache_position: Tensor) -> tuple[Any, Any]:
        return self.max_cache_len, 0

    def reset(self) -> None:
        self._keys.zero_()
        self._values.zero_()
        self._seen, self._positions = 0, None

    def crop(self, max_length: int) -> None:
        seen = self.get_seq_length()
        keep = max(seen + max_length, 0) if max_length < 0 else max_length
        if keep < seen:
            self._keys[:, :, keep:].zero_()
            self._values[:, :, keep:].zero_()
            self._seen, self._positions = keep, None

    def map_batch(self, change: Callable[[Tensor], Tensor]) -> None:
        for name in ("_keys", "_values"):
            old, new = getattr(self, name), change(getattr(self, name))
            if new.shape == old.shape and new.device == old.device:
                old.copy_(new)  # compiled programs know the place
            else:
                setattr(self, name, new)
        self.max_batch_size = self._keys.shape[0]


class SlidingWindowLayer(StaticLayer):
    """The last sliding_window tokens, in order; one token pushes out the oldest.

    max_cache_len below the window makes fewer slots, for texts that stay that short.
    """

    kind = "sliding_attention"
    is_sliding = True

    def __init__(self, sliding_window: int, max_cache_len: int, *args: Any, **kwargs: Any) -> None:
        if sliding_window < 1:
            raise ValueError(f"sliding_window is {sliding_window}; it must be at least 1.")
        kwargs.pop("sliding_window", None)
        super().__init__(min(sliding_window, max_cache_len), *args, **kwargs)
        self.sliding_window = sliding_window

    def update(
        self, key_states: Tensor, value_states: Tensor, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """One token: returns the slots (B, G, L, D). Several: the earlier ones they may see, then themselves."""
        positions = (cache_kwargs or {}).get("cache_position")
        if torch.compiler.is_compiling():
            if positions is None or key_states.shape[2] > 1:
                raise ValueError(
                    "A traced program must give cache_position and one token at a time to a sliding cache."
                )
            self._seen = self._positions = None
            return self._push(key_states, value_states, positions)
        past = self.get_seq_length()
        if positions is not None and positions.device.type == "cpu" and int(positions[0]) != past:
            raise ValueError(
                f"A sliding-window cache of {past} tokens goes on there, not at position {int(positions[0])}."
            )
        tokens = key_states.shape[2]
        if past + tokens > self.max_cache_len < self.sliding_window:
            self._check(key_states, past + tokens)
        self._seen, self._positions = past + tokens, None
        if tokens == 1:
            return self._push(key_states, value_states, torch.tensor([past], device=key_states.device))
        kept = self._kept(past)
        end = min(past, self.max_cache_len)
        keys = torch.cat((self._keys[:, :, end - kept : end], key_states.to(self._keys.dtype)), dim=2)
        values = torch.cat((self._values[:, :, end - kept : end], value_states.to(self._values.dtype)), dim=2)
        last = min(self.max_cache_len, past + tokens)  # these are all in what was joined
        self._keys[:, :, :last], self._values[:, :, :last] = keys[:, :, -last:], values[:, :, -last:]
        return keys, values

    def _kept(self, past: int) -> int:
        """Earlier tokens that a new one may see."""
        return min(past, self.sliding_window - 1)

    def _push(self, key_states: Tensor, value_states: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Write one token (B, G, 1, D), after a shift to the left once all slots are taken. Traceable."""
        size = self.max_cache_len
        slot = position.clamp(max=size - 1)
        shifted = (torch.arange(size, device=position.device) + (position >= size)) % size
        for store, new in ((self._keys, key_states), (self._values, value_states)):
            store.copy_(store.index_select(2, shifted).index_copy(2, slot, new.to(store.dtype)))
        return self._keys, self._values

    def get_mask_sizes(self, cache_position: Tensor) -> tuple[Any, Any]:
        tokens = cache_position.shape[0]
        if torch.compiler.is_compiling():
            return self.max_cache_len, (cache_position[0] - self.max_cache_len + 1).clamp(min=0)
        past = self.get_seq_length()
        if tokens == 1:
            return self.max_cache_len, max(past - self.max_cache_len + 1, 0)
        kept = self._kept(past)
        return kept + tokens, past - kept

    def crop(self, max_length: int) -> None:
        seen = self.get_seq_length()
        keep = max(seen + max_length, 0) if max_length < 0 else max_length
        if keep < seen and seen > self.max_cache_len:
            raise ValueError(
                f"A sliding-window layer that has passed its {self.max_cache_len} slots cannot be cropped to {keep}: "
                "older tokens are gone. Use the dynamic cache, which keeps all of them."
            )
        super().crop(max_length)


class ChunkedSlidingLayer(SlidingWindowLayer):
    """For attention within chunks of sliding_window positions: none of them is further back than that."""

    kind = "chunked_attention"
