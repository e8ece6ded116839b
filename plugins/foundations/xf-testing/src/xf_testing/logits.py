"""What every logits processor must do.

Shapes: B batch, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor

from .base import Conformance

B, T, V = 3, 5, 20


class LogitsProcessorConformance(Conformance):
    """Subclass, set `name` (of the entry point) and `settings`: option values that turn the processor on.

    Flags: per_row (a row's scores depend on that row alone).
    """

    contract: ClassVar[str] = "logits"
    name: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}
    per_row: ClassVar[bool] = True

    def processor_class(self) -> type[LogitsProcessor]:
        from xf.plugins import registry

        return registry("logits").get(self.name)

    def make_context(self, **changes: Any) -> LogitsContext:
        config = SimpleNamespace(
            eos_token_id=2,
            pad_token_id=0,
            bos_token_id=1,
            num_beams=1,
            max_length=20,
            **{**self.off(), **self.settings},
        )
        return LogitsContext(
            **{"generation_config": config, "prompt_length": T, "device": torch.device("cpu")} | changes
        )

    def off(self) -> dict[str, Any]:
        return dict(self.processor_class().options)

    def make_processor(self) -> LogitsProcessor:
        processor = self.processor_class().from_options({**self.off(), **self.settings}, self.make_context())
        assert processor is not None, f"settings {self.settings} do not turn {self.name} on"
        return processor

    def inputs(self, rows: int = B) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(3, V, (rows, T), generator=generator)
        return ids, torch.randn(rows, V, generator=generator)

    def test_declares_its_options(self) -> None:
        options = self.processor_class().options
        assert options, "a processor that no option turns on is never used"
        assert all(isinstance(name, str) and name.isidentifier() for name in options)
        assert set(self.settings) <= set(options), f"{set(self.settings) - set(options)} are not its options"

    def test_has_a_place_in_the_order(self) -> None:
        assert isinstance(self.processor_class().order, int)

    def test_is_off_by_default(self) -> None:
        assert self.processor_class().from_options(self.off(), self.make_context()) is None

    def test_acts_when_turned_on(self) -> None:
        ids, scores = self.inputs()
        result = self.make_processor()(ids, scores.clone())
        assert not torch.equal(result, scores), "the settings of this test must show an effect"

    def test_keeps_shape_dtype_and_device(self) -> None:
        ids, scores = self.inputs()
        for dtype in (torch.float32, torch.bfloat16):
            result = self.make_processor()(ids, scores.to(dtype))
            assert result.shape == scores.shape and result.dtype == dtype and result.device == scores.device

    def test_does_not_change_its_inputs(self) -> None:
        ids, scores = self.inputs()
        ids_before, scores_before = ids.clone(), scores.clone()
        self.make_processor()(ids, scores)
        assert torch.equal(ids, ids_before) and torch.equal(scores, scores_before)

    def test_never_makes_nan(self) -> None:
        ids, scores = self.inputs()
        scores[0, 4:] = -torch.inf  # as an earlier processor leaves them
        assert not self.make_processor()(ids, scores).isnan().any()

    def test_rows_do_not_mix(self) -> None:
        if not self.per_row:
            self.not_claimed("per_row")
        ids, scores = self.inputs()
        both = self.make_processor()(ids, scores.clone())
        for row in range(B):
            alone = self.make_processor()(ids[row : row + 1], scores[row : row + 1].clone())
            torch.testing.assert_close(both[row : row + 1], alone)

    def test_instances_share_nothing(self) -> None:
        ids, scores = self.inputs()
        first = self.make_processor()(ids, scores.clone())
        self.make_processor()(ids.flip(0), scores.flip(0))
        assert torch.equal(self.make_processor()(ids, scores.clone()), first)

    def test_generate_takes_the_option(self) -> None:
        """The option reaches the processor through the documented `generate`, without any registration."""
        from xf.plugins import find_attribute, registry

        assert registry("logits").find(self.name) is not None, f"{self.name} is no entry point of xf.v1.logits"
        record = find_attribute(self.processor_class().__name__)
        assert record is not None and record.group == "logits"
