"""What every task pipeline must do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from .base import Conformance
from .network import no_network


class PipelineConformance(Conformance):
    """Subclass, set `name` (of the task), and return a pipeline on a tiny model from `make_pipeline`.

    inputs: a few good inputs, of different lengths. wrong: inputs that must be refused. Flags: is_batched (results do
    not depend on batch_size), is_json (results can be written as JSON), unwraps_one (a list of one input gives the
    result of that input, as the documentation of some tasks has it).
    """

    contract: ClassVar[str] = "task"
    name: ClassVar[str] = ""
    inputs: ClassVar[tuple[Any, ...]] = ()
    wrong: ClassVar[tuple[Any, ...]] = (object(),)
    is_batched: ClassVar[bool] = True
    is_json: ClassVar[bool] = True
    unwraps_one: ClassVar[bool] = False
    atol: ClassVar[float] = 1e-4

    def make_pipeline(self, **parameters: Any) -> Any:
        """The pipeline of the task on a tiny model."""
        raise NotImplementedError(f"write a PipelineConformance for {self.name} with make_pipeline and inputs")

    def same(self, actual: Any, expected: Any) -> None:
        """Equal but for the last digits of numbers."""
        if isinstance(expected, float):
            assert actual == pytest.approx(expected, abs=self.atol)
        elif isinstance(expected, dict):
            assert set(actual) == set(expected)
            for key in expected:
                self.same(actual[key], expected[key])
        elif isinstance(expected, (list, tuple)):
            assert len(actual) == len(expected)
            for one, other in zip(actual, expected, strict=True):
                self.same(one, other)
        elif hasattr(expected, "shape"):
            import torch

            torch.testing.assert_close(
                torch.as_tensor(actual), torch.as_tensor(expected), atol=self.atol, rtol=self.atol
            )
        else:
            assert actual == expected

    def test_the_task_has_this_class(self) -> None:
        from xf.plugins import registry

        assert isinstance(self.make_pipeline(), registry("task").get(self.name))

    def test_a_list_gives_a_list_in_order(self) -> None:
        pipe = self.make_pipeline()
        results = pipe(list(self.inputs))
        assert isinstance(results, list) and len(results) == len(self.inputs)
        for item, result in zip(self.inputs, results, strict=True):
            alone = pipe([item])
            self.same(alone if self.unwraps_one else alone[0], result)

    @pytest.mark.parametrize("batch_size", [2, 8])
    def test_batches_give_the_same(self, batch_size: int) -> None:
        if not self.is_batched:
            self.not_claimed("is_batched")
        pipe = self.make_pipeline()
        self.same(pipe(list(self.inputs), batch_size=batch_size), pipe(list(self.inputs)))

    def test_a_generator_is_streamed(self) -> None:
        pipe, taken = self.make_pipeline(), []

        def stream() -> Iterator[Any]:
            for item in self.inputs:
                taken.append(item)
                yield item

        results = pipe(stream())
        assert not isinstance(results, list)
        next(iter(results))
        assert len(taken) < max(2, len(self.inputs)), "the whole stream was read before the first result"

    def test_twice_gives_the_same(self) -> None:
        pipe = self.make_pipeline()
        self.same(pipe(self.inputs[0]), pipe(self.inputs[0]))

    def test_results_are_json(self) -> None:
        if not self.is_json:
            self.not_claimed("is_json")
        json.dumps(self.make_pipeline()(self.inputs[0]))

    def test_wrong_input_is_refused(self) -> None:
        pipe = self.make_pipeline()
        for wrong in self.wrong:
            with pytest.raises((ValueError, TypeError, OSError, AttributeError)):
                pipe(wrong)

    def test_no_socket_is_opened(self) -> None:
        pipe = self.make_pipeline()
        with no_network():
            pipe(self.inputs[0])
