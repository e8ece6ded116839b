"""The cache of models that mix attention with state-space layers: each layer keeps what its kind needs.

Shapes: B batch, C channels of the convolution, W its width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from xf.interfaces.cache import Cache, CacheLayerMixin, DynamicLayer, layer_kinds

from .state_space import State


class StateSpaceCacheLayer(CacheLayerMixin):
    """The latest inputs of a convolution (B, C, W) and the state of a scan (B, ...); of one size for any text."""

    kind = "mamba"

    def __init__(self) -> None:
        self.state: State | None = None
        self._tokens = 0

    @property
    def keys(self) -> None:
        return None

    @property
    def values(self) -> None:
        return None

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        raise ValueError("A state-space layer has no keys and values: set its states with `put`.")

    def put(self, state: State, new_tokens: int) -> None:
        """Replace the states by those after new_tokens more tokens."""
        self.state = (state[0].detach(), state[1].detach())
        self._tokens += new_tokens

    def get_seq_length(self, cache_position: Tensor | None = None) -> int:
        return self._tokens

    def get_max_cache_shape(self) -> int:
        return -1

    def get_mask_sizes(self, cache_position: Tensor) -> tuple[int, int]:
        return self._tokens + cache_position.shape[0], 0

    def reset(self) -> None:
        self.state, self._tokens = None, 0

    def map_batch(self, change: Callable[[Tensor], Tensor]) -> None:
        if self.state is not None:
            self.state = (change(self.state[0]), change(self.state[1]))

    def crop(self, max_length: int) -> None:
        if not 0 <= self._tokens <= max_length:
            super().crop(max_length)


class StateSpaceCache(Cache):
    """One layer of the right kind for each layer of `config`, all there from the start."""

    def __init__(self, config: Any) -> None:
        kinds = layer_kinds(config)
        super().__init__([StateSpaceCacheLayer if kind == "mamba" else DynamicLayer for kind in kinds], config)
        self.append_new_layers(len(kinds) - 1)


def state_space_cache(model: Any, past_key_values: Any, use_cache: bool | None) -> Any:
    """The cache to fill: the given one, or an empty one where use_cache (config.use_cache if None) asks for it.

    Raises: ValueError for a cache without state-space layers.
    """
    if past_key_values is None:
        wanted = model.config.use_cache if use_cache is None else use_cache
        recomputed = model.training and model.is_gradient_checkpointing
        return StateSpaceCache(model.config) if wanted and not recomputed else None
    if not isinstance(past_key_values, StateSpaceCache):
        raise ValueError(
            f"{type(model).__name__} keeps states of its own in a StateSpaceCache; it cannot use a "
            f"{type(past_key_values).__name__}: leave past_key_values out, then the first call makes one."
        )
    return past_key_values


class MakesStateSpaceCache:
    """For models that generate: `generate` starts with a StateSpaceCache."""

    config: Any

    def make_cache(self, config: Any, rows: int, forgets: bool) -> StateSpaceCache:
        """An empty cache.

        Raises: ValueError where tokens would have to be dropped again, or another cache is named.
        """
        if forgets:
            raise ValueError(f"{type(self).__name__} cannot forget its latest tokens, which this decoding asks for.")
        if config.cache_implementation not in (None, "dynamic", "dynamic_full"):
            raise ValueError(
                f"cache_implementation={config.cache_implementation!r} has no place for the states of "
                f"{type(self).__name__}: leave it out."
            )
        return StateSpaceCache(self.config)
