"""Attention: one object = kernel + mask builder + capabilities, chosen once when a model is built.

Shapes: B batch, H query heads, G key-value heads (H a multiple of G), Q queries, K keys, D head width.

A kernel has the documented signature of `AttentionInterface.register`:

    kernel(module, query_BHQD, key_BGKD, value_BGKD, attention_mask, scaling=None, dropout=0.0, **kwargs)
        -> (output_BQHD, weights_BHQK or None)

`module` offers is_causal, num_key_value_groups, scaling and training. Keyword arguments that a layer may pass when its
needs say so: softcap (float), s_aux (sinks, (H,)), sliding_window (int), head_mask. The mask is what the backend's own
builder made (see `xf.interfaces.mask`); None means all keys, or causal order when module.is_causal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..plugins import registry
from .mask import MaskBuilder, eager_mask, sdpa_mask

AttentionKernel = Callable[..., tuple[Tensor, Tensor | None]]
DEFAULT_ORDER = ("sdpa", "eager")  # tried in this order when the user names none; fastest first


@dataclass(frozen=True)
class AttentionCapabilities:
    """What a kernel can do. A model whose needs go beyond them is refused, never served wrongly.

    dtypes, devices: names such as "float32" and "cpu" that work, None for all.
    """

    grouped_heads: bool = True
    soft_cap: bool = False
    sinks: bool = False
    sliding_window: bool = True
    additive_bias: bool = True
    variable_length: bool = False
    returns_weights: bool = False
    dropout: bool = True
    backward: bool = True
    dtypes: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None


@dataclass(frozen=True)
class AttentionNeeds:
    """What a model asks of its backend: the features of the same name in `AttentionCapabilities`."""

    grouped_heads: bool = False
    soft_cap: bool = False
    sinks: bool = False
    sliding_window: bool = False
    additive_bias: bool = False
    dropout: bool = False

    def missing_in(self, capabilities: AttentionCapabilities) -> list[str]:
        """The needs that `capabilities` do not meet."""
        return [f.name for f in fields(self) if getattr(self, f.name) and not getattr(capabilities, f.name)]


@dataclass(frozen=True)
class AttentionBackend:
    """An attention implementation, whole: registered under `name` in `xf.v1.attention`."""

    name: str
    kernel: AttentionKernel
    mask: MaskBuilder = eager_mask
    capabilities: AttentionCapabilities = field(default_factory=AttentionCapabilities)


def repeat_kv(x_BGKD: Tensor, groups: int) -> Tensor:
    """Repeat every key-value head `groups` times: (B, G, K, D) -> (B, G * groups, K, D)."""
    return x_BGKD if groups == 1 else x_BGKD.repeat_interleave(groups, dim=1)


def _causal_tail(q_length: int, kv_length: int, device: torch.device) -> Tensor:
    """Bool (Q, K): causal order when the queries are the last Q of K positions."""
    return torch.ones(q_length, kv_length, dtype=torch.bool, device=device).tril(kv_length - q_length)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    head_mask: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T * scaling + mask) v, step by step (arXiv:1706.03762); soft cap, sinks and head mask included."""
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores_BHQK = torch.matmul(query, key.transpose(2, 3)) * scaling
    if softcap is not None:
        scores_BHQK = torch.tanh(scores_BHQK / softcap) * softcap
    if attention_mask is None and getattr(module, "is_causal", False) and query.shape[2] > 1:
        attention_mask = _causal_tail(query.shape[2], key.shape[2], query.device)
    if attention_mask is not None:
        attention_mask = attention_mask[..., : key.shape[2]]
        if attention_mask.dtype == torch.bool:
            scores_BHQK = scores_BHQK.masked_fill(~attention_mask, torch.finfo(scores_BHQK.dtype).min)
        else:
            scores_BHQK = scores_BHQK + attention_mask
    if s_aux is not None:  # a learned extra column that takes probability and gives nothing (attention sink)
        sinks_BHQ1 = s_aux.reshape(1, -1, 1, 1).expand(query.shape[0], -1, query.shape[2], 1).to(scores_BHQK.dtype)
        combined = torch.cat([scores_BHQK, sinks_BHQ1], dim=-1)
        combined = combined - combined.max(dim=-1, keepdim=True).values
        weights_BHQK = torch.softmax(combined, dim=-1, dtype=combined.dtype)[..., :-1]
    else:
        weights_BHQK = torch.softmax(scores_BHQK, dim=-1, dtype=torch.float32).to(query.dtype)
    weights_BHQK = F.dropout(weights_BHQK, p=dropout, training=module.training)
    if head_mask is not None:
        weights_BHQK = weights_BHQK * head_mask
    return torch.matmul(weights_BHQK, value).transpose(1, 2).contiguous(), weights_BHQK


def sdpa_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """torch's scaled_dot_product_attention; it never returns weights."""
    if is_causal is None:
        is_causal = attention_mask is None and query.shape[2] > 1 and bool(getattr(module, "is_causal", False))
        if is_causal and query.shape[2] != key.shape[2]:  # torch aligns its causal flag to the upper left corner
            attention_mask, is_causal = _causal_tail(query.shape[2], key.shape[2], query.device), False
    if attention_mask is not None:
        attention_mask = attention_mask[..., : key.shape[2]]
    output_BHQD = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=attention_mask,
        dropout_p=dropout if module.training else 0.0,
        is_causal=is_causal,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output_BHQD.transpose(1, 2), None


EAGER = AttentionBackend(
    "eager",
    eager_attention,
    eager_mask,
    AttentionCapabilities(soft_cap=True, sinks=True, returns_weights=True),
)
SDPA = AttentionBackend("sdpa", sdpa_attention, sdpa_mask)


def attention_backend(name: str) -> AttentionBackend:
    """The backend called `name`, from this kernel, a plugin or `AttentionInterface.register`.

    Raises: PluginError, saying whether it is not installed, broken, denied or incompatible.
    """
    backend = _BACKENDS.get(name)
    if backend is None:
        found = registry("attention").get(name)
        backend = found if isinstance(found, AttentionBackend) else _backend_from_function(name, found)
        _BACKENDS[name] = backend
    return backend


_BACKENDS: dict[str, AttentionBackend] = {}


def _backend_from_function(
    name: str, kernel: AttentionKernel, capabilities: AttentionCapabilities | None = None
) -> AttentionBackend:
    """Wrap a bare kernel: the mask registered for its name, else the default one; capabilities by its parameters."""
    if not callable(kernel):
        raise ValueError(f"Attention {name!r} must be an AttentionBackend or a function, not {type(kernel).__name__}.")
    if capabilities is None:
        parameters = inspect.signature(kernel).parameters
        capabilities = AttentionCapabilities(
            soft_cap="softcap" in parameters,
            sinks="s_aux" in parameters,
            dropout="dropout" in parameters,
            returns_weights=True,  # checked at each call that asks for weights
        )
    return AttentionBackend(name, kernel, _registered_mask(name) or eager_mask, capabilities)


def _registered_mask(name: str) -> MaskBuilder | None:
    builder = AttentionMaskInterface._global.get(name)
    if builder is None and registry("mask").find(name) is not None:
        builder = registry("mask").get(name)
    return builder


class _Interface(MutableMapping[str, Any]):
    """Names to objects: the kernel's and the plugins', those registered at run time, those set on this object."""

    _group: str
    _global: dict[str, Any]

    def __init__(self) -> None:
        self._local: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        for source in (self._local, self._global):
            if name in source:
                return source[name]
        return self._resolve(name)

    def _resolve(self, name: str) -> Any:
        return registry(self._group).get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._local[name] = value

    def __delitem__(self, name: str) -> None:
        del self._local[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._local, *self._global, *registry(self._group).names()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def valid_keys(self) -> list[str]:
        """All names that can be asked for."""
        return list(self)


class AttentionInterface(_Interface):
    """Attention kernels by name; `AttentionInterface.register(name, fn)` adds one.

    Source: spec internal/modeling_utils.md.
    """

    _group = "attention"
    _global: dict[str, Any] = {}

    def _resolve(self, name: str) -> Any:
        return attention_backend(name).kernel

    @classmethod
    def register(
        cls,
        key: str,
        value: AttentionKernel | AttentionBackend,
        *,
        mask: MaskBuilder | None = None,
        capabilities: AttentionCapabilities | None = None,
    ) -> None:
        """Register `value` under `key` for this process, replacing what had the name.

        A function without `mask` keeps the mask registered under its name, or gets the additive default, so it
        cannot lose causality. Without `capabilities` they are read off its parameters (softcap, s_aux, dropout).
        """
        backend = value if isinstance(value, AttentionBackend) else _backend_from_function(key, value, capabilities)
        if mask is not None:
            backend = AttentionBackend(key, backend.kernel, mask, backend.capabilities)
        cls._global[key] = backend.kernel
        _BACKENDS[key] = backend


class AttentionMaskInterface(_Interface):
    """Mask builders by attention name; `AttentionMaskInterface.register(name, fn)` adds one."""

    _group = "mask"
    _global: dict[str, Any] = {}

    def _resolve(self, name: str) -> Any:
        return attention_backend(name).mask

    @classmethod
    def register(cls, key: str, value: MaskBuilder) -> None:
        """Register the mask builder of the attention called `key`, before or after its kernel."""
        cls._global[key] = value
        if key in _BACKENDS:
            known = _BACKENDS[key]
            _BACKENDS[key] = AttentionBackend(key, known.kernel, value, known.capabilities)


ALL_ATTENTION_FUNCTIONS = AttentionInterface()
ALL_MASK_ATTENTION_FUNCTIONS = AttentionMaskInterface()


@dataclass
class AttentionChoice:
    """Which backend a model got, whether the user named it, and why others were passed over."""

    name: str
    explicit: bool
    rejected: dict[str, str] = field(default_factory=dict)


def choose_attention(requested: str | None, needs: AttentionNeeds, model_name: str) -> AttentionChoice:
    """Choose for a model: the requested backend if it can do all of `needs`, else the first default that can.

    Raises: ValueError if the requested backend cannot, naming those that can; PluginError if it is not available.
    """
    if requested is not None:
        missing = needs.missing_in(attention_backend(requested).capabilities)
        if missing:
            able = [name for name in _installed() if not needs.missing_in(attention_backend(name).capabilities)]
            raise ValueError(
                f"Attention {requested!r} cannot do what {model_name} needs: {', '.join(missing)}. "
                f"Use attn_implementation={' or '.join(map(repr, able))}."
            )
        return AttentionChoice(requested, explicit=True)
    rejected: dict[str, str] = {}
    for name in DEFAULT_ORDER:
        missing = needs.missing_in(attention_backend(name).capabilities)
        if not missing:
            return AttentionChoice(name, explicit=False, rejected=rejected)
        rejected[name] = f"lacks {', '.join(missing)}"
    raise AssertionError("eager can do everything that a model may need")


def _installed() -> list[str]:
    usable = [r.name for r in registry("attention").records() if r.status == "ok"]
    return list(dict.fromkeys([*DEFAULT_ORDER, *usable, *_BACKENDS]))


class AttentionModule(nn.Module):
    """Base of every module that attends: holds the backend that its model chose and calls it.

    A subclass sets what its kernel reads: scaling, is_causal, num_key_value_groups, attention_dropout.
    """

    is_causal: bool = False
    num_key_value_groups: int = 1
    scaling: float | None = None
    attention_dropout: float = 0.0

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.use_backend(attention_backend(config._attn_implementation or "eager"))

    def use_backend(self, backend: AttentionBackend) -> None:
        """Switch to `backend`; models do this for all their modules at once (`set_attn_implementation`)."""
        self.backend = backend

    def attend(
        self,
        query_BHQD: Tensor,
        key_BGKD: Tensor,
        value_BGKD: Tensor,
        attention_mask: Any,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend: returns (B, Q, H, D) and, if output_attentions, the weights (B, H, Q, K), else None or weights.

        Raises: ValueError if weights or a head mask are asked of a backend that the user named and that cannot.
        """
        kernel = self.backend.kernel
        if output_attentions or kwargs.get("head_mask") is not None:
            kernel = self._kernel_with_weights()
        output_BQHD, weights_BHQK = kernel(
            self,
            query_BHQD,
            key_BGKD,
            value_BGKD,
            attention_mask,
            scaling=self.scaling,
            dropout=self.attention_dropout if self.training else 0.0,
            **kwargs,
        )
        if output_attentions and weights_BHQK is None:
            raise ValueError(
                f"Attention {self.backend.name!r} returned no weights, but output_attentions=True was asked: "
                "load the model with attn_implementation='eager'."
            )
        return output_BQHD, weights_BHQK

    def _kernel_with_weights(self) -> AttentionKernel:
        if self.backend.capabilities.returns_weights:
            return self.backend.kernel
        if getattr(self.config, "_attn_explicit", False):
            able = [name for name in _installed() if attention_backend(name).capabilities.returns_weights]
            raise ValueError(
                f"Attention {self.backend.name!r} cannot return weights or apply a head mask "
                f"(output_attentions=True, head_mask). Load the model with "
                f"attn_implementation={' or '.join(map(repr, able))}, or do not name one."
            )
        return eager_attention  # nobody named a backend: for this call the one that can
