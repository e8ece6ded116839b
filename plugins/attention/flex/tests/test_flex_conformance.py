"""flex_attention does what every attention backend must, and refuses what it cannot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention

from xf.interfaces.attention import AttentionNeeds, attention_backend, choose_attention
from xf.interfaces.mask import to_additive
from xf_plugin_attention_flex import backend
from xf_plugin_attention_flex.mask import causal_tail
from xf_testing import AttentionConformance

torch.set_num_threads(1)


class TestFlexAttention(AttentionConformance):
    name = "flex_attention"


def layer(**attributes: object) -> nn.Module:
    made = nn.Module().eval()
    for name, value in {"is_causal": True, **attributes}.items():
        setattr(made, name, value)
    return made


def tensors() -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, 4, 5, 16, generator=torch.Generator().manual_seed(i)) for i in range(3))


def test_none_means_causal_order() -> None:
    q, k, v = tensors()
    flex, eager = attention_backend("flex_attention"), attention_backend("eager")
    for queries in (5, 3, 1):
        ours, _ = flex.kernel(layer(), q[:, :, -queries:], k, v, None)
        theirs, _ = eager.kernel(layer(), q[:, :, -queries:], k, v, None)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    ours, _ = flex.kernel(layer(is_causal=False), q, k, v, None)
    torch.testing.assert_close(ours, eager.kernel(layer(is_causal=False), q, k, v, None)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 4), (2, 1), (1, 4), (1, 1)])
@pytest.mark.parametrize("kind", ["bool", "additive"])
def test_ready_masks_of_every_shape(shape: tuple[int, int], kind: str) -> None:
    q, k, v = tensors()
    mask = torch.rand(*shape, 5, 5) > 0.4
    mask[..., 0] = True
    mask = mask if kind == "bool" else to_additive(mask, q.dtype)
    ours, _ = attention_backend("flex_attention").kernel(layer(), q, k, v, mask, softcap=3.0)
    theirs, _ = attention_backend("eager").kernel(layer(), q, k, v, mask, softcap=3.0)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("ready", [False, True])
def test_the_fused_kernel_is_called_rightly(ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_compiled", lambda: flex_attention)  # compiling it takes a minute on a CPU
    q, (k, v), sinks = tensors()[0], (x[:, :2] for x in tensors()[1:]), torch.tensor([-1.0, 0.0, 1.0, 2.0])
    mask = torch.ones(5, 5).tril().bool().expand(2, 1, 5, 5) if ready else causal_tail(5, 5, q.device)
    fused = backend._fused(q, k, v, mask, 0.3, 2.0, sinks)
    unfused, _ = attention_backend("flex_attention").kernel(layer(), q, k, v, mask, 0.3, softcap=2.0, s_aux=sinks)
    torch.testing.assert_close(fused, unfused, atol=1e-5, rtol=1e-5)


def test_refusals() -> None:
    q, k, v = tensors()
    kernel = attention_backend("flex_attention").kernel
    with pytest.raises(ValueError, match=r"no dropout \(attention_dropout is 0.1\).*'sdpa'"):
        kernel(layer(), q, k, v, None, dropout=0.1)
    with pytest.raises(ValueError, match="cannot mask single heads"):
        kernel(layer(), q, k, v, None, head_mask=torch.ones(1, 4, 1, 1))
    with pytest.raises(ValueError, match="dropout"):
        choose_attention("flex_attention", AttentionNeeds(dropout=True), "a model")


def test_slots_ahead_of_a_preallocated_cache_are_not_read() -> None:
    mask = attention_backend("flex_attention").mask(
        batch_size=1,
        cache_position=torch.arange(2, 4),
        kv_length=8,
        attention_mask=torch.tensor([[0, 1, 1, 1]]),
        config=SimpleNamespace(),
    )
    q, k, v = torch.randn(1, 2, 2, 16), torch.randn(1, 2, 8, 16), torch.randn(1, 2, 8, 16)
    ours, _ = attention_backend("flex_attention").kernel(layer(), q, k, v, mask)
    allowed = torch.tensor([[0, 1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)[None, None]
    torch.testing.assert_close(ours, attention_backend("eager").kernel(layer(), q, k, v, allowed)[0])
