"""Quantized cache processors: how a block of keys or values is quantized, by quanto, by HQQ, or by ourselves.

Shapes: B batch, G key-value heads, T tokens, D head width; a block is (B, G, T, D).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf import logging
from xf.interfaces.cache import Cache, CacheProcessor, DynamicLayer

from .configuration import check_settings
from .layer import QuantizedLayer

logger = logging.get_logger(__name__)
_PACKED_TOGETHER = {1: 8, 2: 4, 3: 10, 4: 2, 8: 1}  # rows that HQQ packs into one number, by bits


class QuantizedCacheProcessor(CacheProcessor):
    """Makes the layers of a growing cache `QuantizedLayer`s; subclasses quantize and restore blocks.

    Settings: see `QuantizedCacheConfig`. A group never goes beyond one head: where q_group_size does not divide the
    head width, the largest common divisor is used, and said. Along another axis the same holds for the block's length.
    Raises: ValueError for settings that the backend cannot serve; ImportError where its package is missing.
    """

    backend_name: ClassVar[str] = ""
    supported_bits: ClassVar[tuple[int, ...]] = ()
    supported_axes: ClassVar[tuple[int, ...]] = (0, -1)

    def __init__(
        self,
        cache: Cache,
        backend: str | None = None,
        nbits: int = 4,
        axis_key: int = 0,
        axis_value: int = 0,
        q_group_size: int = 64,
        residual_length: int = 128,
        compute_dtype: torch.dtype | str = torch.float16,
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ) -> None:
        self.nbits, self.axis_key, self.axis_value = nbits, axis_key, axis_value
        self.q_group_size, self.residual_length = q_group_size, residual_length
        self.compute_dtype = getattr(torch, compute_dtype) if isinstance(compute_dtype, str) else compute_dtype
        self.device = torch.device(device)
        self.validate()
        if cache.layers or any(factory is not DynamicLayer for factory in cache._factories):
            kinds = sorted({getattr(factory, "__name__", repr(factory)) for factory in cache._factories})
            raise ValueError(f"Only a growing cache whose layers keep every token can be quantized, not {kinds}.")
        cache._factories = [functools.partial(QuantizedLayer, self)]

    def validate(self) -> None:
        """Check the settings."""
        check_settings(self.nbits, self.q_group_size, self.residual_length)
        if self.nbits not in self.supported_bits:
            raise ValueError(f"{self.backend_name} quantizes to {self.supported_bits} bits, not to {self.nbits}.")
        for name in ("axis_key", "axis_value"):
            if getattr(self, name) not in self.supported_axes:
                raise ValueError(f"{name} is {getattr(self, name)}; {self.backend_name} takes {self.supported_axes}.")

    def group_size(self, count: int) -> int:
        """Numbers that share a scale, of `count` that may: those of one head, or of one channel in a block."""
        size = math.gcd(self.q_group_size, count)
        if size != self.q_group_size:
            logger.warning_once(f"q_group_size {self.q_group_size} does not divide {count}: groups are of {size}.")
        return size

    def _quantize(self, tensor: Tensor, axis: int) -> Any:
        """A block (B, G, T, D) in the backend's form."""
        raise NotImplementedError(f"{type(self).__name__} must define _quantize(tensor, axis).")

    def _dequantize(self, quantized: Any) -> Tensor:
        """The block (B, G, T, D) in compute_dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define _dequantize(quantized).")

    def _map(self, quantized: Any, change: Callable[[Tensor], Tensor], axis: int) -> Any:
        """The block after `change` of its rows; being on the grid of its scales, it is rounded to the same numbers."""
        return self._quantize(change(self._dequantize(quantized)).contiguous(), axis)


class QuantoQuantizedCacheProcessor(QuantizedCacheProcessor):
    """optimum-quanto: affine, with 2, 4 or 8 bits."""

    backend_name = "quanto"
    supported_bits = (2, 4, 8)

    def __init__(self, cache: Cache, **kwargs: Any) -> None:
        try:
            from optimum import quanto
        except ImportError as error:
            raise ImportError(
                "This cache needs optimum-quanto: pip install optimum-quanto. Without it, cache_config={'backend': "
                "'affine'} quantizes the cache too."
            ) from error
        self._quanto = quanto
        super().__init__(cache, **kwargs)
        self._type = {2: quanto.qint2, 4: quanto.qint4, 8: quanto.qint8}[self.nbits]

    def _quantize(self, tensor: Tensor, axis: int) -> Any:
        quanto, tensor = self._quanto, tensor.to(self.compute_dtype)
        if self.nbits == 8:
            scale = quanto.AbsmaxOptimizer()(tensor, self._type, axis)
            return quanto.quantize_weight(tensor, self._type, axis, scale)
        group = self.group_size(tensor.shape[-1] if axis == 0 else tensor[..., 0].numel())
        scale, shift = quanto.MaxOptimizer()(tensor, self._type, axis, group)
        return quanto.quantize_weight(tensor, self._type, axis, scale, shift, group)

    def _dequantize(self, quantized: Any) -> Tensor:
        return quantized.dequantize()


class HQQQuantizedCacheProcessor(QuantizedCacheProcessor):
    """HQQ: scales by half-quadratic optimisation, with 1, 2, 3, 4 or 8 bits."""

    backend_name = "HQQ"
    supported_bits = (1, 2, 3, 4, 8)
    supported_axes = (0, 1)

    def __init__(self, cache: Cache, **kwargs: Any) -> None:
        try:
            from hqq.core.quantize import Quantizer
        except ImportError as error:
            raise ImportError(
                "This cache needs hqq: pip install hqq. Without it, cache_config={'backend': 'affine'} quantizes the "
                "cache too."
            ) from error
        self._quantizer = Quantizer
        super().__init__(cache, **kwargs)

    def _quantize(self, tensor: Tensor, axis: int) -> Any:
        group, together = self.group_size(tensor.shape[-1]), _PACKED_TOGETHER[self.nbits]
        rows = tensor.reshape(-1, group) if axis == 1 else tensor.reshape(group, -1)
        if axis == 0 and self.nbits != 3 and group % together:
            raise ValueError(
                f"HQQ with {self.nbits} bits and axis 0 needs groups of a multiple of {together} numbers, not {group}: "
                "change q_group_size, or use axis 1."
            )
        missing = -len(rows) % together if axis == 1 else 0  # its packing loses rows that make no full set
        rows = torch.cat([rows, rows[-1:].expand(missing, -1)]) if missing else rows
        found = self._quantizer.quantize(
            rows, nbits=self.nbits, axis=axis, group_size=group, device=str(tensor.device),
            compute_dtype=self.compute_dtype,
        )  # fmt: skip
        return found, len(rows) - missing, tensor.shape

    def _dequantize(self, quantized: Any) -> Tensor:
        found, rows, shape = quantized
        restored: Tensor = self._quantizer.dequantize(*found)
        return restored[:rows].reshape(shape).to(self.compute_dtype)
