"""The int8 method: the contract, its arithmetic, and that nothing overflows."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from xf import Int8Config
from xf_plugin_quantizer_int8.linear import Int8Linear, quantize_weight
from xf_plugin_quantizer_int8.quantizer import quantize
from xf_testing import QuantizerConformance
from xf_testing.quantizer import SmallConfig, SmallModel
from xf_testing.tiny import fill_weights


class TestDynamic(QuantizerConformance):
    name = "int8"
    error = 0.03


class TestWeightOnly(QuantizerConformance):
    name = "int8"
    settings = {"activation_scheme": "none"}
    error = 0.02


class TestReferenceKernel(QuantizerConformance):
    name = "int8"
    settings = {"kernel": "reference"}
    error = 0.03


def layer(outputs=24, inputs=40, **options):
    linear = fill_weights(nn.Linear(inputs, outputs))
    made = Int8Linear.from_linear(linear, **options)
    made.pack()
    return linear, made


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_a_weight_is_within_half_a_step(rows, columns, seed, size):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    steps, scale = quantize_weight(weight)
    assert steps.abs().max() <= 63
    assert ((steps * scale.unsqueeze(1) - weight).abs() <= scale.unsqueeze(1) * 0.5001).all()


def test_a_row_of_zeros_stays_zero():
    steps, scale = quantize_weight(torch.zeros(2, 4))
    assert not steps.any() and (steps * scale.unsqueeze(1) == 0).all()


@pytest.mark.parametrize("tokens", [1, 2, 7, 64])
@pytest.mark.parametrize("inputs", [1, 40, 576, 2048])
def test_the_fast_kernel_computes_what_the_plain_one_does(inputs, tokens):
    _, fast = layer(inputs=inputs)
    _, plain = layer(inputs=inputs, fast=False)
    x = torch.randn(tokens, inputs, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fast(x), plain(x), atol=2e-5, rtol=2e-5)


def test_the_largest_values_do_not_overflow():
    """Pairs of products are added in 16 bits on some processors: the worst case must come out whole."""
    linear = nn.Linear(512, 4, bias=False)
    linear.weight.data.fill_(1.0)
    linear.weight.data[1] = -1.0
    made = Int8Linear.from_linear(linear)
    made.pack()
    torch.testing.assert_close(made(torch.ones(3, 512)), linear(torch.ones(3, 512)), rtol=1e-5, atol=0)
    torch.testing.assert_close(made(-torch.ones(3, 512)), linear(-torch.ones(3, 512)), rtol=1e-5, atol=0)


def test_weights_that_would_overflow_are_not_given_to_the_fast_kernel():
    made = Int8Linear(8, 2, bias=False)
    made.weight, made.weight_scale = torch.full((2, 8), 127, dtype=torch.int8), torch.ones(2)
    made.pack()
    assert "kernel=torch" in repr(made)
    torch.testing.assert_close(made(torch.ones(1, 8)), torch.full((1, 2), 127.0 * 8))


def test_an_outlier_in_one_row_leaves_the_others():
    _, made = layer()
    x = torch.randn(2, 40, generator=torch.Generator().manual_seed(2))
    alone = made(x[:1])
    x[1] *= 1e4
    torch.testing.assert_close(made(x)[:1], alone)


def test_leading_dimensions_are_kept():
    _, made = layer()
    assert made(torch.zeros(2, 3, 5, 40)).shape == (2, 3, 5, 24)


def test_scales_stay_exact_when_the_model_is_cast():
    _, made = layer()
    before = made.weight_scale.clone()
    made.to(torch.bfloat16)
    assert made.weight_scale.dtype == torch.float32 and torch.equal(made.weight_scale, before)
    assert made.bias.dtype == torch.bfloat16 and made(torch.zeros(1, 40, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_the_state_has_the_weights_after_packing():
    _, made = layer()
    state = made.state_dict()
    assert state["weight"].shape == (24, 40) and state["weight"].dtype == torch.int8
    other = Int8Linear(40, 24)
    other.load_state_dict(state)
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(3))
    assert torch.equal(other(x), made(x))


def test_pickled_it_computes_the_same():
    _, made = layer()
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(4))
    assert torch.equal(pickle.loads(pickle.dumps(made))(x), made(x))


def test_the_weights_are_held_once():
    _, made = layer()
    assert made.weight.numel() == 0, "only the kernel's own order is kept"


def test_a_model_in_memory_can_be_quantized():
    model = fill_weights(SmallModel(SmallConfig())).eval()
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(5))
    before = model(x)
    quantize(model)
    assert isinstance(model.head, Int8Linear) and torch.allclose(model(x), before, atol=0.1)


# ---- bad input


@pytest.mark.parametrize(("setting", "value"), [("activation_scheme", "static"), ("kernel", "cuda")])
def test_unknown_settings_name_the_known_ones(setting, value):
    with pytest.raises(ValueError, match=f"{setting} is '{value}'; it must be one of"):
        Int8Config(**{setting: value})


def test_another_device_is_refused(tmp_path):
    fill_weights(SmallModel(SmallConfig())).save_pretrained(tmp_path)
    from xf_plugin_quantizer_int8.quantizer import Int8Quantizer

    with pytest.raises(ValueError, match="int8 runs on CPUs"):
        Int8Quantizer(Int8Config()).validate(dtype=torch.float32, device=torch.device("cuda"))


def damaged(tmp_path, change):
    from safetensors.torch import load_file, save_file

    model = SmallModel(SmallConfig())
    fill_weights(model).save_pretrained(tmp_path)
    SmallModel.from_pretrained(tmp_path, quantization_config=Int8Config()).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_float_weights_in_a_checkpoint_that_says_int8(tmp_path):
    folder = damaged(tmp_path, lambda t: t.update({"head.weight": t["head.weight"].float()}))
    with pytest.raises(ValueError, match="head.weight is torch.float32"):
        SmallModel.from_pretrained(folder)


def test_a_missing_scale(tmp_path):
    folder = damaged(tmp_path, lambda t: t.pop("head.weight_scale"))
    with pytest.raises(ValueError, match="head.weight_scale"):
        SmallModel.from_pretrained(folder)


def test_a_scale_that_is_not_finite(tmp_path):
    folder = damaged(tmp_path, lambda t: t["head.weight_scale"].fill_(float("nan")))
    with pytest.raises(ValueError, match="finite"):
        SmallModel.from_pretrained(folder)


def test_weights_of_another_shape(tmp_path):
    folder = damaged(tmp_path, lambda t: t.update({"head.weight": t["head.weight"][:3].clone()}))
    with pytest.raises(ValueError):
        SmallModel.from_pretrained(folder)
