"""The arithmetic of target sizes. All sizes are (height, width) in pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xf_vision.image_layout import get_image_size
from xf_vision.image_types import ChannelDimension


def get_size_with_aspect_ratio(image_size: tuple[int, int], size: int, max_size: int | None = None) -> tuple[int, int]:
    """The (height, width) whose shorter edge is `size`, unless the longer edge would pass `max_size`.

    The rule of DETR's data loading (Carion et al. 2020): the longer edge is cut to `max_size`, fractions are dropped.
    """
    height, width = image_size
    exact: float = size
    if max_size is not None:
        short, long = float(min(height, width)), float(max(height, width))
        if long / short * size > max_size:
            exact = max_size * short / long
            size = int(round(exact))
    if min(height, width) == size:
        return height, width
    if width < height:
        return int(exact * height / width), size
    return size, int(exact * width / height)


def get_resize_output_image_size(
    input_image: np.ndarray,
    size: int | tuple[int, int] | list[int] | tuple[int],
    default_to_square: bool = True,
    max_size: int | None = None,
    input_data_format: str | ChannelDimension | None = None,
) -> tuple[int, int]:
    """The target (height, width) of `size`.

    Two numbers are taken as they are. One number is both edges if `default_to_square`, else the shorter edge, with the
    longer edge at most `max_size`; fractions are dropped. ValueError if `max_size` is not above `size`.
    """
    if isinstance(size, (tuple, list)):
        if len(size) == 2:
            return tuple(size)
        if len(size) != 1:
            raise ValueError(f"`size` must be one number or two (height, width), got {size}.")
        size = size[0]
    if default_to_square:
        return size, size
    height, width = get_image_size(input_image, input_data_format)
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size, int(size * long / short)
    if max_size is not None:
        if max_size <= size:
            raise ValueError(f"`max_size` ({max_size}) must be greater than the size of the shorter edge ({size}).")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def get_max_height_width(
    images: Sequence[Any], input_data_format: str | ChannelDimension | None = ChannelDimension.FIRST
) -> tuple[int, int]:
    """The smallest (height, width) that every image fits in."""
    sizes = [get_image_size(image, input_data_format) for image in images]
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def max_across_indices(values: Iterable[Any]) -> list[Any]:
    """Element-wise maximum of equally long sequences."""
    return [max(column) for column in zip(*values, strict=False)]
