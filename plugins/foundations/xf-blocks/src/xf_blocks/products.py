"""Products with a weight as plain functions, each in the form that is fastest for its dtype and number of rows.

Shapes: M rows (all leading dimensions), K inputs, N outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A weight is widened in blocks that stay in the second-level cache; from so many rows on that pays. Measured on AVX2,
# (2816, 1024) in bfloat16: 16 rows take 8.9 ms as they are, 2.4 ms in blocks; 2 rows take the same.
_BLOCK_ROWS = 256
_ROWS_WORTH_WIDENING = 4


@functools.cache
def computes_in_float32(dtype: torch.dtype, device_type: str) -> bool:
    """Whether a CPU has no instructions for products in this half precision, so that torch's kernels emulate them."""
    supported = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}.get(dtype)
    if supported is None or device_type != "cpu":
        return False
    check = getattr(torch.ops.mkldnn, supported, None)
    return check is not None and not check()


def product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """x (..., K) -> x weight^T + bias (..., N), for weight (N, K); sums are in float32 and rounded once, as F.linear's.

    In float32, x may be (M, K) at less cost than (1, M, K).
    """
    linear, mm, addmm = F.linear, torch.mm, torch.addmm
    if type(weight) not in (nn.Parameter, Tensor):  # a subclass of tensors has a way of its own
        return lambda x: linear(x, weight, bias)
    if computes_in_float32(weight.dtype, weight.device.type):
        return _widened(weight, bias)
    if weight.dtype != torch.float32:
        return lambda x: linear(x, weight, bias)
    columns = weight.detach().t()  # what linear comes down to, at a part of the cost
    if bias is None:
        return lambda x: mm(x, columns) if x.ndim == 2 else linear(x, weight)
    return lambda x: addmm(bias, x, columns) if x.ndim == 2 else linear(x, weight, bias)


def _widened(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    linear, blocks = F.linear, weight.detach().split(_BLOCK_ROWS)
    least = _ROWS_WORTH_WIDENING * weight.shape[1]

    def apply(x: Tensor) -> Tensor:
        if x.numel() < least:
            return linear(x, weight, bias)
        wide = x.float()
        out = torch.cat([linear(wide, block.float()) for block in blocks], dim=-1)
        return (out if bias is None else out + bias).to(x.dtype)

    return apply
