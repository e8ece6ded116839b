"""The quantized caches do what every cache must, within the precision of their bits."""

from __future__ import annotations

import torch

from xf_testing import CacheConformance

torch.set_num_threads(1)


class TestAffine8(CacheConformance):
    name = "quantized"
    is_exact = False
    atol = 0.03  # normal values of 16 channels span about 5: 255 steps of 0.02, half of that, and some for attention
    cache_config = {"backend": "affine", "nbits": 8, "q_group_size": 16, "residual_length": 3}


class TestAffine8ByChannel(CacheConformance):
    name = "affine_quantized"
    is_exact = False
    atol = 0.03
    cache_config = {"nbits": 8, "axis_key": -1, "axis_value": -1, "residual_length": 0}


class TestAllWaiting(CacheConformance):
    name = "affine_quantized"  # nothing is quantized as long as fewer tokens wait
    cache_config = {"nbits": 4, "residual_length": 64}
