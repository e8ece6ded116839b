"""Attention: eager equals sdpa, registration cannot lose causality, what a backend cannot do is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xf.interfaces import attention as contract
from xf.interfaces.attention import (
    ALL_ATTENTION_FUNCTIONS,
    AttentionBackend,
    AttentionCapabilities,
    AttentionInterface,
    AttentionMaskInterface,
    AttentionModule,
    AttentionNeeds,
    attention_backend,
    choose_attention,
    eager_attention,
    sdpa_attention,
)
from xf.interfaces.mask import create_causal_mask, sdpa_mask, to_additive
from xf.plugins.errors import PluginNotInstalledError

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def forget_registrations() -> object:
    kept = dict(contract._BACKENDS), dict(AttentionInterface._global), dict(AttentionMaskInterface._global)
    yield
    for target, before in zip(
        (contract._BACKENDS, AttentionInterface._global, AttentionMaskInterface._global), kept, strict=True
    ):
        target.clear()
        target.update(before)


def module(is_causal: bool = True) -> nn.Module:
    made = nn.Module().eval()
    made.is_causal = is_causal
    return made


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    per_group=st.integers(1, 3),
    queries=st.integers(1, 5),
    past=st.integers(0, 4),
    causal=st.booleans(),
    masked=st.sampled_from(["none", "bool", "additive"]),
    seed=st.integers(0, 99),
)
def test_eager_is_sdpa(
    batch: int, groups: int, per_group: int, queries: int, past: int, causal: bool, masked: str, seed: int
) -> None:
    torch.manual_seed(seed)
    keys = queries + past
    q = torch.randn(batch, groups * per_group, queries, 4)
    k, v = torch.randn(batch, groups, keys, 4), torch.randn(batch, groups, keys, 4)
    mask = None
    if masked != "none":
        mask = torch.rand(batch, 1, queries, keys) > 0.4
        mask[..., 0] = True  # a query that may see nothing is nobody's business
        mask = mask if masked == "bool" else to_additive(mask, q.dtype)
    eager, weights = eager_attention(module(causal), q, k, v, mask, scaling=0.3)
    fast, none = sdpa_attention(module(causal), q, k, v, mask, scaling=0.3)
    assert none is None and eager.shape == fast.shape == (batch, queries, groups * per_group, 4)
    torch.testing.assert_close(eager, fast, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch, groups * per_group, queries))


def test_what_only_eager_does() -> None:
    q, k, v = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4)
    scores = q @ k.transpose(2, 3) / 2
    causal = torch.ones(3, 3).tril().bool()
    capped = (torch.tanh(scores / 5) * 5).masked_fill(~causal, -torch.inf)
    _, weights = eager_attention(module(), q, k, v, None, softcap=5.0)
    torch.testing.assert_close(weights, capped.softmax(-1))
    sinks = torch.randn(2)
    column = sinks[None, :, None, None].expand(1, 2, 3, 1)
    with_sink = torch.cat([scores.masked_fill(~causal, -torch.inf), column], -1).softmax(-1)[..., :-1]
    _, weights = eager_attention(module(), q, k, v, None, s_aux=sinks)
    torch.testing.assert_close(weights, with_sink)
    output, weights = eager_attention(module(), q, k, v, None, head_mask=torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    assert not weights[:, 1].any() and not output[:, :, 1].any() and output[:, :, 0].any()


def naive(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs):
    """A kernel as users write it, that knows nothing of causality."""
    scores = query @ key.transpose(2, 3) * kwargs["scaling"]
    weights = (scores if attention_mask is None else scores + attention_mask).softmax(-1)
    return (weights @ value).transpose(1, 2), weights


def test_a_registered_kernel_without_mask_stays_causal() -> None:
    AttentionInterface.register("naive", naive)
    settings = SimpleNamespace(_attn_implementation="naive")
    x, at = torch.zeros(1, 4, 4), torch.arange(4)
    mask = create_causal_mask(settings, x, None, at, None)
    q, k, v = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    ours, _ = ALL_ATTENTION_FUNCTIONS["naive"](module(), q, k, v, mask, scaling=0.5)
    torch.testing.assert_close(ours, eager_attention(module(), q, k, v, None, scaling=0.5)[0])


@pytest.mark.parametrize("mask_first", [True, False])
def test_a_mask_may_be_registered_before_or_after_its_kernel(mask_first: bool) -> None:
    if mask_first:
        AttentionMaskInterface.register("mine", sdpa_mask)
    AttentionInterface.register("mine", sdpa_attention)
    AttentionMaskInterface.register("mine", sdpa_mask)
    assert attention_backend("mine").mask is sdpa_mask
    AttentionInterface.register("mine", naive)
    assert attention_backend("mine").mask is sdpa_mask and attention_backend("mine").kernel is naive


def test_a_local_registration_is_local() -> None:
    mine, others = AttentionInterface(), AttentionInterface()
    mine["sdpa"] = naive
    assert mine["sdpa"] is naive and others["sdpa"] is sdpa_attention
    assert {"sdpa", "eager"} <= set(mine.valid_keys())
    del mine["sdpa"]
    assert mine["sdpa"] is sdpa_attention


def test_capabilities_are_read_off_the_parameters() -> None:
    def kernel(module, query, key, value, attention_mask, scaling=None, softcap=None, **kwargs):
        raise AssertionError("never called")

    AttentionInterface.register("capped", kernel)
    found = attention_backend("capped").capabilities
    assert found.soft_cap and not found.sinks and not found.dropout
    with pytest.raises(ValueError, match="must be an AttentionBackend or a function, not int"):
        AttentionInterface.register("broken", 3)


def test_the_default_is_the_first_that_can() -> None:
    assert choose_attention(None, AttentionNeeds(grouped_heads=True), "M").name == "sdpa"
    chosen = choose_attention(None, AttentionNeeds(soft_cap=True), "M")
    assert (chosen.name, chosen.explicit, chosen.rejected) == ("eager", False, {"sdpa": "lacks soft_cap"})


def test_what_a_backend_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Attention 'sdpa' cannot do what M needs: soft_cap, sinks.*'eager'"):
        choose_attention("sdpa", AttentionNeeds(soft_cap=True, sinks=True), "M")
    with pytest.raises(PluginNotInstalledError):
        choose_attention("warp_drive", AttentionNeeds(), "M")


class Attending(AttentionModule):
    is_causal = True
    scaling = 0.5

    def forward(self, x: Tensor, **kwargs: object) -> tuple[Tensor, Tensor | None]:
        return self.attend(x, x, x, None, **kwargs)


def attending(name: str, explicit: bool) -> Attending:
    return Attending(SimpleNamespace(_attn_implementation=name, _attn_explicit=explicit)).eval()


def test_weights_are_given_by_a_default_backend_and_refused_by_a_chosen_one() -> None:
    x = torch.randn(1, 2, 3, 4)
    output, weights = attending("sdpa", explicit=False)(x, output_attentions=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 3))
    torch.testing.assert_close(output, attending("sdpa", explicit=False)(x)[0])
    assert attending("sdpa", explicit=False)(x)[1] is None
    with pytest.raises(ValueError, match="Attention 'sdpa' cannot return weights.*'eager'"):
        attending("sdpa", explicit=True)(x, output_attentions=True)
    with pytest.raises(ValueError, match="or apply a head mask"):
        attending("sdpa", explicit=True)(x, head_mask=torch.ones(1, 2, 1, 1))


def test_a_kernel_that_returns_no_weights_is_found_out() -> None:
    AttentionInterface.register("forgetful", lambda *args, **kwargs: (args[1].transpose(1, 2), None))
    with pytest.raises(ValueError, match="'forgetful' returned no weights"):
        attending("forgetful", explicit=True)(torch.randn(1, 2, 3, 4), output_attentions=True)


def test_a_whole_backend_can_be_registered() -> None:
    backend = AttentionBackend("whole", sdpa_attention, sdpa_mask, AttentionCapabilities(soft_cap=True))
    AttentionInterface.register("whole", backend)
    assert attention_backend("whole").capabilities.soft_cap and attention_backend("whole").mask is sdpa_mask
    AttentionInterface.register("whole", backend, mask=contract.eager_mask)
    assert attention_backend("whole").mask is contract.eager_mask
