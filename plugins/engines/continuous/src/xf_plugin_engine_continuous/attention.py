"""Attention of many requests in one row of tokens, on the kernel that the model already has.

Around every backend: the mask builder makes the mask of each request with the backend's own builder, the kernel runs
the backend's own kernel request by request on what the pool holds for it. So all that a backend can do (sinks, soft
caps, sliding windows) it does here too, and whatever does not come through the two contracts is refused, never dropped.

Shapes: H query heads, N tokens of the step, D head width.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionBackend, AttentionInterface, AttentionModule, attention_backend
from xf.interfaces.mask import MaskBuilder, MaskFunction, causal_mask_function
from xf.interfaces.model import PreTrainedModel

from .cache import CannotBatch, PagedCache

_CACHE: ContextVar[PagedCache | None] = ContextVar("paged_cache", default=None)


@dataclass
class SegmentMasks:
    """For each segment of the batch: (tokens at the beginning of its text that nobody sees, mask of the rest)."""

    masks: list[tuple[int, Any]]


@contextlib.contextmanager
def attending_to(cache: PagedCache) -> Iterator[None]:
    """In the body, paged attention reads `cache`."""
    token = _CACHE.set(cache)
    try:
        yield
    finally:
        _CACHE.reset(token)


def _mask_builder(build: MaskBuilder) -> MaskBuilder:
    def paged_mask(
        batch_size: int,
        cache_position: Tensor,
        kv_length: int,
        kv_offset: int = 0,
        mask_function: MaskFunction = causal_mask_function,
        attention_mask: Tensor | None = None,
        local_size: int | None = None,
        allow_is_causal_skip: bool = True,
        **kwargs: Any,
    ) -> SegmentMasks:
        cache = _CACHE.get()
        assert cache is not None and cache.batch is not None and attention_mask is None, "the engine calls the model"
        masks: list[tuple[int, Any]] = []
        for segment in cache.batch.segments:
            # beyond a window or chunk of local_size, nothing is seen
            skipped = 0 if local_size is None else max(0, segment.start - local_size + 1)
            mask = build(
                batch_size=1,
                cache_position=cache.batch.positions[segment.begin : segment.end],
                kv_length=segment.length - skipped,
                kv_offset=skipped,
                mask_function=mask_function,
                attention_mask=None,
                local_size=local_size,
                allow_is_causal_skip=allow_is_causal_skip,
                **kwargs,
            )
            masks.append((skipped, mask))
        return SegmentMasks(masks)

    return paged_mask


def _kernel(inner: AttentionBackend) -> Any:
    kernel = inner.kernel

    def paged_attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        cache = _CACHE.get()
        layer_idx = None if cache is None else cache.take_updated()
        if cache is None or cache.batch is None or layer_idx is None or not isinstance(attention_mask, SegmentMasks):
            raise CannotBatch(
                f"{type(module).__name__} makes its attention mask, or keeps its keys and values, in a way of its own: "
                "this model cannot be batched continuously. Use generate()."
            )
        attended = []
        for segment, (skipped, mask) in zip(cache.batch.segments, attention_mask.masks, strict=True):
            keys, values = cache.view(layer_idx, segment, skipped)
            if keys.dtype != query.dtype:  # a layer that attends in another precision than it stores
                keys, values = keys.to(query.dtype), values.to(query.dtype)
            queries = query.narrow(2, segment.begin, segment.end - segment.begin)
            attended.append(kernel(module, queries, keys, values, mask, **kwargs)[0])
        return attended[0] if len(attended) == 1 else torch.cat(attended, dim=1), None

    return paged_attention


def paged_backend(name: str) -> str:
    """The name of the paged form of the backend called `name`."""
    paged = f"paged|{name}"
    inner = attention_backend(name)
    backend = AttentionBackend(paged, _kernel(inner), _mask_builder(inner.mask), inner.capabilities)
    AttentionInterface.register(paged, backend)
    return paged


def paged_twin(model: Any) -> Any:
    """The model with paged attention: modules that attend are new, all tensors and other modules are the model's own.

    So the model itself goes on as it was, for other threads too.
    """
    return _Twins().of(model)


class _Twins:
    def __init__(self) -> None:
        self._modules: dict[int, Any] = {}
        self._configs: dict[int, Any] = {}
        self._originals: list[Any] = []  # kept, so that no id is given to another object

    def of(self, module: nn.Module) -> Any:
        """The module's twin, or itself where nothing in it attends."""
        if id(module) in self._modules:
            return self._modules[id(module)]
        children = {name: child and self.of(child) for name, child in module._modules.items()}
        attends = isinstance(module, (AttentionModule, PreTrainedModel))
        if not attends and all(children[name] is child for name, child in module._modules.items()):
            self._modules[id(module)] = module
            return module
        twin = type(module).__new__(type(module))
        twin.__dict__.update(module.__dict__)
        twin.__dict__["_modules"] = children
        twin.__dict__["_parameters"], twin.__dict__["_buffers"] = dict(module._parameters), dict(module._buffers)
        self._modules[id(module)] = twin
        if attends:
            twin.config = self._config(module.config)
        if isinstance(twin, AttentionModule):
            twin.use_backend(attention_backend(paged_backend(twin.backend.name)))
        return twin

    def _config(self, config: Any) -> Any:
        if id(config) not in self._configs:
            twin = copy.copy(config)
            if config._attn_implementation is not None:
                twin._attn_implementation_internal = paged_backend(config._attn_implementation)
            self._configs[id(config)] = twin
            self._originals.append(config)
            for key in getattr(config, "sub_configs", {}):
                if getattr(config, key, None) is not None:
                    setattr(twin, key, self._config(getattr(config, key)))
        return self._configs[id(config)]
