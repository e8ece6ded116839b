"""The packages optimum-quanto and hqq themselves, which `make setup` installs: precision, every shape, the contract."""

from __future__ import annotations

import itertools

import pytest
import torch

import xf
from xf.interfaces.cache import Cache
from xf_plugin_cache_quantized.processors import HQQQuantizedCacheProcessor, QuantoQuantizedCacheProcessor
from xf_testing import CacheConformance

torch.set_num_threads(1)
SHAPES = ((1, 1, 1), (1, 2, 3), (2, 2, 9), (3, 1, 5))
# of normal numbers, which span about 5: a step, and half of another for what the scales lose
BOUNDS = {1: 4.0, 2: 2.5, 3: 1.2, 4: 0.6, 8: 0.06}


class TestHQQ:
    @pytest.mark.parametrize("nbits", [1, 2, 3, 4, 8])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_every_shape_comes_back(self, nbits: int, axis: int) -> None:
        torch.manual_seed(0)
        for (batch, heads, tokens), (width, group) in itertools.product(SHAPES, ((8, 8), (64, 16), (64, 64))):
            scheme = HQQQuantizedCacheProcessor(
                Cache(), nbits=nbits, axis_key=axis, axis_value=axis, q_group_size=group, compute_dtype=torch.float32
            )
            x = torch.randn(batch, heads, tokens, width)
            back = scheme._dequantize(scheme._quantize(x, axis))
            assert back.shape == x.shape and (back - x).abs().max() < BOUNDS[nbits]

    def test_groups_that_cannot_be_packed(self) -> None:
        scheme = HQQQuantizedCacheProcessor(Cache(), nbits=1, q_group_size=4)
        with pytest.raises(ValueError, match="needs groups of a multiple of 8 numbers, not 4"):
            scheme._quantize(torch.randn(1, 1, 3, 8), 0)


class TestQuanto:
    @pytest.mark.parametrize("nbits", [2, 4, 8])
    @pytest.mark.parametrize("axis", [0, -1])
    def test_every_shape_comes_back(self, nbits: int, axis: int) -> None:
        torch.manual_seed(0)
        for (batch, heads, tokens), (width, group) in itertools.product(SHAPES, ((8, 8), (64, 16), (64, 64))):
            scheme = QuantoQuantizedCacheProcessor(
                Cache(), nbits=nbits, axis_key=axis, axis_value=axis, q_group_size=group, compute_dtype=torch.float32
            )
            x = torch.randn(batch, heads, tokens, width)
            back = scheme._dequantize(scheme._quantize(x, axis))
            assert back.shape == x.shape and (back - x).abs().max() < BOUNDS[nbits]


class TestQuanto8Conformance(CacheConformance):
    name = "quanto_quantized"
    is_exact = False
    atol = 0.05
    cache_config = {"nbits": 8, "q_group_size": 16, "residual_length": 3}


class TestHQQ8Conformance(CacheConformance):
    name = "hqq_quantized"
    is_exact = False
    atol = 0.05
    cache_config = {"nbits": 8, "q_group_size": 16, "residual_length": 3}


@pytest.mark.parametrize(("name", "axis"), [("quanto", -1), ("HQQ", 1)])
def test_a_model_generates_with_it(name: str, axis: int) -> None:
    config = xf.LlamaConfig(
        vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, bos_token_id=1
    )
    torch.manual_seed(0)
    model, prompt = xf.LlamaForCausalLM(config).eval(), torch.tensor([[5, 6, 7, 8], [9, 9, 4, 3]])
    settings = {
        "backend": name,
        "nbits": 8,
        "axis_key": axis,
        "axis_value": axis,
        "q_group_size": 16,
        "residual_length": 6,
    }
    options = {"max_new_tokens": 20, "eos_token_id": None, "num_beams": 2}
    found = model.generate(prompt, cache_implementation="quantized", cache_config=settings, **options)
    assert (found == model.generate(prompt, **options)).float().mean() > 0.8  # 8 bits change few tokens
