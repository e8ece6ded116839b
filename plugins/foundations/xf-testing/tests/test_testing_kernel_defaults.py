"""The kernel's own defaults pass the checks that plugins must pass."""

from xf.interfaces.cache import DynamicCache
from xf.interfaces.mask import causal_mask_function, sliding_window_causal_mask_function
from xf_testing import AttentionConformance, CacheConformance, MaskConformance, MaskFunctionConformance


class TestEager(AttentionConformance):
    name = "eager"


class TestSdpa(AttentionConformance):
    name = "sdpa"


class TestEagerMask(MaskConformance):
    name = "eager"


class TestSdpaMask(MaskConformance):
    name = "sdpa"


class TestCausal(MaskFunctionConformance):
    is_causal = True

    def make_mask_function(self):
        return causal_mask_function


class TestSlidingWindow(MaskFunctionConformance):
    is_causal = True

    def make_mask_function(self):
        return sliding_window_causal_mask_function(3)


class TestDynamicCache(CacheConformance):
    name = "dynamic"

    def cache_class(self):
        return DynamicCache
