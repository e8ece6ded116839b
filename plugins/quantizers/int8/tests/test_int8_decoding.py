"""Single tokens, and layers fused for decoding: the same numbers as forward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xf_plugin_quantizer_int8.linear import Int8Linear


def layer(outputs: int = 24, bias: bool = True, **options: bool) -> Int8Linear:
    torch.manual_seed(outputs)
    made = Int8Linear.from_linear(nn.Linear(40, outputs, bias=bias), **options).eval()
    made.pack()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", [{}, {"fast": False}, {"dynamic": False}])
def test_the_direct_form_computes_what_forward_computes(
    dtype: torch.dtype, bias: bool, options: dict[str, bool]
) -> None:
    module = layer(bias=bias, **options)
    form = module.direct_form()
    for shape in ((1, 40), (3, 40), (1, 1, 40), (2, 3, 40)):
        x = torch.randn(shape).to(dtype)
        expected = module(x)
        got = form(x)
        assert got.dtype == expected.dtype
        tolerance = 1e-5 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_tokens_that_have_no_scale_go_through_forward(value: float) -> None:
    module = layer()
    x = torch.full((1, 40), value)
    torch.testing.assert_close(module.direct_form()(x), module(x), equal_nan=True)


@pytest.mark.parametrize("options", [{}, {"fast": False}])
def test_fused_layers_are_their_parts_side_by_side(options: dict[str, bool]) -> None:
    parts = [layer(outputs, **options) for outputs in (24, 8, 16)]
    fused = parts[0].fused_with(parts[1:])
    x = torch.randn(2, 40)
    torch.testing.assert_close(fused(x), torch.cat([part(x) for part in parts], dim=-1))
    assert fused.is_made_of(parts)
    assert not fused.is_made_of([*parts[:2], layer(16, **options)])
    parts[1].load_state_dict(layer(8, bias=True).state_dict() | {"weight_scale": torch.ones(8)})
    assert not fused.is_made_of(parts), "changed parts are noticed"
