"""What a feature extractor, an image processor or a processor returns: a dictionary of model inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from xf.utils.enums import TensorType
from xf.utils.tensors import is_torch_tensor, tensor_converter

Self = TypeVar("Self", bound="BatchFeature")


class BatchFeature(dict[str, Any]):
    """Model inputs by name; the names are attributes too.

    Args:
        data: the inputs: arrays, tensors, lists.
        tensor_type: "pt" or "np" turns lists and arrays into tensors.
    """

    def __init__(self, data: Mapping[str, Any] | None = None, tensor_type: None | str | TensorType = None) -> None:
        super().__init__(data or {})
        self.convert_to_tensors(tensor_type)

    @property
    def data(self) -> dict[str, Any]:
        """The inputs as a dictionary (this object itself)."""
        return self

    def __getitem__(self, item: str) -> Any:
        if isinstance(item, str):
            return super().__getitem__(item)
        raise KeyError(f"{item!r} is no name of an input; the names are {list(self)}")

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no attribute or key {name!r}; its keys are {list(self)}")

    def copy(self: Self) -> Self:
        """A shallow copy."""
        return type(self)(self)

    def convert_to_tensors(self: Self, tensor_type: str | TensorType | None = None) -> Self:
        """Turn all values into tensors ("pt" or "np"), in place; None does nothing.

        Raises:
            ValueError: a value whose rows differ in length, or that is no number.
        """
        if tensor_type is None:
            return self
        convert = tensor_converter(tensor_type)
        for key, value in self.items():
            try:
                self[key] = convert(_joined(value))
            except (ValueError, TypeError, RuntimeError) as error:
                raise ValueError(
                    f"Unable to create tensor of `{key}`: its items have different lengths, or are no numbers "
                    f"({error}). Padding ('padding=True') makes them equal; return_tensors=None leaves them alone."
                ) from error
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move tensors to a device and cast floating point ones to a dtype, in place: `to("cuda", torch.float16)`.

        The arguments are those of `torch.Tensor.to`; tensors of whole numbers are moved and never cast.

        Raises:
            ValueError: a first argument that is neither device nor dtype.
        """
        import torch

        device = kwargs.get("device")
        if device is None and args:
            if isinstance(args[0], (str, int, torch.device)):
                device = args[0]
            elif not isinstance(args[0], torch.dtype):
                raise ValueError(f"BatchFeature.to() takes a device or a torch dtype, not {args[0]!r}")

        def moved(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(map(moved, value)) if type(value) in (list, tuple) else value
            if not isinstance(value, torch.Tensor):
                return value
            if value.is_floating_point():
                return value.to(*args, **kwargs)
            return value if device is None else value.to(device, non_blocking=kwargs.get("non_blocking", False))

        for key, value in self.items():
            self[key] = moved(value)
        return self


def _joined(value: Any) -> Any:
    """Nested lists of arrays, or of tensors, of one shape as one array or tensor; anything else as it is."""
    inner = value
    while isinstance(inner, (list, tuple)) and inner:
        inner = inner[0]
    if not isinstance(value, (list, tuple)) or not (isinstance(inner, np.ndarray) or is_torch_tensor(inner)):
        return value
    parts = [_joined(part) for part in value]
    if len({(type(part), getattr(part, "shape", None)) for part in parts}) > 1:
        return value
    if isinstance(parts[0], np.ndarray):
        return np.stack(parts)
    import torch

    return torch.stack(parts)
