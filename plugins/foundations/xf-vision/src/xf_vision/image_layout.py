"""Reading an array's layout: which axis holds the channels, how large the image is, whether values are in 0..1."""

from __future__ import annotations

from typing import Any

import numpy as np

from xf import logging
from xf_vision.image_types import ChannelDimension

logger = logging.get_logger(__name__)


def infer_channel_dimension_format(image: Any, num_channels: int | tuple[int, ...] | None = None) -> ChannelDimension:
    """Find the channel axis of an image (3 axes), batch (4) or video batch (5) by its length.

    `num_channels` lists the lengths that mark a channel axis; by default 1 and 3. Where both ends qualify, the first
    one is taken and a warning is given. ValueError if neither does.
    """
    allowed = (1, 3) if num_channels is None else (num_channels,) if isinstance(num_channels, int) else num_channels
    if image.ndim not in (3, 4, 5):
        raise ValueError(
            f"Cannot find the channel axis of an array of {image.ndim} axes, shape {tuple(image.shape)}: an image has "
            "3 axes, a batch of images 4, a batch of videos 5."
        )
    first, last = image.shape[-3] in allowed, image.shape[-1] in allowed
    if first and last:
        logger.warning_once(
            "The channel axis is ambiguous for shape %s; the first is taken. Pass input_data_format to choose.",
            tuple(image.shape),
        )
    if first:
        return ChannelDimension.FIRST
    if last:
        return ChannelDimension.LAST
    raise ValueError(
        f"Cannot find the channel axis: shape {tuple(image.shape)} has no axis of length {allowed} at either end. Pass "
        "input_data_format, or convert the image to one of these numbers of channels (e.g. with do_convert_rgb)."
    )


def get_channel_dimension_axis(image: Any, input_data_format: ChannelDimension | str | None = None) -> int:
    """Index of the channel axis."""
    if input_data_format is None:
        input_data_format = infer_channel_dimension_format(image)
    return int(image.ndim) - (3 if ChannelDimension(input_data_format) == ChannelDimension.FIRST else 1)


def get_image_size(image: Any, channel_dim: ChannelDimension | str | None = None) -> tuple[int, int]:
    """(height, width) in pixels; the channel axis is inferred if not given."""
    if channel_dim is None:
        channel_dim = infer_channel_dimension_format(image)
    if ChannelDimension(channel_dim) == ChannelDimension.FIRST:
        return image.shape[-2], image.shape[-1]
    return image.shape[-3], image.shape[-2]


def get_image_size_for_max_height_width(
    image_size: tuple[int, int], max_height: int, max_width: int
) -> tuple[int, int]:
    """The largest (height, width) of the same aspect ratio that fits the box, rounded down."""
    height, width = image_size
    scale = min(max_height / height, max_width / width)
    return int(height * scale), int(width * scale)


def is_scaled_image(image: np.ndarray) -> bool:
    """Whether values are already in 0..1. uint8 images never are: their unit is 1/255."""
    if image.dtype == np.uint8:
        return False
    return bool(np.min(image) >= 0 and np.max(image) <= 1)
