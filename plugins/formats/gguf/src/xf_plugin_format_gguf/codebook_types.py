"""Types whose values are entries of a codebook ("i-quants").

The codebooks are ggml's (ggml/src/ggml-common.h, MIT licence), kept in codebooks.npz as indexes into the few values
that occur. Each function takes raw blocks (N, bytes) and returns (N, elements) float32.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .simple_types import halves, nibbles


@cache
def codebook(name: str) -> Tensor:
    """A codebook (entries, values an entry) float32."""
    with np.load(Path(__file__).with_name("codebooks.npz"), allow_pickle=False) as stored:
        return torch.from_numpy(stored[f"{name}_values"].astype(np.float32)[stored[f"{name}_index"]])


@lru_cache(maxsize=1)
def _sign_table() -> Tensor:
    """(128, 8) of +1 and -1: seven bits are stored, the eighth makes the number of minus signs even."""
    seven = torch.arange(128).unsqueeze(1) >> torch.arange(7) & 1
    eight = torch.cat([seven, seven.sum(1, keepdim=True) & 1], dim=1)
    return 1.0 - 2.0 * eight


def _signs_of_bytes(packed: Tensor) -> Tensor:
    """(N, b) bytes to (N, b, 8) of +1 and -1: a set bit is a minus."""
    return 1.0 - 2.0 * ((packed.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8)) & 1).float()


def _low_high(packed: Tensor) -> Tensor:
    """(N, b) bytes to (N, 2 b) values 0..15: low and high half of each byte in turn."""
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)


def _words(blocks: Tensor, begin: int, end: int, dtype: torch.dtype) -> Tensor:
    """Bytes begin..end of each block as little-endian integers."""
    return blocks[:, begin:end].contiguous().view(dtype)


_IQ4 = torch.tensor([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=torch.float32)


def iq4_nl(blocks: Tensor) -> Tensor:
    return _IQ4[nibbles(blocks[:, 2:]).int()].mul_(halves(blocks, 0))


def iq4_xs(blocks: Tensor) -> Tensor:
    high = (_words(blocks, 2, 4, torch.int16).int() >> torch.arange(0, 16, 2)) & 3
    scales = halves(blocks, 0) * ((_low_high(blocks[:, 4:8]).int() | (high << 4)).float() - 32)
    values = nibbles(blocks[:, 8:].reshape(-1, 16)).reshape(-1, 8, 32)
    return (_IQ4[values.int()] * scales.unsqueeze(-1)).flatten(1)


def iq2_xxs(blocks: Tensor) -> Tensor:
    """Per 32 values: four codebook bytes, then four times seven sign bits and a scale of four bits."""
    words = _words(blocks, 2, 66, torch.int32).reshape(-1, 8, 2)
    index = words[..., :1].contiguous().view(torch.uint8).int()  # (N, 8, 4)
    rest = words[..., 1]
    scales = halves(blocks, 0) * (0.5 + ((rest >> 28) & 15).float()) * 0.25
    signs = _sign_table()[(rest.unsqueeze(-1) >> torch.tensor([0, 7, 14, 21])) & 127]  # (N, 8, 4, 8)
    return (scales[..., None, None] * codebook("iq2_xxs")[index] * signs).flatten(1)


def iq2_xs(blocks: Tensor) -> Tensor:
    words = _words(blocks, 2, 66, torch.int16).int() & 0xFFFF  # (N, 32): nine bits of index, seven of signs
    scales = halves(blocks, 0) * (0.5 + _low_high(blocks[:, 66:74]).float()) * 0.25  # (N, 16)
    values = codebook("iq2_xs")[words & 511] * _sign_table()[words >> 9]
    return (scales.unsqueeze(-1) * values.reshape(-1, 16, 16)).flatten(1)


def iq2_s(blocks: Tensor) -> Tensor:
    high = (blocks[:, 66:74].unsqueeze(-1) >> torch.tensor([0, 2, 4, 6], dtype=torch.uint8)) & 3
    index = blocks[:, 2:34].int() | (high.flatten(1).int() << 8)
    scales = halves(blocks, 0) * (0.5 + _low_high(blocks[:, 74:82]).float()) * 0.25
    values = codebook("iq2_s")[index] * _signs_of_bytes(blocks[:, 34:66])
    return (scales.unsqueeze(-1) * values.reshape(-1, 16, 16)).flatten(1)


def iq3_xxs(blocks: Tensor) -> Tensor:
    rest = _words(blocks, 66, 98, torch.int32)  # (N, 8)
    scales = halves(blocks, 0) * (0.5 + ((rest >> 28) & 15).float()) * 0.5
    signs = _sign_table()[(rest.unsqueeze(-1) >> torch.tensor([0, 7, 14, 21])) & 127]  # (N, 8, 4, 8)
    values = codebook("iq3_xxs")[blocks[:, 2:66].int()].reshape(-1, 8, 4, 8)
    return (scales[..., None, None] * values * signs).flatten(1)


def iq3_s(blocks: Tensor) -> Tensor:
    ninth = (blocks[:, 66:74].unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8)) & 1
    index = blocks[:, 2:66].int() | (ninth.flatten(1).int() << 8)
    scales = halves(blocks, 0) * (1 + 2 * _low_high(blocks[:, 106:110]).float())  # (N, 8)
    values = codebook("iq3_s")[index].reshape(-1, 32, 8) * _signs_of_bytes(blocks[:, 74:106])
    return (scales.unsqueeze(-1) * values.reshape(-1, 8, 32)).flatten(1)


_DELTA = 0.125  # IQ1S_DELTA and IQ1M_DELTA: the ternary codebook is shifted by this, up or down


def iq1_s(blocks: Tensor) -> Tensor:
    words = _words(blocks, 34, 50, torch.int16).int() & 0xFFFF  # (N, 8)
    scales = halves(blocks, 0) * (2 * ((words >> 12) & 7) + 1).float()
    delta = torch.where(words & 0x8000 != 0, -_DELTA, _DELTA)
    high = (words.unsqueeze(-1) >> torch.tensor([0, 3, 6, 9])) & 7
    index = blocks[:, 2:34].int() | (high.flatten(1) << 8)
    values = codebook("iq1_s")[index].reshape(-1, 8, 32)
    return (scales.unsqueeze(-1) * (values + delta.unsqueeze(-1))).flatten(1)


def iq1_m(blocks: Tensor) -> Tensor:
    """The block's scale is spread over the top four bits of its four words of group scales."""
    words = _words(blocks, 48, 56, torch.int16).int() & 0xFFFF  # (N, 4)
    whole = ((words >> 12) << torch.tensor([0, 4, 8, 12])).sum(1, keepdim=True).to(torch.int16)
    d = whole.view(torch.float16).float()
    groups = (words.unsqueeze(-1) >> torch.tensor([0, 3, 6, 9])) & 7  # (N, 4, 4): 16 groups of 16
    scales = d * (2 * groups + 1).float().flatten(1)
    extra = _low_high(blocks[:, 32:48]).int()  # (N, 32): three bits of index and the sign of delta
    index = blocks[:, :32].int() | ((extra & 7) << 8)
    delta = torch.where(extra & 8 != 0, -_DELTA, _DELTA)
    values = codebook("iq1_s")[index] + delta.unsqueeze(-1)
    return (scales.unsqueeze(-1) * values.reshape(-1, 16, 16)).flatten(1)


UNPACKERS = {
    "IQ4_NL": iq4_nl,
    "IQ4_XS": iq4_xs,
    "IQ2_XXS": iq2_xxs,
    "IQ2_XS": iq2_xs,
    "IQ2_S": iq2_s,
    "IQ3_XXS": iq3_xxs,
    "IQ3_S": iq3_s,
    "IQ1_S": iq1_s,
    "IQ1_M": iq1_m,
}
