"""Building a model without its weights: parameters on the meta device, buffers for real.

Buffers (rotary frequencies, position indices, relative position tables) are computed by constructors and are in no
file, so a model whose buffers were left on meta would hold garbage after loading. Only what `torch.nn`'s own layers
allocate is therefore put on meta; what a model computes itself keeps its values. The mode is local to the thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_dtype_lock = threading.RLock()


class _EmptyLayers(TorchFunctionMode):
    """torch.empty called by a layer of torch.nn goes to meta; torch.nn.init leaves meta tensors alone."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            if sys._getframe(1).f_globals.get("__name__", "").startswith("torch.nn.modules"):
                return func(*args, **{**kwargs, "device": "meta"})
        elif getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextmanager
def default_dtype(dtype: torch.dtype | None) -> Iterator[None]:
    """Constructors make floating tensors of `dtype`. The setting is torch's and global: one such build at a time."""
    if dtype is None or dtype == torch.get_default_dtype():
        yield
        return
    with _dtype_lock:
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def build_empty(
    cls: Any, config: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], dtype: torch.dtype
) -> nn.Module:
    """A model of `cls` whose layers' parameters are on meta, with real buffers, in `dtype`, not initialised."""
    from xf.interfaces.model import no_init_weights

    with default_dtype(dtype), no_init_weights(), _EmptyLayers():
        model: nn.Module = cls(config, *args, **kwargs)
    return model


def build_from_config(cls: Any, config: Any, **kwargs: Any) -> Any:
    """A new model with random weights; it keeps `config` itself, not a copy.

    torch_dtype (or dtype): a torch.dtype or its name, default that of the config, else float32. attn_implementation as
    in from_pretrained. Other keyword arguments go to the constructor.
    """
    from xf.checkpoint.dtypes import as_dtype, pop_dtype

    attention = kwargs.pop("attn_implementation", None)
    if attention is not None:
        config._attn_implementation = attention
    asked = pop_dtype(kwargs)
    dtype = as_dtype(asked) if asked is not None else config.torch_dtype
    if asked is not None:
        config.torch_dtype = dtype
    with default_dtype(dtype):
        return cls(config, **kwargs)


def assign(modules: Mapping[str, nn.Module], name: str, tensor: torch.Tensor) -> None:
    """Put `tensor` in the place of the parameter or buffer `name`, without copying; keeps requires_grad.

    `modules` is dict(model.named_modules()).
    """
    path, _, key = name.rpartition(".")
    module = modules[path]
    old = module._parameters.get(key)
    if old is not None:
        trainable = old.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
        module._parameters[key] = nn.Parameter(tensor, requires_grad=trainable)
    elif key in module._buffers:
        module._buffers[key] = tensor
    else:
        setattr(module, key, tensor)
