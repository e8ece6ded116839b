"""Recorder: collects hidden states and attention weights while a model runs through its layers."""

from __future__ import annotations

from torch import Tensor


class Recorder:
    """Collects what was asked for; afterwards each property is a tuple, or None where nothing was asked."""

    __slots__ = ("_attentions", "_cross_attentions", "_hidden_states")

    def __init__(
        self, output_hidden_states: bool, output_attentions: bool, output_cross_attentions: bool = False
    ) -> None:
        self._hidden_states: list[Tensor] | None = [] if output_hidden_states else None
        self._attentions: list[Tensor | None] | None = [] if output_attentions else None
        self._cross_attentions: list[Tensor | None] | None = [] if output_cross_attentions else None

    def state(self, hidden_BTC: Tensor) -> None:
        """Note the states before a layer, or after the last one."""
        if self._hidden_states is not None:
            self._hidden_states.append(hidden_BTC)

    def weights(self, weights_BHTK: Tensor | None, cross_BHTK: Tensor | None = None) -> None:
        """Note the attention weights of a layer: to its own tokens, and to an encoder's."""
        if self._attentions is not None:
            self._attentions.append(weights_BHTK)
        if self._cross_attentions is not None:
            self._cross_attentions.append(cross_BHTK)

    @property
    def hidden_states(self) -> tuple[Tensor, ...] | None:
        return None if self._hidden_states is None else tuple(self._hidden_states)

    @property
    def attentions(self) -> tuple[Tensor | None, ...] | None:
        return None if self._attentions is None else tuple(self._attentions)

    @property
    def cross_attentions(self) -> tuple[Tensor | None, ...] | None:
        return None if self._cross_attentions is None else tuple(self._cross_attentions)
