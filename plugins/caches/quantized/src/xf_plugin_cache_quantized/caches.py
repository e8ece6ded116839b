"""QuantizedCache and its backends by name (spec: internal/generation_utils.md)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from xf.interfaces.cache import DynamicCache
from xf.plugins import registry


class QuantizedCache(DynamicCache):
    """A growing cache whose old tokens are quantized; memory for some precision.

    backend: "quanto" (optimum-quanto), "HQQ" (hqq), "affine" (plain torch), or any X for which a plugin offers the
    processor `X_quantized_processor` in `xf.v1.cache`. Further settings: see `QuantizedCacheConfig`.
    Raises: ImportError where the backend's package is missing, ValueError for settings that it cannot serve.
    """

    default_backend: ClassVar[str] = "quanto"

    def __init__(self, backend: str | None = None, **kwargs: Any) -> None:
        name = f"{(backend or self.default_backend).lower()}_quantized"
        if registry("cache").find(f"{name}_processor") is None:
            suffix = "_quantized_processor"
            known = [found.removesuffix(suffix) for found in registry("cache").names() if found.endswith(suffix)]
            raise ValueError(f"There is no quantized cache with backend {backend!r}; there are {', '.join(known)}.")
        kwargs.pop("config", None)  # layers of all kinds keep every token
        kwargs.pop("cache_implementation", None)
        super().__init__(cache_processor=name, **kwargs)

    @classmethod
    def for_generation(
        cls, config: Any, *, batch_size: int, max_length: int, device: torch.device, dtype: torch.dtype, **options: Any
    ) -> QuantizedCache:
        """As `generate` makes it; options are those of the constructor. compute_dtype is the model's if not given."""
        return cls(**{"compute_dtype": dtype, **options, "device": device})


class QuantoQuantizedCache(QuantizedCache):
    """`QuantizedCache` on optimum-quanto."""


class HQQQuantizedCache(QuantizedCache):
    """`QuantizedCache` on hqq."""

    default_backend = "HQQ"


class AffineQuantizedCache(QuantizedCache):
    """`QuantizedCache` in plain torch."""

    default_backend = "affine"
