"""CacheConfig and QuantizedCacheConfig: settings of a cache as data (spec: internal/generation_utils.md)."""

from __future__ import annotations

import json
import os
from typing import Any

from xf.checkpoint.atomic import write_atomic


class CacheConfig:
    """Base of cache settings: cache_implementation is the name in `xf.v1.cache`."""

    def __init__(self, cache_implementation: str | None) -> None:
        self.cache_implementation = cache_implementation

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """From a dict; keyword arguments replace its values."""
        settings = {**config_dict, **kwargs}
        if cls is not CacheConfig:
            settings.pop("cache_implementation", None)  # said by the class
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """All settings, fit for JSON."""
        return {name: _plain(value) for name, value in vars(self).items()}

    def to_json_string(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """`to_json_string` into a file, replaced as a whole."""
        write_atomic(json_file_path, self.to_json_string())

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Set the settings that exist; returns the keyword arguments that do not."""
        for name in [name for name in kwargs if hasattr(self, name)]:
            setattr(self, name, kwargs.pop(name))
        return kwargs

    def __iter__(self) -> Any:
        yield from self.to_dict().items()

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


class QuantizedCacheConfig(CacheConfig):
    """Settings of a quantized cache.

    backend: "quanto", "HQQ" or "affine" (needs no further package). nbits: bits of a number. axis_key, axis_value:
    which axis keeps its own scales, see the backend. q_group_size: numbers that share a scale. residual_length: so many
    of the latest tokens stay as they are. compute_dtype: of what is quantized and given back. device: where.
    """

    def __init__(
        self,
        backend: str = "quanto",
        nbits: int | None = 4,
        axis_key: int | None = 0,
        axis_value: int | None = 0,
        q_group_size: int | None = 64,
        residual_length: int | None = 128,
        compute_dtype: Any = "float16",
        device: str | None = "cpu",
    ) -> None:
        super().__init__("quantized")
        self.backend = backend
        self.nbits = nbits
        self.axis_key = axis_key
        self.axis_value = axis_value
        self.q_group_size = q_group_size
        self.residual_length = residual_length
        self.compute_dtype = compute_dtype
        self.device = device

    def validate(self) -> None:
        """Raises: ValueError for settings that no backend can serve."""
        check_settings(self.nbits, self.q_group_size, self.residual_length)


def check_settings(nbits: Any, q_group_size: Any, residual_length: Any) -> None:
    """Raises: ValueError, with the value, for settings that no backend can serve."""
    if nbits not in (1, 2, 3, 4, 8):
        raise ValueError(f"nbits is {nbits!r}; it can be 1, 2, 3, 4 or 8, depending on the backend.")
    if not isinstance(q_group_size, int) or q_group_size < 1:
        raise ValueError(f"q_group_size is {q_group_size!r}; it must be a positive integer.")
    if not isinstance(residual_length, int) or residual_length < 0:
        raise ValueError(f"residual_length is {residual_length!r}; it must be 0 or a positive integer.")


def _plain(value: Any) -> Any:
    return str(value).removeprefix("torch.") if type(value).__module__ == "torch" else value
