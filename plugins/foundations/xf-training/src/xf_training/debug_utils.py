"""Finding the module in which numbers become infinite or no numbers (spec: trainer_utils.md, Debug Utilities)."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from .enums import DebugOption

__all__ = ["DebugOption", "DebugUnderflowOverflow"]


class DebugUnderflowOverflow:
    """Watches every module's weights, inputs and outputs while a model runs; a context manager, or for good.

    Where one holds inf or nan, the last `max_frames_to_save` modules with their smallest and largest absolute numbers
    are printed, and ValueError is raised.

    Args:
        model: to watch.
        max_frames_to_save: how many modules the report shows.
        trace_batch_nums: batches whose modules are all printed, counted from 0.
        abort_after_batch_num: raise after this batch.
    """

    def __init__(
        self,
        model: nn.Module,
        max_frames_to_save: int = 21,
        trace_batch_nums: list[int] | tuple[int, ...] = (),
        abort_after_batch_num: int | None = None,
    ) -> None:
        self.model, self.trace_batch_nums = model, list(trace_batch_nums)
        self.abort_after_batch_num = abort_after_batch_num
        self.frames: deque[str] = deque(maxlen=max_frames_to_save)
        self.batch_number, self.total_calls = 0, 0
        self._lines: list[str] = []
        self.detected_overflow = False
        self._names = {module: name for name, module in model.named_modules()}
        self._hooks = [module.register_forward_hook(self._after) for module in model.modules()]

    def __enter__(self) -> DebugUnderflowOverflow:
        return self

    def __exit__(self, *exception: Any) -> None:
        for hook in self._hooks:
            hook.remove()

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._lines = [f"{self._names[module] or '(the model)'} {type(module).__name__}"]
        for name, weight in module.named_parameters(recurse=False):
            self._look(weight, name)
        for kind, values in (("input", inputs), ("output", output)):
            for number, value in enumerate(_tensors(values)):
                self._look(value, f"{kind}[{number}]")
        self.frames.append("\n".join(self._lines))
        traced = self.batch_number in self.trace_batch_nums
        if traced:
            print(self.frames[-1])  # noqa: T201
        if self.detected_overflow and not traced:
            self._report()
        if module is self.model:
            self._end_batch()

    def _look(self, value: Tensor, name: str) -> None:
        if not value.is_floating_point() or value.numel() == 0:
            return
        magnitude = value.detach().abs()
        low, high = float(magnitude.min()), float(magnitude.max())
        self._lines.append(f"{low:8.2e} {high:8.2e} {name}")
        if not bool(torch.isfinite(magnitude).all()):
            self.detected_overflow = True
            self._lines[-1] += "  <- " + ("nan" if bool(magnitude.isnan().any()) else "inf")

    def _report(self) -> None:
        print(f"Batch {self.batch_number}, the last {len(self.frames)} modules (abs min, abs max, what):")  # noqa: T201
        print("\n\n".join(self.frames))  # noqa: T201
        raise ValueError(
            f"inf or nan in batch {self.batch_number}, in {self._lines[0]}; the modules before it are printed above. "
            f"Often the learning rate is too high, or float16 does not reach: try bf16, or clip with max_grad_norm."
        )

    def _end_batch(self) -> None:
        if self.abort_after_batch_num is not None and self.batch_number >= self.abort_after_batch_num:
            raise ValueError(f"Stopped after batch {self.batch_number}, as abort_after_batch_num asks.")
        self.batch_number += 1


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, (list, tuple)):
        return []
    return [tensor for value in values for tensor in _tensors(value)]
