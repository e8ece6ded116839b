"""From ggml's blocks to float32, by whole tensors.

N blocks at once: every unpacker takes the raw bytes of blocks (N, bytes a block) and returns values (N, elements a
block). Work goes in small slices, straight into the result.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import codebook_types, k_types, simple_types
from .ggml_types import PLAIN, GgmlType

UNPACKERS: dict[str, Callable[[Tensor], Tensor]] = {
    **simple_types.UNPACKERS,
    **k_types.UNPACKERS,
    **codebook_types.UNPACKERS,
}
# Elements: with their temporaries they stay in a second-level cache. No more than torch's grain size, either (ATen's
# internal::GRAIN_SIZE), so that no slice wakes other threads: waking them costs more than a slice, much more on a busy
# machine.
_SLICE = 1 << 15


def dtype_of(kind: GgmlType) -> torch.dtype:
    """The dtype a tensor of this type is read as."""
    return getattr(torch, PLAIN.get(kind.name, "float32"))  # type: ignore[no-any-return]


def dequantize(raw: Tensor, kind: GgmlType, shape: tuple[int, ...]) -> Tensor:
    """The values of a tensor from its bytes.

    raw: (bytes,) uint8. shape: in torch's order. Plain types are views of `raw`, others float32 of their own.
    """
    if kind.name in PLAIN:
        return raw.view(dtype_of(kind)).reshape(shape)
    blocks = raw.view(-1, kind.size)
    values = torch.empty((blocks.shape[0], kind.block), dtype=torch.float32)
    unpack, step = UNPACKERS[kind.name], max(1, _SLICE // kind.block)
    for begin in range(0, blocks.shape[0], step):
        values[begin : begin + step] = unpack(blocks[begin : begin + step])
    return values.reshape(shape)
