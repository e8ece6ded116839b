"""Every quantized type gives, bit for bit, the values of ggml's own Python package (goldens/dequantized.npz)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xf_plugin_format_gguf.dequantize import UNPACKERS, dequantize
from xf_plugin_format_gguf.ggml_types import PLAIN, TYPES

GOLDENS = np.load(Path(__file__).parent / "goldens" / "dequantized.npz")
BY_NAME = {t.name: t for t in TYPES.values()}
WITHOUT_GOLDEN = {"Q8_1", "Q8_K"}  # the package cannot unpack them; see the tests below


def test_every_type_can_be_unpacked():
    assert set(UNPACKERS) | set(PLAIN) == set(BY_NAME)


def test_only_two_types_lack_a_golden():
    assert {name for name in UNPACKERS if f"{name}.raw" not in GOLDENS} == WITHOUT_GOLDEN


@pytest.mark.parametrize("name", sorted(set(UNPACKERS) - WITHOUT_GOLDEN))
def test_equals_ggml_bit_for_bit(name):
    raw, expected = torch.from_numpy(GOLDENS[f"{name}.raw"]), GOLDENS[f"{name}.values"]
    values = dequantize(raw.flatten(), BY_NAME[name], expected.shape)
    assert values.dtype == torch.float32
    assert np.array_equal(values.numpy().view(np.uint32), expected.view(np.uint32))


def test_q8_1_scales_its_bytes():
    block = np.concatenate([np.array([0.5, 99.0], np.float16).view(np.uint8), np.arange(32, dtype=np.uint8)])
    values = dequantize(torch.from_numpy(block), BY_NAME["Q8_1"], (32,))
    assert values.tolist() == [0.5 * i for i in range(32)]


def test_q8_k_scales_its_bytes():
    numbers = np.arange(-128, 128, dtype=np.int8)
    parts = [np.array([0.25], np.float32).view(np.uint8), numbers.view(np.uint8), np.zeros(32, np.uint8)]
    values = dequantize(torch.from_numpy(np.concatenate(parts)), BY_NAME["Q8_K"], (256,))
    assert values.tolist() == [0.25 * float(i) for i in numbers]


def test_long_tensors_are_worked_in_slices():
    raw = torch.from_numpy(np.tile(GOLDENS["Q4_K.raw"], (400, 1)))  # more than one slice
    values = dequantize(raw.flatten(), BY_NAME["Q4_K"], (-1,)).numpy()
    assert np.array_equal(values, np.tile(GOLDENS["Q4_K.values"].flatten(), 400))


@pytest.mark.parametrize("name", PLAIN)
def test_plain_types_are_views(name):
    raw = torch.zeros(16 * BY_NAME[name].size, dtype=torch.uint8)
    values = dequantize(raw, BY_NAME[name], (4, 4))
    assert values.dtype == getattr(torch, PLAIN[name]) and values.data_ptr() == raw.data_ptr()
