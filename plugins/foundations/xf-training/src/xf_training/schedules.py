"""Learning rate schedules: what `TrainingArguments.lr_scheduler_type` names (spec: optimizer_schedules.md).

Each is a factor of the initial learning rate, a function of the update alone, in a `LambdaLR`: its state is the number
of the update, so a resumed run goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from .enums import SchedulerType

Factor = Callable[[int], float]


def _warmed_up(step: int, *, warmup: int, then: Factor) -> float:
    """Rising linearly from 0 over `warmup` updates, then `then`."""
    return step / max(1, warmup) if step < warmup else then(step)


def _progress(step: int, warmup: int, total: int) -> float:
    """How much of the updates after the warm-up is done; above 1 after the last."""
    return (step - warmup) / max(1, total - warmup)


def _schedule(optimizer: Optimizer, warmup: int, then: Factor, last_epoch: int) -> LambdaLR:
    return LambdaLR(optimizer, partial(_warmed_up, warmup=warmup, then=then), last_epoch)


def _always(step: int) -> float:
    return 1.0


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """The learning rate of the optimizer, unchanged. last_epoch: the update to go on from when resuming."""
    return LambdaLR(optimizer, _always, last_epoch)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1) -> LambdaLR:
    """Rises from 0 over `num_warmup_steps` updates, then stays."""
    return _schedule(optimizer, num_warmup_steps, _always, last_epoch)


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """Rises from 0 over `num_warmup_steps` updates, then falls in a line to 0 at `num_training_steps`."""

    def falling(step: int) -> float:
        return max(0.0, (num_training_steps - step) / max(1, num_training_steps - num_warmup_steps))

    return _schedule(optimizer, num_warmup_steps, falling, last_epoch)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """After the warm-up a cosine of `num_cycles` waves: 0.5 falls from the top to 0 once (Loshchilov & Hutter 2017)."""

    def wave(step: int) -> float:
        angle = 2.0 * math.pi * num_cycles * _progress(step, num_warmup_steps, num_training_steps)
        return max(0.0, 0.5 * (1.0 + math.cos(angle)))

    return _schedule(optimizer, num_warmup_steps, wave, last_epoch)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1, last_epoch: int = -1
) -> LambdaLR:
    """After the warm-up `num_cycles` half cosines, each starting from the top (SGDR, Loshchilov & Hutter 2017)."""

    def restarted(step: int) -> float:
        progress = _progress(step, num_warmup_steps, num_training_steps)
        if progress >= 1.0:
            return 0.0
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((num_cycles * progress) % 1.0))))

    return _schedule(optimizer, num_warmup_steps, restarted, last_epoch)


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    last_epoch: int = -1,
) -> LambdaLR:
    """After the warm-up a power of what is left, from the optimizer's learning rate to `lr_end`.

    The default power of 1 is that of fairseq and of BERT's first implementation. ValueError where `lr_end` is not below
    the optimizer's learning rate.
    """
    top = optimizer.defaults["lr"]
    if not top > lr_end:
        raise ValueError(f"lr_end ({lr_end}) must be smaller than the optimizer's learning rate ({top}).")

    def falling(step: int) -> float:
        if step > num_training_steps:
            return float(lr_end / top)
        left = 1.0 - _progress(step, num_warmup_steps, num_training_steps)
        return float(((top - lr_end) * left**power + lr_end) / top)

    return _schedule(optimizer, num_warmup_steps, falling, last_epoch)


def get_inverse_sqrt_schedule(
    optimizer: Optimizer, num_warmup_steps: int, timescale: int | None = None, last_epoch: int = -1
) -> LambdaLR:
    """After the warm-up as 1 / sqrt(update / timescale). timescale: the warm-up's length, or 10,000 without one."""
    scale = timescale or num_warmup_steps or 10_000

    def falling(step: int) -> float:
        return 1.0 / math.sqrt((step + scale - num_warmup_steps) / scale)

    return _schedule(optimizer, num_warmup_steps, falling, last_epoch)


def get_cosine_with_min_lr_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> LambdaLR:
    """The cosine schedule above a floor: `min_lr`, or `min_lr_rate` times the learning rate; exactly one of the two."""
    floor = _floor(optimizer, min_lr, min_lr_rate)

    def wave(step: int) -> float:
        angle = 2.0 * math.pi * num_cycles * _progress(step, num_warmup_steps, num_training_steps)
        return max(0.0, 0.5 * (1.0 + math.cos(angle)) * (1 - floor) + floor)

    return _schedule(optimizer, num_warmup_steps, wave, last_epoch)


def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> LambdaLR:
    """The cosine schedule above a floor, whose warm-up starts at `warmup_lr_rate` times the learning rate, not at 0."""
    floor = _floor(optimizer, min_lr, min_lr_rate)

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            if warmup_lr_rate is None:
                return (step + 1.0) / max(1.0, num_warmup_steps)
            return warmup_lr_rate + (1.0 - warmup_lr_rate) * step / max(1, num_warmup_steps - 1)
        progress = (step - num_warmup_steps + 1.0) / max(1.0, num_training_steps - num_warmup_steps)
        return max(0.0, 0.5 * (1.0 + math.cos(2.0 * math.pi * num_cycles * progress)) * (1 - floor) + floor)

    return LambdaLR(optimizer, factor, last_epoch)


def _floor(optimizer: Optimizer, min_lr: float | None, min_lr_rate: float | None) -> float:
    if (min_lr is None) == (min_lr_rate is None):
        raise ValueError(
            f"lr_scheduler_kwargs needs one of min_lr (given: {min_lr}) and min_lr_rate (given: {min_lr_rate})."
        )
    return min_lr_rate if min_lr_rate is not None else float(min_lr / optimizer.defaults["lr"])  # type: ignore[operator]


_FALLING: dict[str, Callable[[float, float], float]] = {  # from 1 to 0; the second argument is num_cycles
    "linear": lambda share, cycles: 1.0 - share,
    "cosine": lambda share, cycles: 0.5 * (1.0 + math.cos(2.0 * math.pi * cycles * share)),
    "1-sqrt": lambda share, cycles: 1.0 - math.sqrt(share),
}


def get_wsd_schedule(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Warm-up, stable, decay (MiniCPM, Hu et al. 2024): rise, stay, and fall to `min_lr_ratio` times the learning rate.

    The stable part is `num_stable_steps`, or what `num_training_steps` leaves. The types are "linear", "cosine" and
    "1-sqrt" (Haegele et al. 2024).
    """
    if num_training_steps is None and num_stable_steps is None:
        raise ValueError("The stable part has no length: give num_stable_steps or num_training_steps.")
    for name, kind in (("warmup_type", warmup_type), ("decay_type", decay_type)):
        if kind not in _FALLING:
            raise ValueError(f"{name}={kind!r} is none of {', '.join(_FALLING)}.")
    if num_stable_steps is None:
        assert num_training_steps is not None
        num_stable_steps = num_training_steps - num_warmup_steps - num_decay_steps
    decay_at = num_warmup_steps + num_stable_steps

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            share = _FALLING[warmup_type](1.0 - step / max(1, num_warmup_steps), 0.5)
        elif step < decay_at:
            return 1.0
        elif step < decay_at + num_decay_steps:
            share = _FALLING[decay_type]((step - decay_at) / max(1, num_decay_steps), num_cycles)
        else:
            return min_lr_ratio
        return max(0.0, share * (1.0 - min_lr_ratio) + min_lr_ratio)

    return LambdaLR(optimizer, factor, last_epoch)


def get_reduce_on_plateau_schedule(optimizer: Optimizer, **kwargs: Any) -> ReduceLROnPlateau:
    """Smaller whenever the metric of the evaluations stops getting better; `kwargs` are those of torch's schedule."""
    return ReduceLROnPlateau(optimizer, **kwargs)


# What each schedule needs besides the optimizer: nothing, the warm-up, or the warm-up and the number of updates.
_NEEDS: dict[SchedulerType, tuple[Callable[..., LRScheduler], tuple[str, ...]]] = {
    SchedulerType.CONSTANT: (get_constant_schedule, ()),
    SchedulerType.REDUCE_ON_PLATEAU: (get_reduce_on_plateau_schedule, ()),
    SchedulerType.CONSTANT_WITH_WARMUP: (get_constant_schedule_with_warmup, ("num_warmup_steps",)),
    SchedulerType.INVERSE_SQRT: (get_inverse_sqrt_schedule, ("num_warmup_steps",)),
    **{
        kind: (function, ("num_warmup_steps", "num_training_steps"))
        for kind, function in {
            SchedulerType.LINEAR: get_linear_schedule_with_warmup,
            SchedulerType.COSINE: get_cosine_schedule_with_warmup,
            SchedulerType.COSINE_WITH_RESTARTS: get_cosine_with_hard_restarts_schedule_with_warmup,
            SchedulerType.POLYNOMIAL: get_polynomial_decay_schedule_with_warmup,
            SchedulerType.COSINE_WITH_MIN_LR: get_cosine_with_min_lr_schedule_with_warmup,
            SchedulerType.COSINE_WARMUP_WITH_MIN_LR: get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
            SchedulerType.WARMUP_STABLE_DECAY: get_wsd_schedule,
        }.items()
    },
}


def get_scheduler(
    name: str | SchedulerType,
    optimizer: Optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
) -> LRScheduler:
    """The schedule called `name`, for `optimizer`.

    num_warmup_steps and num_training_steps are in updates; those that the schedule does not need are not used.
    scheduler_specific_kwargs: its other arguments, such as `num_cycles`.
    Raises: ValueError for a name that does not exist, or where a number that it needs is missing.
    """
    kind = SchedulerType(name)
    function, needs = _NEEDS[kind]
    given = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    if missing := [need for need in needs if given[need] is None]:
        raise ValueError(f"The schedule {kind.value!r} needs {' and '.join(missing)}.")
    kwargs = {need: given[need] for need in needs}
    return function(optimizer, **kwargs, **(scheduler_specific_kwargs or {}))
