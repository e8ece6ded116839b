"""Feed-forward blocks. Shapes: C model width, F inner width."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from .activations import get_activation
from .direct import direct, direct_form, rows_form
from .fusing import fused_form


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)) (arXiv:2002.05202)."""

    fusable: ClassVar = (("gate_proj", "up_proj"),)

    def __init__(
        self, hidden_size: int, intermediate_size: int, activation: str | Callable[..., Tensor], bias: bool = False
    ) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.act_fn = get_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class FusedGatedMLP(nn.Module):
    """`GatedMLP` with gate and up in one matrix, gate first."""

    def __init__(
        self, hidden_size: int, intermediate_size: int, activation: str | Callable[..., Tensor], bias: bool = False
    ) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(hidden_size, 2 * intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.activation_fn = get_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(up * self.activation_fn(gate))


class MLP(nn.Module):
    """fc2(act(fc1(x)))."""

    def __init__(
        self, hidden_size: int, intermediate_size: int, activation: str | Callable[..., Tensor], bias: bool = True
    ) -> None:
        super().__init__()
        self.activation_fn = get_activation(activation)
        self.fc1 = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.fc2 = nn.Linear(intermediate_size, hidden_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.fc2(self.activation_fn(self.fc1(x)))


@direct_form(GatedMLP)
def _gated(mlp: GatedMLP) -> Callable[[Tensor], Tensor]:
    gate, up, down, act = direct(mlp.gate_proj), direct(mlp.up_proj), direct(mlp.down_proj), direct(mlp.act_fn)
    both = fused_form(mlp, GatedMLP.fusable[0])
    if both is not None:

        def forward(x: Tensor) -> Tensor:
            gated, raised = both(x).chunk(2, dim=-1)
            return down(act(gated) * raised)

        return rows_form(forward, both, down)
    return rows_form(lambda x: down(act(gate(x)) * up(x)), gate, up, down)


@direct_form(FusedGatedMLP)
def _fused_gated(mlp: FusedGatedMLP) -> Callable[[Tensor], Tensor]:
    gate_up, down, act = direct(mlp.gate_up_proj), direct(mlp.down_proj), direct(mlp.activation_fn)

    def forward(x: Tensor) -> Tensor:
        gate, up = gate_up(x).chunk(2, dim=-1)
        return down(up * act(gate))

    return rows_form(forward, gate_up, down)


@direct_form(MLP)
def _plain(mlp: MLP) -> Callable[[Tensor], Tensor]:
    fc1, fc2, act = direct(mlp.fc1), direct(mlp.fc2), direct(mlp.activation_fn)
    return rows_form(lambda x: fc2(act(fc1(x))), fc1, fc2)


class UpDownMLP(nn.Module):
    """down(act(up(x)))."""

    def __init__(
        self, hidden_size: int, intermediate_size: int, activation: str | Callable[..., Tensor], bias: bool = False
    ) -> None:
        super().__init__()
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.act_fn = get_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.down_proj(self.act_fn(self.up_proj(x)))


@direct_form(UpDownMLP)
def _up_down(mlp: UpDownMLP) -> Callable[[Tensor], Tensor]:
    up, down, act = direct(mlp.up_proj), direct(mlp.down_proj), direct(mlp.act_fn)
    return lambda x: down(act(up(x)))
