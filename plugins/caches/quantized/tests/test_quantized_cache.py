"""Quantized caches: rounding, packing, blocks, memory, backends, settings."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import xf
from xf.interfaces.cache import Cache, DynamicCache, DynamicSlidingWindowLayer
from xf_plugin_cache_quantized.affine import AffineQuantizedCacheProcessor, _pack, _unpack
from xf_plugin_cache_quantized.caches import AffineQuantizedCache, QuantizedCache
from xf_plugin_cache_quantized.configuration import CacheConfig, QuantizedCacheConfig
from xf_plugin_cache_quantized.processors import QuantizedCacheProcessor

torch.set_num_threads(1)


def affine(**settings: Any) -> AffineQuantizedCacheProcessor:
    return AffineQuantizedCacheProcessor(Cache(), **{"compute_dtype": torch.float32, "q_group_size": 8, **settings})


@given(nbits=st.sampled_from([2, 4, 8]), size=st.integers(1, 19), seed=st.integers(0, 99))
def test_codes_survive_packing(nbits: int, size: int, seed: int) -> None:
    codes = torch.randint(0, 2**nbits, (2, 3, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    packed = _pack(codes, nbits)
    assert packed.shape[-1] == -(-size * nbits // 8) and torch.equal(_unpack(packed, nbits, size), codes)


@given(
    nbits=st.sampled_from([2, 4, 8]), axis=st.sampled_from([0, -1]), tokens=st.integers(1, 9), seed=st.integers(0, 99)
)
def test_rounding_is_at_most_half_a_step(nbits: int, axis: int, tokens: int, seed: int) -> None:
    x = torch.randn(2, 3, tokens, 16, generator=torch.Generator().manual_seed(seed))
    scheme = affine(nbits=nbits)
    back = scheme._dequantize(scheme._quantize(x, axis))
    groups = x.transpose(2, 3) if axis == -1 else x.unflatten(-1, (2, 8))
    errors = (back - x).transpose(2, 3) if axis == -1 else (back - x).unflatten(-1, (2, 8))
    step = (groups.amax(-1) - groups.amin(-1)) / (2**nbits - 1)
    assert (errors.abs().amax(-1) <= step / 2 + 1e-5).all()


def test_equal_numbers_and_rounded_numbers_stay() -> None:
    scheme, same = affine(), torch.full((1, 1, 2, 8), 3.5)
    assert torch.equal(scheme._dequantize(scheme._quantize(same, 0)), same)
    once = scheme._dequantize(scheme._quantize(torch.randn(1, 2, 5, 8), 0))
    torch.testing.assert_close(scheme._dequantize(scheme._quantize(once, 0)), once)


def test_blocks_form_when_more_than_the_residual_waits() -> None:
    cache = AffineQuantizedCache(nbits=4, q_group_size=8, residual_length=3, compute_dtype=torch.float32)
    keys = torch.randn(1, 2, 10, 8)
    for t in range(10):
        got, _ = cache.update(keys[:, :, t : t + 1], keys[:, :, t : t + 1], 0)
        assert torch.equal(got[:, :, -1:], keys[:, :, t : t + 1])  # a new token is seen as it came
    layer = cache.layers[0]
    assert [block.length for block in layer._blocks] == [4, 4] and layer.quantized_length == 8
    assert torch.equal(got[:, :, 8:], keys[:, :, 8:]) and not torch.equal(got[:, :, :8], keys[:, :, :8])
    before = cache[0][0]
    cache.crop(9)
    assert torch.equal(cache[0][0], before[:, :, :9])
    cache.crop(6)  # through a block
    assert torch.equal(cache[0][0], before[:, :, :6]) and layer.quantized_length == 4
    cache.crop(2)
    assert torch.equal(cache[0][0], before[:, :, :2]) and layer.quantized_length == 0


def test_memory_shrinks_with_the_bits() -> None:
    x = torch.randn(1, 2, 64, 64)

    def size(nbits: int) -> int:
        block = affine(nbits=nbits, q_group_size=64)._quantize(x, 0)
        return sum(part.numel() * part.element_size() for part in (block.codes, block.low, block.step))

    assert size(8) < 0.3 * x.numel() * 4 and size(4) < 0.16 * x.numel() * 4 and size(2) < 0.1 * x.numel() * 4


def test_gradients_do_not_enter_blocks() -> None:
    cache = AffineQuantizedCache(q_group_size=8, residual_length=0, compute_dtype=torch.float32)
    keys = torch.randn(1, 1, 2, 8, requires_grad=True)
    got, _ = cache.update(keys, keys, 0)
    got.sum().backward()
    assert keys.grad is not None and not cache[0][0].requires_grad


def test_a_group_never_goes_beyond_a_head(caplog: pytest.LogCaptureFixture) -> None:
    assert affine(q_group_size=64).group_size(48) == 16


def test_settings_that_cannot_be_served() -> None:
    for settings, message in (
        ({"nbits": 5}, "nbits is 5; it can be 1, 2, 3, 4 or 8"),
        ({"nbits": 3}, r"affine quantizes to \(2, 4, 8\) bits, not to 3"),
        ({"axis_key": 1}, "axis_key is 1; affine takes"),
        ({"q_group_size": 0}, "q_group_size is 0"),
        ({"residual_length": -1}, "residual_length is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            AffineQuantizedCache(**settings)
    with pytest.raises(ValueError, match="no quantized cache with backend 'fp4'; there are affine, hqq, quanto"):
        QuantizedCache("fp4")
    with pytest.raises(ValueError, match="Only a growing cache whose layers keep every token"):
        Cache(lambda: DynamicSlidingWindowLayer(4), cache_processor=AffineQuantizedCacheProcessor)


@pytest.mark.parametrize(("backend", "package"), [("quanto", "optimum"), ("HQQ", "hqq")])
def test_a_missing_package_is_named(backend: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = [name for name in sys.modules if name.startswith(f"{package}.")]
    for name in (package, *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install .*'affine'"):
        QuantizedCache(backend)


class FakeQuanto:
    """What the processor asks of optimum-quanto, noted; the package itself need not be installed."""

    qint2, qint4, qint8 = "qint2", "qint4", "qint8"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def MaxOptimizer(self) -> Any:
        return lambda tensor, qtype, axis, group: (f"scale{axis}", "shift")

    def AbsmaxOptimizer(self) -> Any:
        return lambda tensor, qtype, axis: f"scale{axis}"

    def quantize_weight(self, tensor: Any, *settings: Any) -> Any:
        self.calls.append(settings)

        class Quantized:
            def dequantize(self) -> Any:
                return tensor

        return Quantized()


@pytest.mark.parametrize("nbits", [4, 8])
def test_what_quanto_is_asked(nbits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, package = FakeQuanto(), types.ModuleType("optimum")
    package.quanto = fake
    monkeypatch.setitem(sys.modules, "optimum", package)
    cache = xf.QuantoQuantizedCache(nbits=nbits, axis_value=-1, q_group_size=8, residual_length=0)
    keys = torch.randn(1, 1, 8, 8)
    cache.update(keys, keys, 0)
    tail = ("shift", 8) if nbits == 4 else ()
    assert fake.calls == [(f"qint{nbits}", 0, "scale0", *tail), (f"qint{nbits}", -1, "scale-1", *tail)]
    torch.testing.assert_close(cache[0][0], keys.half())


def test_settings_as_data(tmp_path: Path) -> None:
    config = QuantizedCacheConfig(nbits=8, compute_dtype=torch.bfloat16)
    config.validate()
    assert config.to_dict() == {
        "cache_implementation": "quantized", "backend": "quanto", "nbits": 8, "axis_key": 0, "axis_value": 0,
        "q_group_size": 64, "residual_length": 128, "compute_dtype": "bfloat16", "device": "cpu",
    }  # fmt: skip
    config.to_json_file(tmp_path / "cache.json")
    again = QuantizedCacheConfig.from_dict(json.loads((tmp_path / "cache.json").read_text()), backend="affine")
    assert again.backend == "affine" and again.nbits == 8 and dict(again) == again.to_dict()
    assert again.update(nbits=2, unknown=1) == {"unknown": 1} and again.nbits == 2
    assert CacheConfig("static").to_dict() == {"cache_implementation": "static"}
    made = QuantizedCache(**again.to_dict())
    assert made.cache_processor.nbits == 2 and made.cache_processor.compute_dtype == torch.bfloat16
    with pytest.raises(ValueError, match="nbits is 7"):
        QuantizedCacheConfig(nbits=7).validate()


def test_generate_computes_in_the_dtype_of_the_model_or_in_the_given_one() -> None:
    place = {"batch_size": 1, "max_length": 9, "device": torch.device("cpu"), "dtype": torch.bfloat16}
    made = AffineQuantizedCache.for_generation(None, **place)
    assert made.cache_processor.compute_dtype == torch.bfloat16
    made = AffineQuantizedCache.for_generation(None, **place, compute_dtype="float32")
    assert made.cache_processor.compute_dtype == torch.float32


def test_documented_names() -> None:
    assert issubclass(xf.QuantoQuantizedCache, DynamicCache) and issubclass(xf.HQQQuantizedCache, xf.QuantizedCache)
    assert issubclass(xf.QuantoQuantizedCacheProcessor, QuantizedCacheProcessor)
    assert issubclass(xf.HQQQuantizedCacheProcessor, xf.QuantizedCacheProcessor)
    assert xf.QuantizedCacheConfig is QuantizedCacheConfig and xf.CacheConfig is CacheConfig
