"""Adafactor: adaptive steps whose second moments are kept as row and column means (Shazeer & Stern 2018).

For a matrix of n x m it keeps n + m numbers where Adam keeps 2 n m. The step grows with the size of the weights and, by
default, falls as 1 / sqrt(updates), so that no learning rate needs to be given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class Adafactor(Optimizer):
    """The optimizer of the paper, with its recommended values as defaults.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate; only with relative_step=False.
        eps: what is added to squared gradients, and the least size of weights that a step is scaled with.
        clip_threshold: the largest root mean square of an update; larger ones are scaled down.
        decay_rate: the second moment's decay is 1 - updates ** decay_rate.
        beta1: decay of a first moment; None keeps none.
        weight_decay: L2 penalty, scaled with the step.
        scale_parameter: scale the step with the root mean square of the weights.
        relative_step: use min(0.01, 1 / sqrt(updates)) as learning rate.
        warmup_init: let the relative step rise from 1e-6 per update instead of starting at 0.01.
    Raises: ValueError for a combination that contradicts itself.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        if lr is not None and relative_step:
            raise ValueError(f"lr={lr} would not be used: pass relative_step=False with it.")
        if warmup_init and not relative_step:
            raise ValueError("warmup_init=True needs relative_step=True.")
        defaults = {
            "lr": lr,
            "eps": eps,
            "clip_threshold": clip_threshold,
            "decay_rate": decay_rate,
            "beta1": beta1,
            "weight_decay": weight_decay,
            "scale_parameter": scale_parameter,
            "relative_step": relative_step,
            "warmup_init": warmup_init,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update. closure: computes the loss and the gradients again; its value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    if parameter.grad.is_sparse:
                        raise ValueError("Adafactor takes no sparse gradients; build the embedding with sparse=False.")
                    _update(parameter, self.state[parameter], group)
        return loss


def _update(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    grad = parameter.grad.float() if parameter.grad.dtype in (torch.float16, torch.bfloat16) else parameter.grad
    weight = parameter.float() if parameter.dtype in (torch.float16, torch.bfloat16) else parameter
    if not state:
        _begin(state, grad, group)
    for key in ("exp_avg", "exp_avg_sq", "exp_avg_sq_row", "exp_avg_sq_col"):
        if key in state:
            state[key] = state[key].to(grad)
    state["step"] += 1
    state["RMS"] = _rms(weight)
    rate = step_size(group, state)
    decay = 1.0 - math.pow(state["step"], group["decay_rate"])
    update = _normalized(grad, state, decay, group["eps"][0])
    update.div_((_rms(update) / group["clip_threshold"]).clamp_(min=1.0)).mul_(rate)
    if "exp_avg" in state:
        update = state["exp_avg"].mul_(group["beta1"]).add_(update, alpha=1 - group["beta1"])
    if group["weight_decay"]:
        weight.add_(weight, alpha=-group["weight_decay"] * rate)
    weight.sub_(update)
    if weight is not parameter:
        parameter.copy_(weight)


def _begin(state: dict[str, Any], grad: Tensor, group: dict[str, Any]) -> None:
    state["step"] = 0
    if group["beta1"] is not None:
        state["exp_avg"] = torch.zeros_like(grad)
    if grad.dim() >= 2:
        state["exp_avg_sq_row"] = grad.new_zeros(grad.shape[:-1])
        state["exp_avg_sq_col"] = grad.new_zeros(grad.shape[:-2] + grad.shape[-1:])
    else:
        state["exp_avg_sq"] = torch.zeros_like(grad)
    state["RMS"] = 0


def step_size(group: dict[str, Any], state: dict[str, Any]) -> float:
    """The learning rate of one parameter's next update, with its relative step and the size of its weights."""
    rate = group["lr"]
    if group["relative_step"]:
        rate = min(1e-6 * state["step"] if group["warmup_init"] else 1e-2, 1.0 / math.sqrt(state["step"]))
    if group["scale_parameter"]:
        rate = max(group["eps"][1], float(state["RMS"])) * rate
    return float(rate)


def _normalized(grad: Tensor, state: dict[str, Any], decay: float, epsilon: float) -> Tensor:
    """The gradient over the root of its second moment; for matrices the moment is rows x columns / their mean."""
    square = grad**2 + epsilon
    if "exp_avg_sq" in state:
        return state["exp_avg_sq"].mul_(decay).add_(square, alpha=1.0 - decay).rsqrt() * grad
    rows = state["exp_avg_sq_row"].mul_(decay).add_(square.mean(dim=-1), alpha=1.0 - decay)
    columns = state["exp_avg_sq_col"].mul_(decay).add_(square.mean(dim=-2), alpha=1.0 - decay)
    row_factor = (rows / rows.mean(dim=-1, keepdim=True)).rsqrt().unsqueeze(-1)
    return row_factor * columns.unsqueeze(-2).rsqrt() * grad


def _rms(values: Tensor) -> Tensor:
    return values.norm(2) / math.sqrt(values.numel())


class AdafactorSchedule(LambdaLR):
    """A schedule that reports the steps Adafactor chooses by itself, for the logs of a training."""

    def __init__(self, optimizer: Optimizer, initial_lr: float = 0.0) -> None:
        for group in optimizer.param_groups:
            group["initial_lr"] = initial_lr
        super().__init__(optimizer, lambda _: initial_lr)
        for group in optimizer.param_groups:
            del group["initial_lr"]

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """The step of the first parameter of each group that has made one; before the first update, what was given."""
        optimizer = self.optimizer
        found = [
            step_size(group, optimizer.state[group["params"][0]])
            for group in optimizer.param_groups
            if group["params"][0].grad is not None and optimizer.state[group["params"][0]]
        ]
        return found or self.base_lrs


def get_adafactor_schedule(optimizer: Optimizer, initial_lr: float = 0.0) -> AdafactorSchedule:
    """An `AdafactorSchedule`; initial_lr: what is reported before the first update."""
    return AdafactorSchedule(optimizer, initial_lr)
