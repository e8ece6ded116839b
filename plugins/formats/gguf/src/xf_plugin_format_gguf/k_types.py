"""Blocks of 256 in groups of 16 or 32, whose scales are quantized themselves ("k-quants").

Layouts: ggml/src/ggml-common.h of ggml. Each function takes raw blocks (N, bytes) and returns (N, 256) float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .simple_types import halves

_TWO_BITS = torch.tensor([0, 2, 4, 6], dtype=torch.uint8).reshape(1, 1, 4, 1)
_EIGHT_BITS = torch.arange(8, dtype=torch.uint8)


def _pairs(packed: Tensor) -> Tensor:
    """64 bytes to 256 values 0..3: by halves of 32 bytes, and in each by bit pair."""
    return ((packed.reshape(-1, 2, 1, 32) >> _TWO_BITS) & 3).reshape(-1, 256)


def _scales_and_mins(packed: Tensor) -> tuple[Tensor, Tensor]:
    """12 bytes to 8 scales and 8 minima of 6 bits, each (N, 8) float32."""
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat([low & 63, (high & 15) | ((low >> 6) << 4)], dim=1)
    minima = torch.cat([middle & 63, (high >> 4) | ((middle >> 6) << 4)], dim=1)
    return scales.float(), minima.float()


def _by_groups(values: Tensor, scales: Tensor, minima: Tensor | None = None) -> Tensor:
    """values (N, 256) times scales (N, groups), less minima (N, groups)."""
    grouped = values.float().reshape(len(values), scales.shape[1], -1).mul_(scales.unsqueeze(-1))
    if minima is not None:
        grouped.sub_(minima.unsqueeze(-1))
    return grouped.reshape(len(values), 256)


def q2_k(blocks: Tensor) -> Tensor:
    packed = blocks[:, :16]
    scales = halves(blocks, 80) * (packed & 15).float()
    minima = halves(blocks, 82) * (packed >> 4).float()
    return _by_groups(_pairs(blocks[:, 16:80]), scales, minima)


def q3_k(blocks: Tensor) -> Tensor:
    mask, packed = blocks[:, :32], blocks[:, 96:108]
    low = torch.cat([packed[:, :8] & 15, packed[:, :8] >> 4], dim=1)
    high = ((packed[:, 8:].unsqueeze(1) >> _TWO_BITS.reshape(1, 4, 1)) & 3).flatten(1)
    scales = halves(blocks, 108) * ((low | (high << 4)).float() - 32)
    missing = ((mask.unsqueeze(1) >> _EIGHT_BITS.reshape(1, 8, 1)) & 1) ^ 1  # a clear bit means 4 less
    values = _pairs(blocks[:, 32:96]).to(torch.int8) - (missing.reshape(-1, 256) << 2).to(torch.int8)
    return _by_groups(values, scales)


def _nibbles_by_32(packed: Tensor) -> Tensor:
    """128 bytes to 256 values 0..15: 32 low halves, 32 high halves, and so on."""
    groups = packed.reshape(-1, 4, 32)
    return torch.stack([groups & 15, groups >> 4], dim=2).reshape(-1, 256)


def q4_k(blocks: Tensor) -> Tensor:
    scales, minima = _scales_and_mins(blocks[:, 4:16])
    return _by_groups(_nibbles_by_32(blocks[:, 16:]), halves(blocks, 0) * scales, halves(blocks, 2) * minima)


def q5_k(blocks: Tensor) -> Tensor:
    scales, minima = _scales_and_mins(blocks[:, 4:16])
    fifth = ((blocks[:, 16:48].unsqueeze(1) >> _EIGHT_BITS.reshape(1, 8, 1)) & 1).reshape(-1, 256)
    values = _nibbles_by_32(blocks[:, 48:]) | (fifth << 4)
    return _by_groups(values, halves(blocks, 0) * scales, halves(blocks, 2) * minima)


def q6_k(blocks: Tensor) -> Tensor:
    packed = blocks[:, :128].reshape(-1, 2, 64)
    low = torch.cat([packed & 15, packed >> 4], dim=2).reshape(-1, 256)
    high = _pairs(blocks[:, 128:192])
    scales = halves(blocks, 208) * blocks[:, 192:208].view(torch.int8).float()
    return _by_groups((low | (high << 4)).to(torch.int8) - 32, scales)


def q8_k(blocks: Tensor) -> Tensor:
    return blocks[:, 4:260].view(torch.int8).float().mul_(blocks[:, :4].contiguous().view(torch.float32))


UNPACKERS = {"Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k, "Q8_K": q8_k}
