"""What every attention backend must do, checked against attention written out in double precision.

Shapes: B batch, H query heads, G key-value heads, Q queries, K keys, D head width.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionBackend, AttentionNeeds, attention_backend, choose_attention
from xf.interfaces.mask import (
    MaskFunction,
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    or_masks,
    prefix_mask_function,
    sliding_window_causal_mask_function,
)

from .base import Conformance

B, H, G, D = 2, 4, 2, 16
LENGTH = 11  # odd and no multiple of a block size: kernels that tile must handle the rest


class _Layer(nn.Module):
    """What a kernel may read from the module that calls it."""

    def __init__(self, is_causal: bool, groups: int) -> None:
        super().__init__()
        self.is_causal, self.num_key_value_groups, self.scaling = is_causal, groups, D**-0.5
        self.config = SimpleNamespace()
        self.eval()


def oracle(
    q_BHQD: Tensor,
    k_BGKD: Tensor,
    v_BGKD: Tensor,
    allowed_BHQK: Tensor | None = None,
    *,
    scaling: float = D**-0.5,
    bias_BHQK: Tensor | None = None,
    softcap: float | None = None,
    sinks_H: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T * scaling + bias) v in float64 (arXiv:1706.03762): (output (B, Q, H, D), weights (B, H, Q, K))."""
    q, k, v = (x.double() for x in (q_BHQD, k_BGKD, v_BGKD))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias_BHQK is not None:
        scores = scores + bias_BHQK.double()
    if allowed_BHQK is not None:
        scores = scores.masked_fill(~allowed_BHQK, -torch.inf)
    if sinks_H is not None:
        column = sinks_H.double().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        weights = torch.cat([scores, column], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return torch.einsum("bhqk,bhkd->bqhd", weights, v), weights


class AttentionConformance(Conformance):
    """Subclass, set `name`, and every check of the attention contract runs on that backend.

    Capability flags are those of the backend itself: what it claims is tested, what it does not claim must be refused
    when a model needs it.
    """

    contract: ClassVar[str] = "attention"
    name: ClassVar[str] = ""
    device: ClassVar[str] = "cpu"
    atol: ClassVar[float] = 2e-6  # float32 against float64 over 11 keys
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")  # tested where the backend claims them

    def make_backend(self) -> AttentionBackend:
        """The backend under test; by default the one registered as `name`."""
        return attention_backend(self.name)

    # -- helpers

    def tensors(
        self, q_length: int, kv_length: int, *, kv_heads: int = H, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Random q (B, H, Q, D), k and v (B, G, K, D)."""
        generator = torch.Generator().manual_seed(seed)
        shapes = [(B, H, q_length, D), (B, kv_heads, kv_length, D), (B, kv_heads, kv_length, D)]
        return tuple(torch.randn(s, generator=generator).to(self.device, dtype) for s in shapes)  # type: ignore[return-value]

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        mask_function: MaskFunction = causal_mask_function,
        padding: Tensor | None = None,
        positions: Tensor | None = None,
        offset: int = 0,
        local_size: int | None = None,
        ready_mask: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Build the backend's own mask and call its kernel as a layer would."""
        backend = self.make_backend()
        causal = mask_function is causal_mask_function
        positions = torch.arange(k.shape[2] - q.shape[2], k.shape[2]) if positions is None else positions
        mask = ready_mask
        if ready_mask is None:
            mask = backend.mask(
                batch_size=q.shape[0],
                cache_position=positions.to(q.device),
                kv_length=k.shape[2],
                kv_offset=offset,
                mask_function=mask_function,
                attention_mask=padding,
                local_size=local_size,
                allow_is_causal_skip=causal or local_size is not None,
                dtype=q.dtype,
                config=SimpleNamespace(),
            )
        layer = _Layer(is_causal=mask_function is not bidirectional_mask_function, groups=q.shape[1] // k.shape[1])
        options = {"scaling": D**-0.5, "dropout": 0.0} | kwargs
        return backend.kernel(layer, q, k, v, mask, **options)

    def allowed(
        self, mask_function: MaskFunction, q_length: int, kv_length: int, padding: Tensor | None = None
    ) -> Tensor:
        """The predicate asked one pair at a time: bool (B, 1, Q, K)."""
        first = kv_length - q_length
        rows = torch.zeros(B, 1, q_length, kv_length, dtype=torch.bool)
        for b in range(B):
            for i in range(q_length):
                for j in range(kv_length):
                    rows[b, 0, i, j] = bool(mask_function(b, 0, torch.tensor(first + i), torch.tensor(j)))
        return rows if padding is None else rows & padding[:, None, None, :]

    def close(self, actual: Tensor, expected: Tensor, atol: float | None = None) -> None:
        assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
        torch.testing.assert_close(actual.double().cpu(), expected, atol=atol or self.atol, rtol=1e-5)

    def needs(self, capability: str) -> None:
        if not getattr(self.make_backend().capabilities, capability):
            self.not_claimed(capability)

    # -- the object

    def test_is_one_whole_object(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, AttentionBackend), f"a {type(backend).__name__} is no AttentionBackend"
        assert backend.name == self.name
        assert callable(backend.kernel) and callable(backend.mask)

    @pytest.mark.parametrize("need", ["grouped_heads", "soft_cap", "sinks", "sliding_window", "additive_bias"])
    def test_what_it_cannot_do_is_refused(self, need: str) -> None:
        needs = AttentionNeeds(**{need: True})
        if getattr(self.make_backend().capabilities, need):
            assert choose_attention(self.name, needs, "a model").name == self.name
            return
        with pytest.raises(ValueError, match=need) as caught:
            choose_attention(self.name, needs, "a model")
        assert "eager" in str(caught.value), "the error must name a backend that can"

    # -- results

    @pytest.mark.parametrize("length", [1, LENGTH])
    @pytest.mark.parametrize("kind", ["causal", "bidirectional"])
    def test_equals_attention_written_out(self, kind: str, length: int) -> None:
        function = causal_mask_function if kind == "causal" else bidirectional_mask_function
        q, k, v = self.tensors(length, length)
        expected, _ = oracle(q, k, v, self.allowed(function, length, length))
        self.close(self.attend(q, k, v, mask_function=function)[0], expected)

    @pytest.mark.parametrize("side", ["left", "right"])
    @pytest.mark.parametrize("kind", ["causal", "bidirectional"])
    def test_padding_is_invisible(self, kind: str, side: str) -> None:
        function = causal_mask_function if kind == "causal" else bidirectional_mask_function
        q, k, v = self.tensors(LENGTH, LENGTH)
        padding = torch.ones(B, LENGTH, dtype=torch.bool)
        padding[1, slice(0, 4) if side == "left" else slice(LENGTH - 4, LENGTH)] = False
        expected, _ = oracle(q, k, v, self.allowed(function, LENGTH, LENGTH, padding))
        actual, _ = self.attend(q, k, v, mask_function=function, padding=padding)
        real = padding[:, :, None, None]  # a query at padding may hold anything finite
        assert actual.isfinite().all(), "rows at padding must stay finite"
        self.close(torch.where(real, actual, 0), torch.where(real, expected, 0.0))

    @pytest.mark.parametrize("new", [1, 3])
    def test_queries_may_be_the_last_of_many_keys(self, new: int) -> None:
        q, k, v = self.tensors(new, LENGTH)
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, new, LENGTH))
        self.close(self.attend(q, k, v)[0], expected)

    def test_the_future_is_invisible(self) -> None:
        q, k, v = self.tensors(LENGTH, LENGTH)
        before, _ = self.attend(q, k, v)
        k2, v2 = k.clone(), v.clone()
        k2[:, :, 6:], v2[:, :, 6:] = 50.0, -50.0
        after, _ = self.attend(q, k2, v2)
        self.close(after[:, :6], before[:, :6].double())
        assert not torch.allclose(after[:, 6:], before[:, 6:]), "the changed positions must show"

    def test_grouped_heads(self) -> None:
        self.needs("grouped_heads")
        q, k, v = self.tensors(LENGTH, LENGTH, kv_heads=G)
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH))
        self.close(self.attend(q, k, v)[0], expected)

    @pytest.mark.parametrize("window", [1, 4, LENGTH + 5])
    def test_sliding_window(self, window: int) -> None:
        self.needs("sliding_window")
        function = sliding_window_causal_mask_function(window)
        q, k, v = self.tensors(LENGTH, LENGTH)
        expected, _ = oracle(q, k, v, self.allowed(function, LENGTH, LENGTH))
        self.close(self.attend(q, k, v, mask_function=function, local_size=window, sliding_window=window)[0], expected)

    def test_chunked_and_prefix_masks(self) -> None:
        q, k, v = self.tensors(LENGTH, LENGTH)
        prefix = or_masks(causal_mask_function, prefix_mask_function(torch.tensor([3, 7])))
        for function, size in ((chunked_causal_mask_function(4), 4), (prefix, None)):
            expected, _ = oracle(q, k, v, self.allowed(function, LENGTH, LENGTH))
            self.close(self.attend(q, k, v, mask_function=function, local_size=size)[0], expected)

    def test_scaling_is_the_layers(self) -> None:
        q, k, v = self.tensors(LENGTH, LENGTH)
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH), scaling=0.7)
        self.close(self.attend(q, k, v, scaling=0.7)[0], expected)

    def test_soft_cap(self) -> None:
        self.needs("soft_cap")
        q, k, v = self.tensors(LENGTH, LENGTH)
        q = q * 8  # scores well beyond the cap
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH), softcap=2.0)
        self.close(self.attend(q, k, v, softcap=2.0)[0], expected)

    def test_sinks(self) -> None:
        self.needs("sinks")
        q, k, v = self.tensors(LENGTH, LENGTH)
        sinks = torch.linspace(-1, 2, H)
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH), sinks_H=sinks)
        self.close(self.attend(q, k, v, s_aux=sinks)[0], expected)

    def test_additive_bias(self) -> None:
        self.needs("additive_bias")
        q, k, v = self.tensors(LENGTH, LENGTH)
        bias = torch.randn(B, H, LENGTH, LENGTH, generator=torch.Generator().manual_seed(1))
        expected, _ = oracle(q, k, v, bias_BHQK=bias)
        self.close(self.attend(q, k, v, mask_function=bidirectional_mask_function, ready_mask=bias)[0], expected)

    def test_weights(self) -> None:
        self.needs("returns_weights")
        q, k, v = self.tensors(LENGTH, LENGTH)
        _, expected = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH))
        weights = self.attend(q, k, v, output_attentions=True)[1]
        assert weights is not None
        self.close(weights, expected)

    def test_gradients(self) -> None:
        self.needs("backward")
        inputs = [x.requires_grad_() for x in self.tensors(LENGTH, LENGTH)]
        self.attend(*inputs)[0].square().sum().backward()
        doubles = [x.detach().double().requires_grad_() for x in inputs]
        allowed = self.allowed(causal_mask_function, LENGTH, LENGTH)
        oracle(*doubles, allowed)[0].square().sum().backward()
        for ours, theirs in zip(inputs, doubles, strict=True):
            assert ours.grad is not None and theirs.grad is not None
            self.close(ours.grad, theirs.grad, atol=self.atol * 10)

    def test_dropout_acts_in_training_only(self) -> None:
        self.needs("dropout")
        q, k, v = self.tensors(LENGTH, LENGTH)
        plain, _ = self.attend(q, k, v)
        torch.manual_seed(0)
        layer = _Layer(is_causal=True, groups=1).train()
        backend = self.make_backend()
        mask = backend.mask(
            batch_size=B,
            cache_position=torch.arange(LENGTH),
            kv_length=LENGTH,
            mask_function=causal_mask_function,
            dtype=q.dtype,
            config=SimpleNamespace(),
        )
        dropped, _ = backend.kernel(layer, q, k, v, mask, scaling=D**-0.5, dropout=0.5)
        assert not torch.allclose(dropped, plain)

    # -- manners

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
    def test_dtype_is_kept(self, dtype: str) -> None:
        claimed = self.make_backend().capabilities.dtypes
        if dtype not in self.dtypes and (claimed is None or dtype not in claimed):
            self.not_claimed(f"dtype {dtype}")
        if claimed is not None and dtype not in claimed:
            self.not_claimed(f"dtype {dtype}")
        q, k, v = self.tensors(LENGTH, LENGTH, dtype=getattr(torch, dtype))
        output, _ = self.attend(q, k, v)
        assert output.dtype == q.dtype
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH))
        self.close(output, expected, atol={"float32": self.atol, "float64": self.atol}.get(dtype, 2e-2))

    def test_inputs_are_not_changed(self) -> None:
        tensors = self.tensors(LENGTH, LENGTH)
        copies = [x.clone() for x in tensors]
        self.attend(*tensors)
        assert all(torch.equal(a, b) for a, b in zip(tensors, copies, strict=True))

    def test_strided_inputs(self) -> None:
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in self.tensors(LENGTH, LENGTH))
        assert not q.is_contiguous()
        expected, _ = oracle(q, k, v, self.allowed(causal_mask_function, LENGTH, LENGTH))
        self.close(self.attend(q, k, v)[0], expected)

    def test_same_input_same_output(self) -> None:
        q, k, v = self.tensors(LENGTH, LENGTH)
        assert torch.equal(self.attend(q, k, v)[0], self.attend(q, k, v)[0])

    def test_rows_do_not_mix(self) -> None:
        q, k, v = self.tensors(LENGTH, LENGTH)
        both, _ = self.attend(q, k, v)
        alone, _ = self.attend(q[1:], k[1:], v[1:])
        self.close(both[1:], alone.double())

    def test_capabilities_are_frozen(self) -> None:
        capabilities = self.make_backend().capabilities
        changed = replace(capabilities, soft_cap=not capabilities.soft_cap)
        assert changed != capabilities and self.make_backend().capabilities == capabilities
