"""Enumerations whose members are the texts that users write."""

from __future__ import annotations

from enum import Enum


class ExplicitEnum(str, Enum):
    """A text enumeration that lists its members when a value is none of them."""

    @classmethod
    def _missing_(cls, value: object) -> ExplicitEnum:
        raise ValueError(f"{value} is not a valid {cls.__name__}, choose one of {[member.value for member in cls]}")


class PaddingStrategy(ExplicitEnum):
    """Values of the `padding` argument of a tokenizer."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TensorType(ExplicitEnum):
    """Values of the `return_tensors` argument. xf makes `pt` and `np`."""

    PYTORCH = "pt"
    TENSORFLOW = "tf"
    NUMPY = "np"
    JAX = "jax"
    MLX = "mlx"
