"""Norms: root mean square (arXiv:1910.07467), and LayerNorm without bias. Statistics are always in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .direct import direct_form, rows_form


class RMSNorm(nn.Module):
    """weight * x / rms(x) over the last dimension; x is rounded back to its own dtype before the weight applies."""

    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        weight = self.weight
        if hidden_states.dtype == torch.float32:
            return F.rms_norm(hidden_states, weight.shape, weight, self.variance_epsilon)
        normed = F.rms_norm(hidden_states.float(), weight.shape, None, self.variance_epsilon)
        return weight * normed.to(hidden_states.dtype)

    def reset_parameters(self) -> None:
        """Start at the identity."""
        nn.init.ones_(self.weight)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.variance_epsilon}"


class UnitOffsetRMSNorm(nn.Module):
    """(1 + weight) * x / rms(x), all in float32 (the Gemma family's form: weights start at zero)."""

    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(hidden_size))
        self.eps = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        scale = 1.0 + self.weight.float()
        return F.rms_norm(hidden_states.float(), scale.shape, scale, self.eps).type_as(hidden_states)

    def reset_parameters(self) -> None:
        """Start at the identity."""
        nn.init.zeros_(self.weight)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


class ScaleLayerNorm(nn.Module):
    """weight * (x - mean) / deviation, in float32 and rounded back last; no bias (the Cohere family's form)."""

    def __init__(self, hidden_size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        weight = self.weight.float()
        return F.layer_norm(hidden_states.float(), weight.shape, weight, None, self.variance_epsilon).type_as(
            hidden_states
        )

    def reset_parameters(self) -> None:
        """Start at the identity."""
        nn.init.ones_(self.weight)


_HALF = (torch.bfloat16, torch.float16)


def _scaled_to_unit_rms(width: int, eps: float) -> Callable[[Tensor], Tensor]:
    """x / rms(x) in float32, for x in half precision on a CPU: four kernels, where torch's rms_norm takes eight."""
    eps_tensor, share, norm, rsqrt, addcmul, wide = (
        torch.tensor(eps),
        1.0 / width,
        torch.linalg.vector_norm,
        torch.rsqrt,
        torch.addcmul,
        torch.float32,
    )

    def scale(x: Tensor) -> Tensor:
        length = norm(x, 2, -1, True, dtype=wide)
        return x * rsqrt(addcmul(eps_tensor, length, length, value=share))

    return scale


def _folded_rms(weight: Tensor, eps: float) -> Callable[[Tensor], Tensor]:
    """weight * x / rms(x) in float32, on a CPU in four kernels: rms(x) is hypot(|x|, sqrt(eps C)) / sqrt(C)."""
    width = weight.shape[0]
    floor, scaled, norm, hypot, wide = (
        torch.tensor((eps * width) ** 0.5),
        weight * width**0.5,
        torch.linalg.vector_norm,
        torch.hypot,
        torch.float32,
    )
    return lambda x: x / hypot(norm(x, 2, -1, True, dtype=wide), floor) * scaled


def _for_dtype(module: nn.Module, dtype: torch.dtype, fast: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`fast` for inputs of this dtype, the module's own forward for others."""
    forward = module.forward
    return rows_form(lambda x: fast(x) if x.dtype == dtype else forward(x))


@direct_form(RMSNorm)
def _rms_norm(module: RMSNorm) -> Callable[[Tensor], Tensor]:
    weight, dtype, eps = module.weight, module.weight.dtype, module.variance_epsilon
    if weight.device.type != "cpu" or dtype not in (torch.float32, *_HALF):
        return rows_form(lambda x, forward=module.forward: forward(x))
    if dtype == torch.float32:
        return _for_dtype(module, dtype, _folded_rms(weight.detach(), eps))
    scale = _scaled_to_unit_rms(weight.shape[0], eps)
    return _for_dtype(module, dtype, lambda x: scale(x).to(dtype) * weight)


@direct_form(UnitOffsetRMSNorm)
def _unit_offset_rms_norm(module: UnitOffsetRMSNorm) -> Callable[[Tensor], Tensor]:
    weight, dtype = module.weight, module.weight.dtype
    if weight.device.type != "cpu" or dtype not in (torch.float32, *_HALF):
        return rows_form(lambda x, forward=module.forward: forward(x))
    norm = _folded_rms(1.0 + weight.detach().float(), module.eps)
    return _for_dtype(module, dtype, norm if dtype == torch.float32 else lambda x: norm(x).to(dtype))
