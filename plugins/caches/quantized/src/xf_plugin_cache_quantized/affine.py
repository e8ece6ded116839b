"""Affine quantization of cache blocks in plain torch: numbers of a group between its least and its greatest.

Shapes: B batch, G key-value heads, T tokens, D head width, S group size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .processors import QuantizedCacheProcessor


@dataclass(frozen=True)
class AffineBlock:
    """codes: uint8, (B, groups, S), two codes to a byte with 4 bits, four with 2. low, step: (B, groups, 1).

    by_channel: groups run along T, else along D. shape: of the block.
    """

    codes: Tensor
    low: Tensor
    step: Tensor
    shape: torch.Size
    by_channel: bool


class AffineQuantizedCacheProcessor(QuantizedCacheProcessor):
    """2, 4 or 8 bits, without any further package.

    axis 0: numbers of one token share a scale, in groups along the head width. axis -1: numbers of one channel do, over
    all tokens of the block, which suits keys, whose outliers sit in few channels (arXiv:2402.02750, section 3.1).
    """

    backend_name = "affine"
    supported_bits = (2, 4, 8)

    def _quantize(self, tensor: Tensor, axis: int) -> AffineBlock:
        by_channel = axis == -1
        shape, tensor = tensor.shape, tensor.to(self.compute_dtype)
        if by_channel:
            grouped = tensor.transpose(2, 3).reshape(shape[0], -1, shape[2])
        else:
            grouped = tensor.reshape(shape[0], -1, self.group_size(shape[-1]))
        low, high = grouped.amin(-1, keepdim=True), grouped.amax(-1, keepdim=True)
        top = 2**self.nbits - 1
        step = ((high - low).float() / top).clamp(min=1e-12)  # a group of equal numbers has no range
        codes = ((grouped.float() - low.float()) / step).round_().clamp_(0, top).to(torch.uint8)
        return AffineBlock(_pack(codes, self.nbits), low, step.to(torch.float32), shape, by_channel)

    def _dequantize(self, quantized: Any) -> Tensor:
        batch, heads, tokens, width = quantized.shape
        size = tokens if quantized.by_channel else quantized.codes.shape[-1] * 8 // self.nbits
        codes = _unpack(quantized.codes, self.nbits, size)
        restored = (codes.float() * quantized.step + quantized.low.float()).to(self.compute_dtype)
        if quantized.by_channel:
            return restored.view(batch, heads, width, tokens).transpose(2, 3)
        return restored.view(quantized.shape)

    def _map(self, quantized: Any, change: Callable[[Tensor], Tensor], axis: int) -> AffineBlock:
        codes, low, step = (change(part) for part in (quantized.codes, quantized.low, quantized.step))
        shape = torch.Size((codes.shape[0], *quantized.shape[1:]))
        return replace(quantized, codes=codes, low=low, step=step, shape=shape)


def _pack(codes: Tensor, nbits: int) -> Tensor:
    """(..., S) codes of nbits to bytes, (..., ceil(S * nbits / 8)); the first code in the lowest bits."""
    per_byte = 8 // nbits
    if per_byte == 1:
        return codes
    missing = -codes.shape[-1] % per_byte
    codes = torch.nn.functional.pad(codes, (0, missing)).unflatten(-1, (-1, per_byte))
    packed = codes[..., 0]
    for place in range(1, per_byte):
        packed = packed | (codes[..., place] << (place * nbits))
    return packed


def _unpack(packed: Tensor, nbits: int, size: int) -> Tensor:
    """The first `size` codes of bytes that `_pack` made."""
    per_byte = 8 // nbits
    if per_byte == 1:
        return packed
    places = [(packed >> (place * nbits)) & (2**nbits - 1) for place in range(per_byte)]
    return torch.stack(places, dim=-1).flatten(-2)[..., :size]
