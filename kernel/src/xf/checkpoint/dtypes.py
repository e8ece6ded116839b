"""Which dtype a model is loaded in: what was asked, what the config says, what the files hold."""

from __future__ import annotations

from typing import Any

import torch

from xf.checkpoint.formats import TensorSource


def pop_dtype(kwargs: dict[str, Any]) -> Any:
    """Take torch_dtype, or its newer name dtype, out of `kwargs`."""
    old, new = kwargs.pop("torch_dtype", None), kwargs.pop("dtype", None)
    if old is not None and new is not None and old != new:
        raise ValueError(f"torch_dtype={old!r} and dtype={new!r} are two names of one argument: give one of them")
    return old if new is None else new


def as_dtype(value: Any) -> torch.dtype:
    """A floating torch.dtype from itself or its name.

    Raises: ValueError for anything else.
    """
    found = getattr(torch, value.removeprefix("torch."), None) if isinstance(value, str) else value
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"torch_dtype={value!r} is not a floating dtype; use torch.float32, 'bfloat16', 'auto', ...")
    return found


def choose_dtypes(asked: Any, config: Any, source: TensorSource) -> tuple[torch.dtype, dict[str, torch.dtype]]:
    """(dtype of the model, {sub-config key: dtype}) for torch_dtype=asked; the choice is noted in the config.

    None: torch's default dtype, whatever the files hold. "auto": the config's torch_dtype, else that of the first
    floating tensor of the files. A dict: by sub-config key, "" for the rest.
    """
    by_key = {key: as_dtype(value) for key, value in asked.items()} if isinstance(asked, dict) else {}
    unknown = sorted(by_key.keys() - set(config.sub_configs) - {""})
    if unknown:
        raise ValueError(f"torch_dtype names {unknown}; there are {sorted(config.sub_configs)} and '' for the rest")
    if asked == "auto":
        dtype = config.torch_dtype or _first_floating(source) or torch.get_default_dtype()
    elif isinstance(asked, dict) or asked is None:
        dtype = by_key.pop("", torch.get_default_dtype())
    else:
        dtype = as_dtype(asked)
    config.torch_dtype = dtype
    for key in config.sub_configs:
        sub = getattr(config, key, None)
        if sub is not None and (key in by_key or not isinstance(asked, dict)):
            sub.torch_dtype = by_key.get(key, dtype)
    return dtype, by_key


def _first_floating(source: TensorSource) -> torch.dtype | None:
    return next((dtype for dtype in map(source.dtype, source.names()) if dtype.is_floating_point), None)
