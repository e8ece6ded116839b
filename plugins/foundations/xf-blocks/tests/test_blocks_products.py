"""Products in the form that suits dtype and rows: the same numbers as F.linear, to one rounding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from xf_blocks.direct import direct
from xf_blocks.norms import RMSNorm, UnitOffsetRMSNorm
from xf_blocks.products import computes_in_float32, product

torch.set_num_threads(1)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 20),
    inputs=st.integers(1, 40),
    outputs=st.sampled_from([1, 3, 255, 256, 257, 600]),
    bias=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    flat=st.booleans(),
)
def test_equal_to_linear(rows: int, inputs: int, outputs: int, bias: bool, dtype: torch.dtype, flat: bool) -> None:
    torch.manual_seed(rows * 1000 + inputs)
    layer = nn.Linear(inputs, outputs, bias=bias).to(dtype).eval()
    x = torch.randn((rows, inputs) if flat else (2, rows, inputs)).to(dtype)
    with torch.no_grad():
        exact = F.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
        got = direct(layer)(x)
    assert got.dtype == dtype
    assert got.shape == exact.shape
    step = torch.finfo(dtype).eps  # one rounding of the result, and float32 sums
    torch.testing.assert_close(got.double(), exact, rtol=step, atol=max(step * 1e-3, 1e-5 * inputs**0.5))


def test_half_precision_that_is_emulated_is_known_by_device() -> None:
    assert not computes_in_float32(torch.float32, "cpu")
    assert not computes_in_float32(torch.bfloat16, "cuda")
    assert computes_in_float32(torch.bfloat16, "cpu") != torch.ops.mkldnn._is_mkldnn_bf16_supported()


@pytest.mark.parametrize("norm_class", [RMSNorm, UnitOffsetRMSNorm])
@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_direct_norms(norm_class: type, weight_dtype: torch.dtype, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    norm = norm_class(24, eps=1e-3).to(weight_dtype).eval()
    with torch.no_grad():
        norm.weight.add_(torch.randn(24))
        for x in (torch.randn(2, 24), torch.randn(1, 3, 24) * 1e-3, torch.zeros(1, 24), torch.randn(1, 4, 1, 24) * 1e4):
            got, expected = direct(norm)(x.to(dtype)), norm(x.to(dtype))
            assert got.dtype == expected.dtype
            tolerance = {"rtol": 2e-6, "atol": 1e-6} if dtype == weight_dtype == torch.float32 else {}
            torch.testing.assert_close(got, expected, **tolerance)


class Marked(torch.Tensor):
    """A subclass as quantized weights are: it says how it is multiplied."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if function is F.linear:
            return torch.full((1, 1), 42.0)
        raise AssertionError(f"{function} was called in place of linear")


@pytest.mark.parametrize("shape", [(1, 4), (1, 6, 4)])
def test_weights_with_a_way_of_their_own_keep_it(shape: tuple[int, ...]) -> None:
    weight = torch.randn(3, 4).as_subclass(Marked)
    assert product(weight, None)(torch.randn(shape)).item() == 42.0
