"""Sizes in pixels, as users write them (a number, a pair, a dict) and as processors keep them: a dict of known keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xf_vision.image_types import SizeDict

VALID_SIZE_DICT_KEYS = (
    {"height", "width"},
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
    {"longest_edge"},
    {"max_height", "max_width"},
)


def is_valid_size_dict(size_dict: Any) -> bool:
    """Whether `size_dict` is a dict with exactly one of the known sets of keys."""
    return isinstance(size_dict, dict) and size_dict.keys() in VALID_SIZE_DICT_KEYS


def convert_to_size_dict(
    size: Any, max_size: int | None = None, default_to_square: bool = True, height_width_order: bool = True
) -> dict[str, int]:
    """A number, a pair or None as a size dict; see `get_size_dict`."""
    if isinstance(size, int) and default_to_square:
        if max_size is not None:
            raise ValueError("A square `size` leaves no room for `max_size`; pass default_to_square=False or drop it.")
        return {"height": size, "width": size}
    if isinstance(size, int):
        return {"shortest_edge": size} | ({} if max_size is None else {"longest_edge": max_size})
    if isinstance(size, (tuple, list)):
        if len(size) < 2:
            raise ValueError(f"`size` as a list must hold two numbers, got {size}.")
        height, width = (size[0], size[1]) if height_width_order else (size[1], size[0])
        return {"height": height, "width": width}
    if size is None and max_size is not None:
        if default_to_square:
            raise ValueError("`max_size` alone gives no square; pass default_to_square=False or a `size`.")
        return {"longest_edge": max_size}
    raise ValueError(f"Cannot read the size {size!r}; pass a number, (height, width) or a dict.")


def get_size_dict(
    size: int | Iterable[int] | dict[str, int] | SizeDict | None = None,
    max_size: int | None = None,
    height_width_order: bool = True,
    default_to_square: bool = True,
    param_name: str = "size",
) -> dict[str, int]:
    """The size dict of an older way to write a size.

    - a dict stays as it is; its keys must be one of `VALID_SIZE_DICT_KEYS`, else ValueError;
    - a pair is (height, width), or (width, height) if not `height_width_order`;
    - a number is both edges if `default_to_square`, else the shortest edge, with `max_size` as the longest.
    """
    if isinstance(size, SizeDict):
        return {key: value for key, value in vars(size).items() if value is not None}
    if isinstance(size, dict):
        size_dict = size
    else:
        size_dict = convert_to_size_dict(size, max_size, default_to_square, height_width_order)
    if not is_valid_size_dict(size_dict):
        known = "; ".join(", ".join(sorted(keys)) for keys in VALID_SIZE_DICT_KEYS)
        raise ValueError(f"`{param_name}` must have exactly one of these sets of keys: {known}. Got {size_dict}.")
    return size_dict
