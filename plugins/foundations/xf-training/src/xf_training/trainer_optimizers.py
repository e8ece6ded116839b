"""The trainer's optimizer and schedule.

An optimizer that needs a package of its own is a plugin: an entry point in `xf.v1.optimizer` under one of the names of
`OptimizerNames`, a function of the training arguments and the model that returns a class and its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from .adafactor import Adafactor
from .optimizer_names import OptimizerNames
from .schedules import get_scheduler

# As checkpoints call biases and the weights of normalizations, which weight decay would pull towards 0 to no use.
UNDECAYED = re.compile(r"bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)", re.IGNORECASE)

ClassAndKwargs = tuple[type[Optimizer], dict[str, Any]]


def parse_optim_args(text: str | None) -> dict[str, str]:
    """`optim_args`, "key=value, key=value", as a dict of texts. ValueError where it is written otherwise."""
    found = {}
    for pair in (text or "").replace(" ", "").split(","):
        if pair:
            key, equals, value = pair.partition("=")
            if not equals:
                raise ValueError(f"optim_args must be written key=value, separated by commas; {pair!r} is not.")
            found[key] = value
    return found


def _adamw(args: Any, fused: bool) -> ClassAndKwargs:
    kwargs = {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
    return torch.optim.AdamW, kwargs | ({"fused": True} if fused else {})


_BUILT_IN: dict[OptimizerNames, Callable[[Any], ClassAndKwargs]] = {
    OptimizerNames.ADAMW_TORCH: lambda args: _adamw(args, False),
    OptimizerNames.ADAMW_TORCH_FUSED: lambda args: _adamw(args, True),
    OptimizerNames.ADAFACTOR: lambda args: (
        Adafactor,
        {"lr": args.learning_rate, "scale_parameter": False, "relative_step": False},
    ),
    OptimizerNames.SGD: lambda args: (torch.optim.SGD, {"lr": args.learning_rate}),
    OptimizerNames.ADAGRAD: lambda args: (torch.optim.Adagrad, {"lr": args.learning_rate}),
    OptimizerNames.RMSPROP: lambda args: (torch.optim.RMSprop, {"lr": args.learning_rate}),
}


def optimizer_class(args: Any, model: Any | None = None) -> ClassAndKwargs:
    """The class that `args.optim` names and its arguments, with those of `optim_args` that torch's class takes.

    Raises: ValueError for an optimizer that is not installed, or for an argument that it does not take.
    """
    given = parse_optim_args(args.optim_args)
    if args.optim not in _BUILT_IN:
        return _from_plugin(args, model)
    cls, kwargs = _BUILT_IN[args.optim](args)
    import inspect

    takes = inspect.signature(cls).parameters
    for key, text in given.items():
        if key not in takes:
            raise ValueError(f"optim_args: {cls.__name__} has no {key!r}; it has {', '.join(takes)}.")
        kwargs[key] = _value(text)
    return cls, kwargs


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _from_plugin(args: Any, model: Any | None) -> ClassAndKwargs:
    from xf.plugins import registry

    optimizers = registry("optimizer")
    if optimizers.find(args.optim.value) is None:
        here = ", ".join(sorted([name.value for name in _BUILT_IN] + list(optimizers.names())))
        raise ValueError(
            f"optim={args.optim.value!r} needs a plugin that provides it (an entry point in xf.v1.optimizer), and none "
            f"is installed. There are: {here}. Any other optimizer can be passed as optimizer_cls_and_kwargs."
        )
    found: ClassAndKwargs = optimizers.get(args.optim.value)(args, model)
    return found


class TrainerOptimizers:
    """The part of `Trainer` that makes the optimizer and the schedule of the learning rate."""

    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    optimizer_cls_and_kwargs: ClassAndKwargs | None

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any | None = None) -> ClassAndKwargs:
        """The class of optimizer that the arguments name, and its arguments."""
        return optimizer_class(args, model)

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """Make both, where none were given to the trainer."""
        self.create_optimizer()
        self.create_scheduler(num_training_steps, self.optimizer)

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """The parameters that weight decay is for: all but biases and the weights of normalizations."""
        norms = {name for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
        names = [name for name, _ in model.named_parameters()]
        return [name for name in names if not UNDECAYED.search(name) and name.rpartition(".")[0] not in norms]

    def create_optimizer(self) -> Any:
        """The optimizer, in two groups: parameters with and without weight decay."""
        if self.optimizer is not None:
            return self.optimizer
        decayed = set(self.get_decay_parameter_names(self.model))
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        if not trained:
            raise ValueError(f"{type(self.model).__name__} has no parameter that requires a gradient.")
        groups = [
            {"params": [p for name, p in trained if name in decayed], "weight_decay": self.args.weight_decay},
            {"params": [p for name, p in trained if name not in decayed], "weight_decay": 0.0},
        ]
        cls, kwargs = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, self.model)
        self.optimizer = cls(groups, **kwargs)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any | None = None) -> Any:
        """The schedule that the arguments name, over so many updates."""
        if self.lr_scheduler is None:
            args = self.args
            self.lr_scheduler = get_scheduler(
                args.lr_scheduler_type,
                optimizer=self.optimizer if optimizer is None else optimizer,
                num_warmup_steps=args.get_warmup_steps(num_training_steps),
                num_training_steps=num_training_steps,
                scheduler_specific_kwargs=args.lr_scheduler_kwargs,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_num_trainable_parameters(self) -> int:
        """Numbers that training changes."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def get_learning_rates(self) -> list[float]:
        """The learning rate of each group. ValueError where no optimizer has been made."""
        return [group["lr"] for group in self._made_optimizer().param_groups]

    def get_optimizer_group(self, param: str | nn.Parameter | None = None) -> Any:
        """The group of one parameter (None where it is in none), or all groups."""
        groups = self._made_optimizer().param_groups
        if param is None:
            return [group["params"] for group in groups]
        return next((group for group in groups if any(param is p for p in group["params"])), None)

    def _made_optimizer(self) -> Any:
        if self.optimizer is None:
            raise ValueError("There is no optimizer yet: call create_optimizer() or train().")
        return self.optimizer

    def _get_learning_rate(self) -> float:
        scheduler = self.lr_scheduler
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            rate = self.optimizer.param_groups[0]["lr"]
        else:
            rate = scheduler.get_last_lr()[0]
        return float(rate)
