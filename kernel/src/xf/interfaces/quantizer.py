"""Quantizer: four separate duties. Match modules, convert weights while loading, finish, save.

A quantizer is found by the `quant_method` of its config in `xf.v1.quantizer` (key -> Quantizer subclass). The loader
calls, in this order: `validate`, `prepare` (on the meta model), `convert` for every checkpoint tensor it claims,
`finish`; `save_pretrained` calls `state_dict_to_save`. No quantizer may run code or read names from the checkpoint.
"""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

from ..plugins import registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class QuantizationConfig:
    """Base of the documented quantization configs; what config.json holds under "quantization_config".

    Keyword arguments become attributes. modules_to_not_convert: names, or patterns with *, of modules left as they are.
    """

    quant_method: str = ""

    def __init__(self, modules_to_not_convert: list[str] | None = None, **kwargs: Any) -> None:
        kwargs.pop("quant_method", None)
        self.modules_to_not_convert = modules_to_not_convert
        for key, value in kwargs.items():
            setattr(self, key, value)
        self.post_init()

    def post_init(self) -> None:
        """Check the settings; subclasses raise ValueError with the bad value and the good ones."""

    @classmethod
    def from_dict(
        cls, config_dict: dict[str, Any], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> QuantizationConfig | tuple[QuantizationConfig, dict[str, Any]]:
        """From what config.json holds; keyword arguments that are settings replace its values."""
        config = cls(**{key: value for key, value in config_dict.items() if key != "quant_method"})
        unused = config.update(**kwargs)
        return (config, unused) if return_unused_kwargs else config

    def to_dict(self) -> dict[str, Any]:
        """All settings, quant_method among them, fit for JSON."""
        settings = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        return {"quant_method": self.quant_method, **copy.deepcopy(settings)}

    def to_diff_dict(self) -> dict[str, Any]:
        """Only what differs from the defaults."""
        default = type(self)().to_dict()
        return {key: value for key, value in self.to_dict().items() if key not in default or default[key] != value}

    def to_json_string(self, use_diff: bool = True) -> str:
        """JSON, sorted, two spaces."""
        return json.dumps(self.to_diff_dict() if use_diff else self.to_dict(), indent=2, sort_keys=True) + "\n"

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Set the attributes that exist; returns the keyword arguments that do not."""
        for key in [key for key in kwargs if hasattr(self, key)]:
            setattr(self, key, kwargs.pop(key))
        self.post_init()
        return kwargs

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self.to_dict().items()

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


class Quantizer(ABC):
    """One quantization method applied to one model.

    pre_quantized: the checkpoint already holds this method's tensors (config.json names it); else weights are converted
    while they are read. config_class: the method's QuantizationConfig.
    """

    config_class: ClassVar[type[QuantizationConfig]]

    def __init__(self, quantization_config: QuantizationConfig, *, pre_quantized: bool = True, **kwargs: Any) -> None:
        self.quantization_config = quantization_config
        self.pre_quantized = pre_quantized

    def validate(self, *, dtype: torch.dtype, device: torch.device) -> None:  # noqa: B027 - optional
        """Raise ValueError or ImportError, with what to do, when this environment cannot run the method."""

    def update_dtype(self, dtype: torch.dtype | None) -> torch.dtype | None:
        """The dtype for what stays unquantized; the asked one unless the method is bound to another."""
        return dtype

    @abstractmethod
    def match(self, model: nn.Module) -> list[str]:
        """Names of the modules to quantize."""

    @abstractmethod
    def prepare(self, model: nn.Module) -> None:
        """Replace the matched modules of the meta model by quantized ones, also on meta."""

    @abstractmethod
    def convert(self, model: nn.Module, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """The tensors to place for checkpoint tensor `name` (full name in the model); {name: tensor} if not ours."""

    def finish(self, model: nn.Module) -> None:  # noqa: B027 - optional
        """After all tensors are placed: pack, fuse, check."""

    def state_dict_to_save(self, model: nn.Module) -> dict[str, Tensor]:
        """What save_pretrained writes.

        Raises: ValueError where the method cannot be saved.
        """
        return model.state_dict()

    def dequantize(self, model: nn.Module) -> None:
        """Put ordinary modules back in place.

        Raises: ValueError where the method cannot.
        """
        raise ValueError(f"Models quantized with {self.quantization_config.quant_method!r} cannot be dequantized.")

    @property
    def is_trainable(self) -> bool:
        """Whether the model can be trained further."""
        return False


def matching_linears(model: nn.Module, skip: Iterable[str] | None) -> list[str]:
    """Names of all nn.Linear modules, but for output embeddings and what `skip` (names or patterns with *) names.

    A skip name matches a module of that name, below a module of that name, or whose last part it is.
    """
    from torch import nn

    get_output = getattr(model, "get_output_embeddings", None)
    head = get_output() if get_output is not None and skip is None else None
    patterns = list(skip or ())

    def skipped(name: str) -> bool:
        return any(
            name == p or name.startswith(p + ".") or name.endswith("." + p) or f".{p}." in name or fnmatchcase(name, p)
            for p in patterns
        )

    return [
        name
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not head and not skipped(name)
    ]


def quantizer_for(
    config: QuantizationConfig | dict[str, Any], *, pre_quantized: bool, user_config: QuantizationConfig | None = None
) -> Quantizer:
    """The quantizer of a quantization config (an object, or the dict of config.json).

    Raises: ValueError if it does not say its quant_method; PluginError if no plugin offers it.
    """
    method = config.get("quant_method") if isinstance(config, dict) else config.quant_method
    if not isinstance(method, str) or not method:
        raise ValueError('quantization_config has no "quant_method": it must name the method, such as "int8".')
    quantizer_class = registry("quantizer").get(method)
    if isinstance(config, dict):
        config = quantizer_class.config_class.from_dict(config)
    quantizer: Quantizer = quantizer_class(config, pre_quantized=pre_quantized)
    return quantizer
