"""Checks cannot disappear quietly, and each one catches the fault it is there for."""

import pytest
import torch

from xf.interfaces.attention import EAGER, SDPA, AttentionBackend, AttentionCapabilities, eager_attention
from xf.interfaces.cache import DynamicCache, DynamicLayer
from xf_testing import AttentionConformance, CacheConformance, Conformance, ConformanceError
from xf_testing.base import checks_of


def test_a_check_cannot_be_overridden():
    with pytest.raises(ConformanceError, match="overrides test_gradients"):
        type("TestMine", (AttentionConformance,), {"test_gradients": lambda self: None, "__module__": "mine"})


def test_a_check_cannot_be_deleted():
    with pytest.raises(ConformanceError, match="deletes test_gradients"):
        type("TestMine", (AttentionConformance,), {"test_gradients": None, "__module__": "mine"})


def test_an_xfail_needs_a_reason():
    @pytest.mark.xfail
    def test_gradients(self):
        raise AssertionError

    with pytest.raises(ConformanceError, match="overrides test_gradients"):
        type("TestMine", (AttentionConformance,), {"test_gradients": test_gradients, "__module__": "mine"})


def test_a_reasoned_xfail_is_allowed():
    @pytest.mark.xfail(reason="the kernel has no backward pass yet")
    def test_gradients(self):
        raise AssertionError

    made = type("TestMine", (AttentionConformance,), {"test_gradients": test_gradients, "__module__": "mine"})
    assert made.test_gradients is test_gradients


def test_a_class_cannot_be_skipped():
    with pytest.raises(ConformanceError, match="marked skip"):
        type("TestMine", (AttentionConformance,), {"pytestmark": [pytest.mark.skip], "__module__": "mine"})


def test_the_class_cannot_be_switched_off():
    with pytest.raises(ConformanceError, match="__test__"):
        type("TestMine", (AttentionConformance,), {"__test__": False, "__module__": "mine"})


def test_every_conformance_class_has_checks():
    for cls in (AttentionConformance, CacheConformance):
        assert issubclass(cls, Conformance) and len(checks_of(cls)) > 10


# ---- each fault is caught by its check


def broken(kernel=eager_attention, mask=EAGER.mask, **capabilities):
    backend = AttentionBackend("broken", kernel, mask, AttentionCapabilities(**capabilities))
    return type("Broken", (AttentionConformance,), {"name": "broken", "make_backend": lambda self: backend})()


def test_a_lost_causal_mask_is_caught():
    deaf = broken(lambda m, q, k, v, mask, **kw: eager_attention(m, q, k, v, torch.zeros(1, 1, 1, k.shape[2]), **kw))
    with pytest.raises(AssertionError):
        deaf.test_the_future_is_invisible()
    with pytest.raises(AssertionError):
        deaf.test_equals_attention_written_out("causal", 11)


def test_a_lost_padding_mask_is_caught():
    forgetful = broken(mask=lambda **kw: EAGER.mask(**{**kw, "attention_mask": None}))
    with pytest.raises(AssertionError):
        forgetful.test_padding_is_invisible("causal", "left")


def test_a_causal_flag_aligned_to_the_wrong_corner_is_caught():
    def upper_left(m, q, k, v, mask, scaling=None, **kw):
        causal = mask is None and m.is_causal
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scaling)
        return out.transpose(1, 2), None

    def careless(**kw):
        return SDPA.mask(**kw) if kw.get("attention_mask") is not None else None

    with pytest.raises(AssertionError):
        broken(upper_left, careless).test_queries_may_be_the_last_of_many_keys(3)


def test_a_claimed_soft_cap_that_does_nothing_is_caught():
    def deaf(m, q, k, v, mask, softcap=None, **kw):
        return eager_attention(m, q, k, v, mask, **kw)

    with pytest.raises(AssertionError):
        broken(deaf, soft_cap=True).test_soft_cap()


def test_a_kernel_that_writes_to_its_inputs_is_caught():
    def careless(m, q, k, v, mask, **kw):
        q.mul_(1.5)
        return eager_attention(m, q, k, v, mask, **kw)

    with pytest.raises(AssertionError):
        broken(careless).test_inputs_are_not_changed()


class _Aliased(DynamicLayer):
    """Hands out keys that a later update of another layer overwrites."""

    shared = None

    def update(self, key_states, value_states, cache_kwargs=None):
        keys, values = super().update(key_states.clone(), value_states, cache_kwargs)
        if _Aliased.shared is not None:
            _Aliased.shared.zero_()
        _Aliased.shared = keys
        return keys, values


def test_a_cache_whose_layers_share_storage_is_caught():
    class Broken(CacheConformance):
        abstract = True
        __test__ = False

        def make_cache(self, config=None, batch_size=3):
            return _with_layers(_Aliased)

    with pytest.raises(AssertionError):
        Broken().test_what_was_returned_stays_valid()


def _with_layers(layer_class):
    cache = DynamicCache()
    cache._factories = [layer_class]
    return cache


def test_a_cache_that_forgets_to_reorder_values_is_caught():
    class Lazy(DynamicLayer):
        def map_batch(self, change):
            values = self._values
            super().map_batch(change)
            self._values = values[:, :, : self._end]

    class Broken(CacheConformance):
        abstract = True
        __test__ = False

        def make_cache(self, config=None, batch_size=3):
            return _with_layers(Lazy)

    with pytest.raises(AssertionError):
        Broken().test_beams_take_over_rows()
