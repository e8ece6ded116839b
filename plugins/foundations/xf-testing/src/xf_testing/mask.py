"""What mask functions (predicates) and mask builders (their expansion for one backend) must do.

Shapes: B batch, Q queries, K keys.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from xf.interfaces.attention import attention_backend
from xf.interfaces.mask import (
    MaskBuilder,
    MaskFunction,
    and_masks,
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    expand_mask,
    or_masks,
    sliding_window_causal_mask_function,
)

from .base import Conformance

BATCH, LENGTH = 2, 9


class MaskFunctionConformance(Conformance):
    """Subclass and return your predicate from `make_mask_function`; say what you know of it by flags."""

    contract: ClassVar[str] = "mask_function"
    is_causal: ClassVar[bool] = False  # no query ever sees a later key

    def make_mask_function(self) -> MaskFunction:
        raise NotImplementedError("return the mask function under test")

    def table(self, function: MaskFunction, length: int = LENGTH) -> Tensor:
        """The predicate on all indices at once: bool (B, 1, Q, K)."""
        positions = torch.arange(length)
        return expand_mask(function, BATCH, positions, positions, None)

    def test_answers_are_boolean(self) -> None:
        answer = self.make_mask_function()(
            torch.zeros(1, 1, 1, 1, dtype=torch.long),
            torch.zeros(1, 1, 1, 1, dtype=torch.long),
            torch.arange(LENGTH)[None, None, :, None],
            torch.arange(LENGTH)[None, None, None, :],
        )
        assert answer.dtype == torch.bool

    def test_one_pair_at_a_time_gives_the_same(self) -> None:
        function, table = self.make_mask_function(), self.table(self.make_mask_function())
        zero = torch.tensor(0)
        for b in range(BATCH):
            for i in range(LENGTH):
                for j in range(LENGTH):
                    answer = bool(function(torch.tensor(b), zero, torch.tensor(i), torch.tensor(j)))
                    assert answer == bool(table[b, 0, i, j]), f"batch {b}, query {i}, key {j}"

    def test_is_a_function_of_absolute_positions(self) -> None:
        function = self.make_mask_function()
        whole = self.table(function)
        queries, keys = torch.arange(5, LENGTH), torch.arange(2, LENGTH)
        part = expand_mask(function, BATCH, queries, keys, None)
        assert torch.equal(part, whole[:, :, 5:, 2:])

    def test_combines(self) -> None:
        function = self.make_mask_function()
        table, causal = self.table(function), self.table(causal_mask_function)
        assert torch.equal(self.table(and_masks(function, causal_mask_function)), table & causal)
        assert torch.equal(self.table(or_masks(function, causal_mask_function)), table | causal)

    def test_causality_is_as_said(self) -> None:
        future = self.table(self.make_mask_function()).triu(1)
        assert bool(future.any()) is not self.is_causal, "is_causal does not say what the predicate does"

    def test_every_query_sees_something(self) -> None:
        assert bool(self.table(self.make_mask_function()).any(-1).all())


class MaskConformance(Conformance):
    """Checks a mask builder: subclass and set `name` (of an attention backend), or override `make_builder`."""

    contract: ClassVar[str] = "mask"
    name: ClassVar[str] = ""

    def make_builder(self) -> MaskBuilder:
        from xf.plugins import registry

        if registry("mask").find(self.name) is not None:
            return registry("mask").get(self.name)
        return attention_backend(self.name).mask

    def to_allowed(self, mask: Any, q_length: int, kv_length: int) -> Tensor:
        """The mask as bool (B, H or 1, Q, K). Override for builders that return an object of their own."""
        assert isinstance(mask, Tensor), f"override to_allowed: the builder returned a {type(mask).__name__}"
        table = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        return torch.broadcast_to(table[..., :kv_length], (BATCH, table.shape[1], q_length, kv_length))

    def build(self, function: MaskFunction, positions: Tensor, kv_length: int, **options: Any) -> Any:
        settings = {"allow_is_causal_skip": False, "dtype": torch.float32, "config": SimpleNamespace()} | options
        return self.make_builder()(
            batch_size=BATCH, cache_position=positions, kv_length=kv_length, mask_function=function, **settings
        )

    FUNCTIONS: ClassVar[dict[str, MaskFunction]] = {
        "causal": causal_mask_function,
        "bidirectional": bidirectional_mask_function,
        "sliding": sliding_window_causal_mask_function(3),
        "chunked": chunked_causal_mask_function(4),
    }

    @pytest.mark.parametrize("kind", ["causal", "bidirectional", "sliding", "chunked"])
    @pytest.mark.parametrize("padding", ["none", "left", "right"])
    @pytest.mark.parametrize("new", [LENGTH, 3, 1])
    def test_equals_the_predicate(self, kind: str, padding: str, new: int) -> None:
        function, positions = self.FUNCTIONS[kind], torch.arange(LENGTH - new, LENGTH)
        real = torch.ones(BATCH, LENGTH, dtype=torch.bool)
        if padding != "none":
            real[1, slice(0, 2) if padding == "left" else slice(LENGTH - 2, LENGTH)] = False
        expected = expand_mask(function, BATCH, positions, torch.arange(LENGTH), real)
        mask = self.build(function, positions, LENGTH, attention_mask=None if padding == "none" else real)
        seen = self.to_allowed(mask, new, LENGTH)
        rows = expected.any(-1, keepdim=True)  # a row that may see nothing is the backend's own affair
        assert torch.equal(seen & rows, torch.broadcast_to(expected, seen.shape) & rows)

    def test_keys_may_start_later(self) -> None:
        positions = torch.arange(6, LENGTH)
        expected = expand_mask(causal_mask_function, BATCH, positions, torch.arange(4, LENGTH), None)
        mask = self.build(causal_mask_function, positions, LENGTH - 4, kv_offset=4)
        assert torch.equal(self.to_allowed(mask, 3, LENGTH - 4), expected)

    def test_no_mask_only_where_the_flag_says_the_same(self) -> None:
        real = torch.ones(BATCH, LENGTH, dtype=torch.bool)
        real[0, :2] = False
        mask = self.build(
            causal_mask_function, torch.arange(LENGTH), LENGTH, attention_mask=real, allow_is_causal_skip=True
        )
        assert mask is not None, "padding was dropped"
        window = sliding_window_causal_mask_function(3)
        mask = self.build(window, torch.arange(LENGTH), LENGTH, local_size=3, allow_is_causal_skip=True)
        assert mask is not None, "the window was dropped"
