"""Fused projections: matrices that read the same input are multiplied in one product.

`fuse(model)` lays the weights of such matrices side by side in memory. Every module keeps its own weight, as a part of
the common one, so names, state_dict, saving and training stay as they were; direct forms see that the parts lie side by
side and multiply with the whole. What replaces or moves a weight (`model.to`, loading into it) takes it out of its
place again: then the product is simply not fused. Layers of other kinds (quantized ones) may offer
`fused_with(others) -> module`; that module is kept beside them and is no part of the model's state.

A class says which of its modules read the same input: `fusable = (("q_proj", "k_proj", "v_proj"),)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .direct import direct, rows_form
from .products import product

_KEPT = "_fused"  # attribute of the parent, outside of its modules: {names: (the modules that were fused, the whole)}


@torch.no_grad()
def fuse(model: nn.Module) -> int:
    """Fuse all that can be fused in `model`; the number of products that were joined."""
    count = 0
    for parent in model.modules():
        for names in getattr(type(parent), "fusable", ()):
            parts: list[Any] = [getattr(parent, name, None) for name in names]
            if all(type(part) is nn.Linear for part in parts) and len({part.weight.dtype for part in parts}) == 1:
                count += _lay_side_by_side(parts)
            elif all(hasattr(part, "fused_with") for part in parts):
                kept = parent.__dict__.setdefault(_KEPT, {})
                kept[names] = (parts, parts[0].fused_with(parts[1:]))
                count += 1
    return count


def _lay_side_by_side(parts: Sequence[nn.Linear]) -> bool:
    if len({part.bias is None for part in parts}) > 1 or any(part.weight.is_meta for part in parts):
        return False
    for name in ("weight", "bias"):
        tensors = [getattr(part, name) for part in parts]
        if tensors[0] is None or _side_by_side(tensors) is not None:
            continue
        whole = torch.cat([tensor.detach() for tensor in tensors])
        for tensor, piece in zip(tensors, whole.split([len(t) for t in tensors]), strict=True):
            tensor.data = piece  # the parameter itself stays, for optimizers and ties
    return True


def _side_by_side(tensors: Sequence[Tensor]) -> Tensor | None:
    """The tensors as one, concatenated in the first dimension, if that is how they lie in memory."""
    first = tensors[0]
    if any(type(tensor) is not nn.Parameter or tensor.is_meta or not tensor.is_contiguous() for tensor in tensors):
        return None
    place, offset = first.untyped_storage().data_ptr(), first.storage_offset()
    for tensor in tensors:
        same = tensor.dtype == first.dtype and tensor.shape[1:] == first.shape[1:]
        if not same or tensor.untyped_storage().data_ptr() != place or tensor.storage_offset() != offset:
            return None
        offset += tensor.numel()
    rows = sum(len(tensor) for tensor in tensors)
    return first.detach().as_strided((rows, *first.shape[1:]), first.stride())


def fused_form(parent: nn.Module, names: tuple[str, ...]) -> Callable[[Tensor], Tensor] | None:
    """The direct form of the modules `names` as one, outputs side by side; None where they are not fused."""
    parts: list[Any] = [getattr(parent, name) for name in names]
    kept = parent.__dict__.get(_KEPT, {}).get(names)
    if kept is not None and all(now is then for now, then in zip(parts, kept[0], strict=True)):
        if kept[1].is_made_of(parts) and all(direct(part) is not part for part in parts):
            return direct(kept[1])
    if any(type(part) is not nn.Linear or direct(part) is part for part in parts):
        return None  # hooked, or of a kind of its own
    weight = _side_by_side([part.weight for part in parts])
    if weight is None:
        return None
    if parts[0].bias is None:
        return rows_form(product(weight, None)) if all(part.bias is None for part in parts) else None
    bias = _side_by_side([part.bias for part in parts]) if all(part.bias is not None for part in parts) else None
    return None if bias is None else rows_form(product(weight, bias))
