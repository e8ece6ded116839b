"""Blocks of 32 with one scale, and the ternary and four-bit float types.

Layouts: ggml/src/ggml-common.h of ggml. Each function takes raw blocks (N, bytes) and returns (N, elements) float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def halves(blocks: Tensor, begin: int) -> Tensor:
    """The float16 at byte `begin` of each block, as float32 (N, 1)."""
    return blocks[:, begin : begin + 2].contiguous().view(torch.float16).float()


def nibbles(packed: Tensor) -> Tensor:
    """(N, b) bytes to (N, 2 b) values 0..15: all low halves, then all high halves."""
    return torch.cat([packed & 15, packed >> 4], dim=1)


def bits(packed: Tensor) -> Tensor:
    """(N, b) bytes to (N, 8 b) bits, lowest first."""
    shifts = torch.arange(8, dtype=torch.uint8)
    return ((packed.unsqueeze(-1) >> shifts) & 1).flatten(1)


def q4_0(blocks: Tensor) -> Tensor:
    return (nibbles(blocks[:, 2:]).float() - 8).mul_(halves(blocks, 0))


def q4_1(blocks: Tensor) -> Tensor:
    return nibbles(blocks[:, 4:]).float().mul_(halves(blocks, 0)).add_(halves(blocks, 2))


def q5_0(blocks: Tensor) -> Tensor:
    values = nibbles(blocks[:, 6:]) | (bits(blocks[:, 2:6]) << 4)
    return (values.float() - 16).mul_(halves(blocks, 0))


def q5_1(blocks: Tensor) -> Tensor:
    values = nibbles(blocks[:, 8:]) | (bits(blocks[:, 4:8]) << 4)
    return values.float().mul_(halves(blocks, 0)).add_(halves(blocks, 2))


def q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(halves(blocks, 0))


def q8_1(blocks: Tensor) -> Tensor:
    """Scale, sum of the values (not needed here), values."""
    return blocks[:, 4:].view(torch.int8).float().mul_(halves(blocks, 0))


# The values of a 4-bit float (1 sign, 2 exponent, 1 mantissa bits), doubled to be whole numbers.
_E2M1_DOUBLED = torch.tensor([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=torch.float32)


def mxfp4(blocks: Tensor) -> Tensor:
    """A power of two as scale (OCP Microscaling Formats 1.0), halved because the table is doubled."""
    exponent = blocks[:, :1].int()
    # half of 2^(e - 127): a normal number from e = 2 on, and the two smallest as subnormal ones
    pattern = torch.where(
        exponent < 2, torch.full_like(exponent, 0x00200000) << exponent.clamp(max=1), (exponent - 1) << 23
    )
    return _E2M1_DOUBLED[nibbles(blocks[:, 1:]).int()] * pattern.view(torch.float32)


def tq1_0(blocks: Tensor) -> Tensor:
    """Five ternary digits a byte, as a fraction of 256: multiplying by a power of 3 brings a digit to the top."""
    powers = torch.tensor([1, 3, 9, 27, 81], dtype=torch.uint8)

    def digits(packed: Tensor, count: int) -> Tensor:
        shifted = packed.unsqueeze(1) * powers[:count].reshape(1, -1, 1)  # wraps at 256, which is the point
        return ((shifted.to(torch.int16) * 3) >> 8).flatten(1)

    parts = [digits(blocks[:, :32], 5), digits(blocks[:, 32:48], 5), digits(blocks[:, 48:52], 4)]
    return (torch.cat(parts, dim=1).float() - 1).mul_(halves(blocks, 52))


def tq2_0(blocks: Tensor) -> Tensor:
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8).reshape(1, 1, 4, 1)
    values = (blocks[:, :64].reshape(-1, 2, 1, 32) >> shifts) & 3
    return (values.flatten(1).float() - 1).mul_(halves(blocks, 64))


UNPACKERS = {
    "Q4_0": q4_0,
    "Q4_1": q4_1,
    "Q5_0": q5_0,
    "Q5_1": q5_1,
    "Q8_0": q8_0,
    "Q8_1": q8_1,
    "MXFP4": mxfp4,
    "TQ1_0": tq1_0,
    "TQ2_0": tq2_0,
}
