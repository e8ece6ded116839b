"""State-space layers: the causal convolution and the selective scans of Mamba (arXiv:2312.00752, arXiv:2405.21060).

All are plain torch, differentiable, and continue from a state, so that a text may come in parts of any length.

Shapes: B batch, T tokens, I inner width, S state size, W width of the convolution, H heads, D head width, R rank of the
time step, Q tokens of a chunk, N chunks.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .activations import get_activation

_HELD = 1 << 19  # numbers of the states that are held at once: about what a processor's cache takes
_WIDE = 1 << 12  # numbers in one state from which a step is worth its call, so that chunks gain nothing
_SHORT = 16  # tokens up to which one step after the other costs less than chunks

State = tuple[Tensor, Tensor]  # latest inputs of the convolution (B, I, W), state of the scan


def causal_conv(conv: nn.Conv1d, x_BIT: Tensor, past_BIW: Tensor | None) -> tuple[Tensor, Tensor]:
    """A depthwise convolution over each token and the W - 1 before it: ((B, I, T), latest inputs (B, I, W))."""
    width = conv.weight.shape[-1]
    if past_BIW is None:
        past_BIW = x_BIT.new_zeros(x_BIT.shape[0], x_BIT.shape[1], width)
    joined = torch.cat([past_BIW.to(x_BIT.dtype), x_BIT], dim=-1)
    out_BIT = F.conv1d(joined[..., 1:], conv.weight, conv.bias, groups=conv.groups)
    return out_BIT, joined[..., -width:]


def selective_scan(
    x_BTI: Tensor, dt_BTI: Tensor, a_IS: Tensor, b_BTS: Tensor, c_BTS: Tensor, state_BIS: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """h = exp(dt a) h + dt b x; y = c h, token by token (arXiv:2312.00752, algorithm 2): (y (B, T, I), last h)."""
    if state_BIS is None:
        state_BIS = x_BTI.new_zeros(x_BTI.shape[0], *a_IS.shape)
    outputs, block = [], max(_SHORT, _HELD // state_BIS.numel())
    for begin in range(0, x_BTI.shape[1], block):
        part = slice(begin, begin + block)
        decay_BTIS = (dt_BTI[:, part, :, None] * a_IS).exp()
        input_BTIS = (dt_BTI[:, part] * x_BTI[:, part])[..., None] * b_BTS[:, part, None, :]
        states_BTIS = _scan(decay_BTIS, input_BTIS, state_BIS)
        outputs.append((states_BTIS @ c_BTS[:, part, :, None]).squeeze(-1))
        state_BIS = states_BTIS[:, -1]
    return torch.cat(outputs, dim=1), state_BIS


def _scan(decay_BTIS: Tensor, input_BTIS: Tensor, state_BIS: Tensor) -> Tensor:
    """All h_t = decay_t h_(t-1) + input_t, (B, T, I, S).

    A long text of small states is cut into about sqrt(T) chunks that advance side by side; then their starts follow one
    another.
    """
    length = decay_BTIS.shape[1]
    if length <= _SHORT or state_BIS.numel() >= _WIDE:
        states = []
        for t in range(length):
            state_BIS = torch.addcmul(input_BTIS[:, t], decay_BTIS[:, t], state_BIS)
            states.append(state_BIS)
        return torch.stack(states, dim=1)
    chunks = math.isqrt(length)
    size = -(-length // chunks)
    missing = chunks * size - length
    decay = F.pad(decay_BTIS, (0, 0, 0, 0, 0, missing), value=1.0).unflatten(1, (chunks, size))
    inputs = F.pad(input_BTIS, (0, 0, 0, 0, 0, missing)).unflatten(1, (chunks, size))
    local, decays = (
        [inputs[:, :, 0]],
        [decay[:, :, 0]],
    )  # as if every chunk began at zero; how much of its start is left
    for q in range(1, size):
        local.append(torch.addcmul(inputs[:, :, q], decay[:, :, q], local[-1]))
        decays.append(decays[-1] * decay[:, :, q])
    starts = []
    for n in range(chunks):
        starts.append(state_BIS)
        state_BIS = torch.addcmul(local[-1][:, n], decays[-1][:, n], state_BIS)
    start_BN1IS = torch.stack(starts, dim=1)[:, :, None]
    states = torch.addcmul(torch.stack(local, dim=2), torch.stack(decays, dim=2), start_BN1IS)
    return states.flatten(1, 2)[:, :length]


def chunked_scan(
    x_BTHD: Tensor,
    dt_BTH: Tensor,
    a_H: Tensor,
    b_BTHS: Tensor,
    c_BTHS: Tensor,
    chunk: int,
    state_BHDS: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The scan with one decay per head, as matrix products in chunks (arXiv:2405.21060, section 6).

    Returns (y (B, T, H, D), last state (B, H, D, S)).
    """
    batch, length, heads, width = x_BTHD.shape
    chunk = min(chunk, length)
    state_BHDS = x_BTHD.new_zeros(batch, heads, width, b_BTHS.shape[-1]) if state_BHDS is None else state_BHDS
    outputs = []
    for begin in range(0, length, chunk):
        part = slice(begin, begin + chunk)
        dt_BHQ = dt_BTH[:, part].transpose(1, 2)
        fall_BHQ = (dt_BHQ * a_H[:, None]).cumsum(-1)  # log of what is left of the chunk's start after each token
        x_BHQD = x_BTHD[:, part].transpose(1, 2) * dt_BHQ[..., None]
        b_BHQS, c_BHQS = b_BTHS[:, part].transpose(1, 2), c_BTHS[:, part].transpose(1, 2)
        between_BHQQ = (fall_BHQ[..., :, None] - fall_BHQ[..., None, :]).tril().exp().tril()
        own = (c_BHQS @ b_BHQS.transpose(-1, -2) * between_BHQQ) @ x_BHQD
        earlier = (c_BHQS @ state_BHDS.transpose(-1, -2)) * fall_BHQ.exp()[..., None]
        outputs.append((own + earlier).transpose(1, 2))
        left_BHQ = (fall_BHQ[..., -1:] - fall_BHQ).exp()
        added = x_BHQD.transpose(-1, -2) @ (b_BHQS * left_BHQ[..., None])
        state_BHDS = state_BHDS * fall_BHQ[..., -1, None, None].exp() + added
    return torch.cat(outputs, dim=1), state_BHDS


def hide_padding(x_BTC: Tensor, mask_BK: Tensor | None) -> Tensor:
    """x with zeros at padding; mask (B, K), 0 at padding, whose last T columns belong to x."""
    if mask_BK is None or mask_BK.ndim != 2:
        return x_BTC
    return x_BTC * mask_BK[:, -x_BTC.shape[1] :, None].to(x_BTC.dtype)


class SelectiveMixer(nn.Module):
    """Mamba's layer: two branches, one through a convolution and a selective scan, the other its gate
    (arXiv:2312.00752, figure 3). A family that norms dt, b and c overrides `parameters_of`."""

    def __init__(
        self,
        width: int,
        inner: int,
        state: int,
        rank: int,
        conv_width: int,
        activation: str,
        bias: bool,
        conv_bias: bool,
    ) -> None:
        super().__init__()
        self.sizes = (rank, state, state)
        self.act = get_activation(activation)
        self.conv1d = nn.Conv1d(inner, inner, conv_width, groups=inner, bias=conv_bias)
        self.in_proj = nn.Linear(width, 2 * inner, bias=bias)
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, state + 1, dtype=torch.float32).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=bias)

    def parameters_of(self, x_BTI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The scan's dt (B, T, R), b and c (B, T, S) for inputs x."""
        dt_BTR, b_BTS, c_BTS = self.x_proj(x_BTI).split(self.sizes, dim=-1)
        return dt_BTR, b_BTS, c_BTS

    def forward(
        self, x_BTC: Tensor, past: State | None = None, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(B, T, C) and what the next tokens continue from; attention_mask (B, K), 0 at padding."""
        inner_BTI, gate_BTI = self.in_proj(x_BTC).chunk(2, dim=-1)
        inner_BTI = hide_padding(inner_BTI, attention_mask)
        conv_BIT, latest_BIW = causal_conv(self.conv1d, inner_BTI.transpose(1, 2), past[0] if past else None)
        inner_BTI = hide_padding(self.act(conv_BIT.transpose(1, 2)), attention_mask)
        dt_BTR, b_BTS, c_BTS = self.parameters_of(inner_BTI)
        y_BTI, state_BIS = selective_scan(
            inner_BTI.float(),
            F.softplus(self.dt_proj(dt_BTR)).float(),
            -self.A_log.float().exp(),
            b_BTS.float(),
            c_BTS.float(),
            past[1].float() if past else None,
        )
        y_BTI = (y_BTI + inner_BTI * self.D) * self.act(gate_BTI)
        return self.out_proj(y_BTI.to(x_BTC.dtype)), (latest_BIW, state_BIS)


@torch.no_grad()
def start_time_steps(bias: Tensor, config: Any) -> None:
    """Fill a time step's bias so that softplus of it is log-uniform in [time_step_min, time_step_max] and at least
    time_step_floor (arXiv:2312.00752, section 3.6)."""
    low, high = math.log(config.time_step_min), math.log(config.time_step_max)
    steps = torch.empty_like(bias).uniform_(low, high).exp().clamp(min=config.time_step_floor)
    bias.copy_(steps + torch.log(-torch.expm1(-steps)))
