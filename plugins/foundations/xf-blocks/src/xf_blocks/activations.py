"""Activation functions by the names that configs use (`ACT2FN`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gelu_new(x: Tensor) -> Tensor:
    """The tanh approximation of GELU (arXiv:1606.08415)."""
    return F.gelu(x, approximate="tanh")


def gelu_fast(x: Tensor) -> Tensor:
    """The tanh approximation of GELU with sqrt(2 / pi) rounded to 0.7978845608."""
    return 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x)))


def gelu_exact(x: Tensor) -> Tensor:
    """GELU through erf, written out."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def gelu_accurate(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, written out (github.com/hendrycks/GELUs)."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def clipped_gelu_10(x: Tensor) -> Tensor:
    """GELU limited to [-10, 10], for quantized networks (arXiv:2004.09602)."""
    return F.gelu(x).clamp(-10, 10)


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x) (arXiv:1606.08415, section 2)."""
    return x * torch.sigmoid(1.702 * x)


def relu_squared(x: Tensor) -> Tensor:
    """relu(x) ** 2 (arXiv:2109.08668)."""
    return F.relu(x).square()


def laplace(x: Tensor) -> Tensor:
    """A smooth stand-in for relu ** 2 with the mean and deviation of arXiv:2209.10655, section 3.2."""
    mean, deviation = 0.707107, 0.282095
    return 0.5 * (1.0 + torch.erf((x - mean) / (deviation * math.sqrt(2.0))))


class Activation(nn.Module):
    """A parameterless activation as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return self.function(input)

    def extra_repr(self) -> str:
        return self.function.__name__


def _of(function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Activation(function)


class ActivationTable(Mapping[str, nn.Module]):
    """Name -> a fresh activation module."""

    def __init__(self, factories: Mapping[str, Callable[[], nn.Module]]) -> None:
        self._factories = dict(factories)

    def __getitem__(self, name: str) -> nn.Module:
        if name not in self._factories:
            raise KeyError(f"There is no activation {name!r}; the known ones are {', '.join(self._factories)}.")
        return self._factories[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __len__(self) -> int:
        return len(self._factories)


ACT2FN = ActivationTable(
    {
        "gelu": nn.GELU,
        "gelu_10": _of(clipped_gelu_10),
        "gelu_fast": _of(gelu_fast),
        "gelu_new": _of(gelu_new),
        "gelu_python": _of(gelu_exact),
        "gelu_pytorch_tanh": lambda: nn.GELU(approximate="tanh"),
        "gelu_accurate": _of(gelu_accurate),
        "laplace": _of(laplace),
        "leaky_relu": nn.LeakyReLU,
        "linear": nn.Identity,
        "mish": nn.Mish,
        "quick_gelu": _of(quick_gelu),
        "relu": nn.ReLU,
        "relu2": _of(relu_squared),
        "relu6": nn.ReLU6,
        "sigmoid": nn.Sigmoid,
        "silu": nn.SiLU,
        "swish": nn.SiLU,
        "tanh": nn.Tanh,
        "prelu": nn.PReLU,
    }
)


def get_activation(name: str | Callable[..., Any]) -> Any:
    """The activation module called `name`; a callable is returned as it is.

    Raises: ValueError for a name that does not exist.
    """
    if not isinstance(name, str):
        return name
    try:
        return ACT2FN[name]
    except KeyError as error:
        raise ValueError(error.args[0]) from None
