"""Lengths and sides, as arguments give them."""

from __future__ import annotations

#: `model_max_length` of a tokenizer without a limit.
VERY_LARGE_INTEGER = int(1e30)
#: A `model_max_length` above this is taken for "no limit".
LARGE_INTEGER = int(1e20)


def check_side(side: str, name: str = "padding_side") -> str:
    """`side` if it is "right" or "left", else ValueError."""
    if side not in ("right", "left"):
        raise ValueError(f"{name} should be 'right' or 'left', not {side!r}")
    return side


def multiple(length: int, of: int | None) -> int:
    """`length`, rounded up to a multiple of `of` if that is given."""
    return length if not of else -(-length // of) * of
