"""Direct forms: a module's computation as a plain function, for loops that run it thousands of times.

Calling a module and reading its parts costs Python a few microseconds each: for one token of a small model, more than
the arithmetic. `direct(module)` looks everything up once and returns a function of the same arguments and result. It
is a snapshot, valid while nobody changes the module: make one per loop, not per model. A module that has hooks, or
whose class has no direct form, or whose forward was replaced, is returned as it is and keeps working.

    @direct_form(GatedMLP)
    def _(mlp): ...            # returns the function; found for GatedMLP.forward, so never for a subclass with its own

A class may also have a method `direct_form()` that returns the function, without knowing this module.

One token per row is the common case of such loops. A form that takes x as (B, C) there, in place of (B, 1, C), says so
with `takes_rows`: products with two dimensions cost fewer operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from .products import product

Builder = Callable[[Any], Callable[..., Any]]
_BUILDERS: dict[Any, Builder] = {}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def direct_form(module_class: type[nn.Module]) -> Callable[[Builder], Builder]:
    """Register the builder of `module_class`'s direct form."""

    def register(builder: Builder) -> Builder:
        _BUILDERS[module_class.forward] = builder
        return builder

    return register


def direct(module: Any) -> Callable[..., Any]:
    """The direct form of a module in eval mode, or the module itself."""
    builder = _BUILDERS.get(type(module).forward) or _own_builder(type(module))
    if builder is None or module.training or is_hooked(module):
        return module
    return builder(module)


def _own_builder(module_class: type) -> Builder | None:
    """A method `direct_form` beside the forward that counts: for classes of distributions that do not know this one."""
    for cls in module_class.__mro__:
        if "direct_form" in vars(cls):
            return vars(cls)["direct_form"]
        if "forward" in vars(cls):
            return None
    return None


def is_hooked(module: nn.Module) -> bool:
    """Whether calling the module does more than its class's forward."""
    state = module.__dict__
    return "forward" in state or any(state[name] for name in _HOOKS) or _has_any_global_hook()


def rows_form(form: Callable[..., Any], *parts: Callable[..., Any]) -> Callable[..., Any]:
    """Mark `form` as one that takes rows (B, C) if all of `parts`, that it hands them to, do."""
    form.takes_rows = all(takes_rows(part) for part in parts)  # type: ignore[attr-defined]
    return form


def takes_rows(form: Callable[..., Any]) -> bool:
    """Whether a direct form takes (B, C) in place of (B, 1, C)."""
    return getattr(form, "takes_rows", False)


@direct_form(nn.Linear)
def _linear(module: nn.Linear) -> Callable[[Tensor], Tensor]:
    return rows_form(product(module.weight, module.bias))


@direct_form(nn.Embedding)
def _embedding(module: nn.Embedding) -> Callable[[Tensor], Tensor]:
    if module.max_norm is not None:
        return module
    embedding, weight = F.embedding, module.weight
    return lambda ids: embedding(ids, weight)


@direct_form(nn.LayerNorm)
def _layer_norm(module: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    norm, shape, weight, bias, eps = F.layer_norm, module.normalized_shape, module.weight, module.bias, module.eps
    return rows_form(lambda x: norm(x, shape, weight, bias, eps))


@direct_form(nn.SiLU)
def _silu(module: nn.SiLU) -> Callable[[Tensor], Tensor]:
    return rows_form(lambda x, silu=F.silu: silu(x))


@direct_form(nn.ReLU)
def _relu(module: nn.ReLU) -> Callable[[Tensor], Tensor]:
    return rows_form(lambda x, relu=F.relu: relu(x))


@direct_form(nn.GELU)
def _gelu(module: nn.GELU) -> Callable[[Tensor], Tensor]:
    gelu, approximate = F.gelu, module.approximate
    return rows_form(lambda x: gelu(x, approximate=approximate))


@direct_form(nn.Identity)
def _identity(module: nn.Identity) -> Callable[[Tensor], Tensor]:
    return rows_form(lambda x: x)
