"""A linear layer with int8 weights.

Shapes: M tokens (all leading dimensions), K inputs, N outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.logging import get_logger

logger = get_logger(__name__)

# Without VNNI, fbgemm adds two products of an unsigned and a signed byte in 16 bits (FBGEMM, "acc32" kernels; torch's
# reduce_range is for the same). 2 * 255 * 127 overflows and saturates, 2 * 255 * 63 does not. The bit comes off the
# weights: they have no outliers, activations do.
WEIGHT_LIMIT = 63
ACTIVATION_LIMIT = 127
_ZERO_POINT = 128  # activations go in as unsigned bytes
_SMALLEST = torch.finfo(torch.float32).tiny  # keeps an all-zero row from dividing by zero


def quantize_weight(weight_NK: Tensor) -> tuple[Tensor, Tensor]:
    """(int8 (N, K), float32 scale (N,)): weight is their product, to within half a step."""
    weight_NK = weight_NK.detach().float()
    scale_N = weight_NK.abs().amax(dim=1).div_(WEIGHT_LIMIT).clamp_(min=_SMALLEST)
    return torch.round(weight_NK / scale_N.unsqueeze(1)).to(torch.int8), scale_N


def per_token(x_MK: Tensor) -> tuple[Tensor, Tensor]:
    """(rows scaled into [-1, 1], their scales (M, 1)): so one fixed step for all is one step for each row."""
    limit_M1 = x_MK.abs().amax(dim=1, keepdim=True).clamp_(min=_SMALLEST)
    return x_MK / limit_M1, limit_M1


def fast_kernel_available() -> bool:
    """Whether torch has the kernel: its quantized tensors are on their way out, and not built for every processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(
        torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32"
    )


class _Same:
    """Equal to another of the very same object alone, as long as nobody has written into it."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.version = item._version if isinstance(item, Tensor) and not item.is_inference() else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.item is other.item and self.version == other.version

    __hash__ = None  # type: ignore[assignment]


class Int8Linear(nn.Module):
    """Replaces nn.Linear for inference.

    Buffers weight (N, K) int8 and weight_scale (N,) float32; bias as in nn.Linear. After `pack` the weight is held in
    the kernel's own order alone; state_dict() still has it.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dynamic: bool = True,
        fast: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.dynamic, self.fast = in_features, out_features, dynamic, fast
        self.register_buffer("weight", torch.empty((out_features, in_features), dtype=torch.int8, device=device))
        self.register_buffer("weight_scale", torch.empty(out_features, dtype=torch.float32, device=device))
        empty = torch.empty(out_features, dtype=dtype, device=device) if bias else None
        self.bias = nn.Parameter(empty, requires_grad=False) if empty is not None else None
        self._packed: Any = None
        self._parts: list[tuple[Any, ...]] = []

    @classmethod
    def from_linear(cls, linear: nn.Linear, **options: Any) -> Int8Linear:
        """The quantized form of a layer."""
        made = cls(
            linear.in_features, linear.out_features, linear.bias is not None, dtype=linear.weight.dtype, **options
        )
        made.weight, made.weight_scale = quantize_weight(linear.weight)
        if linear.bias is not None:
            made.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=False)
        return made

    # ---- forward

    def forward(self, x: Tensor) -> Tensor:
        """x (..., K) to (..., N) in x's dtype."""
        x_MK = x.reshape(-1, self.in_features)
        out_MN = self._dynamic(x_MK) if self.dynamic else self._weight_only(x_MK)
        out_MN = out_MN.to(x.dtype)
        if self.bias is not None:
            out_MN = out_MN + self.bias
        return out_MN.reshape(*x.shape[:-1], self.out_features)

    def _dynamic(self, x_MK: Tensor) -> Tensor:
        scaled_MK, limit_M1 = per_token(x_MK.float())
        if self._packed is not None:
            multiply: Callable[..., Tensor] = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
            out_MN = multiply(scaled_MK, 1 / ACTIVATION_LIMIT, _ZERO_POINT, self._packed)
        else:
            steps_MK = torch.round(scaled_MK * ACTIVATION_LIMIT)
            out_MN = F.linear(steps_MK, self.weight.float()) / ACTIVATION_LIMIT
        return out_MN.mul_(limit_M1).mul_(self.weight_scale)

    def _weight_only(self, x_MK: Tensor) -> Tensor:
        if self.fast and x_MK.dtype == torch.bfloat16:  # the only dtype in which that kernel wins
            return torch._weight_int8pack_mm(x_MK.contiguous(), self.weight, self.weight_scale.to(torch.bfloat16))
        return F.linear(x_MK.float(), self.weight.float()) * self.weight_scale

    # ---- decoding loops (see `xf_blocks.direct`, which finds these methods by name)

    def direct_form(self) -> Callable[[Tensor], Tensor]:
        """forward as a function that does less around a single token, x (1, K); other shapes as forward."""
        if self._packed is None:
            return self.forward
        forward, packed, scale_N, bias = self.forward, self._packed, self.weight_scale, self.bias
        largest = torch.linalg.vector_norm
        multiply: Callable[..., Tensor] = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

        def one_token(x: Tensor) -> Tensor:
            if x.ndim != 2 or x.shape[0] != 1:
                return forward(x)
            x_1K = x.float()
            limit = float(largest(x_1K, torch.inf))
            if not _SMALLEST <= limit < torch.inf:
                return forward(x)
            out_1N = multiply(x_1K, limit / ACTIVATION_LIMIT, _ZERO_POINT, packed).mul_(scale_N)
            if x_1K is not x:
                out_1N = out_1N.to(x.dtype)
            return out_1N if bias is None else out_1N + bias

        one_token.takes_rows = True  # type: ignore[attr-defined]
        return one_token

    def fused_with(self, others: Sequence[Int8Linear]) -> Int8Linear:
        """One layer with the outputs of this and `others` side by side; it holds a copy of their weights."""
        parts = [self, *others]
        bias = None if self.bias is None else torch.cat([part.bias for part in parts if part.bias is not None])
        fused = Int8Linear(
            self.in_features, sum(part.out_features for part in parts), False, dynamic=self.dynamic, fast=self.fast
        )
        fused.weight = torch.cat([part.int8_weight() for part in parts])
        fused.weight_scale = torch.cat([part.weight_scale for part in parts])
        fused.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        if self._packed is not None:
            fused.pack()
        fused._parts = [part._state_id() for part in parts]
        return fused.train(self.training)

    def is_made_of(self, parts: Sequence[Int8Linear]) -> bool:
        """Whether this layer is what `fused_with` makes of `parts` as they are now."""
        return self._parts == [part._state_id() for part in parts]

    def _state_id(self) -> tuple[Any, ...]:
        """The tensors that make up this layer: kept by whom is made of them, so that they are not mistaken."""
        return tuple(_Same(item) for item in (self.weight, self.weight_scale, self.bias, self._packed))

    # ---- the kernel's own order

    def pack(self) -> None:
        """Hand the weights to the fast kernel where it is used; once all tensors are in place."""
        if not (self.dynamic and self.fast) or self._packed is not None or self.weight.is_meta:
            return
        if bool((self.weight.view(torch.uint8) + WEIGHT_LIMIT > 2 * WEIGHT_LIMIT).any()):
            logger.warning_once(
                f"int8 weights beyond +-{WEIGHT_LIMIT} would overflow the fast kernel: the slow one is used."
            )
            return
        ones = torch.ones(self.out_features, dtype=torch.float64)  # channel scales are applied to the result
        zeros = torch.zeros(self.out_features, dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch announces that quantized tensors will go
            weight = torch._make_per_channel_quantized_tensor(self.weight, ones, zeros, 0)
            self._packed = torch.ops.quantized.linear_prepack(weight, None)
        self.weight = self.weight.new_empty((0, self.in_features))

    def int8_weight(self) -> Tensor:
        """The weights (N, K), also after `pack`."""
        if self._packed is None:
            return self.weight
        weight: Tensor = torch.ops.quantized.linear_unpack(self._packed)[0].int_repr()
        return weight

    def dequantized(self) -> Tensor:
        """The weights as float32 (N, K)."""
        return self.int8_weight().float() * self.weight_scale.unsqueeze(1)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = self.int8_weight()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        if self._packed is not None:
            self.weight, self._packed = self.int8_weight(), None
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self.pack()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """Casts of the model leave the scales in float32: half the bits of a scale is a lot of a weight."""
        scale_N = self.weight_scale
        super()._apply(fn, recurse)
        if self.weight_scale.dtype != torch.float32:
            self.weight_scale = scale_N.to(self.weight_scale.device)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Int8Linear:
        copied = Int8Linear(
            self.in_features,
            self.out_features,
            self.bias is not None,
            dynamic=self.dynamic,
            fast=self.fast,
            dtype=self.bias.dtype if self.bias is not None else None,
        )
        copied.weight, copied.weight_scale = self.int8_weight().clone(), self.weight_scale.clone()
        if self.bias is not None:
            copied.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=False)
        if self._packed is not None:
            copied.pack()
        return copied.train(self.training)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (self.state_dict(), self.dynamic, self.fast, self._packed is not None, self.training)

    def extra_repr(self) -> str:
        how = "reference" if not self.fast else "fbgemm" if self._packed is not None else "torch"
        scheme = "dynamic" if self.dynamic else "none"
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, activations={scheme}, kernel={how}"
        )


def _rebuild(state: dict[str, Tensor], dynamic: bool, fast: bool, packed: bool, training: bool) -> Int8Linear:
    """For pickle: the packed form is the kernel's own affair."""
    rows, columns = state["weight"].shape
    bias = state.get("bias")
    made = Int8Linear(columns, rows, bias is not None, dynamic=dynamic, fast=fast)
    made.weight, made.weight_scale = state["weight"], state["weight_scale"]
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    if packed:
        made.pack()
    return made.train(training)
