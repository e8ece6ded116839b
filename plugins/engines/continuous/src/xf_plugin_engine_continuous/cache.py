"""PagedCache: keys and values of many requests in one pool of pages.

Shapes: G key-value heads, S slots of the pool (pages times page size), N tokens of a step (of all its requests), D head
width. The model sees one row of N tokens; which slots they and their past lie in, the batch says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.cache import Cache


class CannotBatch(ValueError):
    """The model, or a setting, does not go with continuous batching."""


@dataclass
class Segment:
    """One request's tokens in a step.

    begin, end: which of the N. start: position of the first in its text; length: tokens of the text so far, these
    included. first_slot: where its text begins, if its pages lie side by side; else pages (P,) are their numbers.
    """

    begin: int
    end: int
    start: int
    length: int
    first_slot: int | None
    pages: Tensor | None = None


@dataclass
class Batch:
    """One step: the slots (N,) that its tokens go to, their positions (N,), and the segments they belong to."""

    slots: Tensor
    positions: Tensor
    segments: Sequence[Segment] = field(default_factory=list)


class PagedCache(Cache):
    """Storage of the pool, layer by layer: (1, G, S, D) for keys and for values.

    shapes: (G, D of keys, D of values, dtype) for each layer.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int, int, torch.dtype]], pages: int, page_size: int, device: torch.device
    ) -> None:
        super().__init__()
        self.pages, self.page_size = pages, page_size
        slots = pages * page_size
        self._keys = [torch.empty(1, g, slots, d, dtype=t, device=device) for g, d, _, t in shapes]
        self._values = [torch.empty(1, g, slots, d, dtype=t, device=device) for g, _, d, t in shapes]
        self.batch: Batch | None = None
        self._updated: int | None = None

    def begin(self, batch: Batch | None) -> None:
        """The next forward is for this batch."""
        self.batch, self._updated = batch, None

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: dict[str, Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Store the tokens of the batch, (1, G, N, D); returns them. What they attend to, `view` shows.

        Raises: CannotBatch if the layer before has not attended through `view`.
        """
        assert self.batch is not None, "begin(batch) comes before the forward"
        if self._updated is not None:
            raise CannotBatch(
                f"Layer {self._updated} does not attend through its attention backend: this model cannot be batched "
                "continuously. Use generate()."
            )
        self._keys[layer_idx].index_copy_(2, self.batch.slots, key_states)
        self._values[layer_idx].index_copy_(2, self.batch.slots, value_states)
        self._updated = layer_idx
        return key_states, value_states

    def take_updated(self) -> int | None:
        """The layer that has stored its tokens and not attended yet, None if there is none."""
        layer_idx, self._updated = self._updated, None
        return layer_idx

    def view(self, layer_idx: int, segment: Segment, skipped: int) -> tuple[Tensor, Tensor]:
        """Keys and values (1, G, K, D) of a segment's text, without its first `skipped` tokens."""
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        count = segment.length - skipped
        if segment.first_slot is not None:
            first = segment.first_slot + skipped
            return keys.narrow(2, first, count), values.narrow(2, first, count)
        return self._gather(keys, segment, skipped, count), self._gather(values, segment, skipped, count)

    def _gather(self, states_1GSD: Tensor, segment: Segment, skipped: int, count: int) -> Tensor:
        assert segment.pages is not None, "scattered pages are listed"
        first = skipped // self.page_size
        _, heads, _, width = states_1GSD.shape
        paged = states_1GSD.view(1, heads, self.pages, self.page_size, width)
        found = paged.index_select(2, segment.pages[first:]).flatten(2, 3)
        return found.narrow(2, skipped - first * self.page_size, count)

    def copy_page(self, source: int, target: int) -> None:
        """Copy on write: all layers' tokens of one page to another."""
        size = self.page_size
        for states in (*self._keys, *self._values):
            states.narrow(2, target * size, size).copy_(states.narrow(2, source * size, size))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole pool."""
        return sum(states.nbytes for states in (*self._keys, *self._values))

    # ---- what a model may ask; the past of each token is its segment's affair

    def get_seq_length(self, layer_idx: int = 0, cache_position: Tensor | None = None) -> int:
        return 0

    def get_mask_sizes(self, cache_position: Tensor, layer_idx: int = 0) -> tuple[int, int]:
        return cache_position.shape[0], 0

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        return self.pages * self.page_size

    def __len__(self) -> int:
        return len(self._keys)
