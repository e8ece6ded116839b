"""Image transformations on NumPy arrays and PIL images.

Arrays are (C, H, W) or (H, W, C); `input_data_format` says which, and is inferred where it is None. `data_format` asks
for the layout of the result, and None keeps that of the input. Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from xf_vision.boxes import center_to_corners_format, corners_to_center_format, id_to_rgb, rgb_to_id
from xf_vision.channels import (
    convert_to_rgb,
    flip_channel_order,
    needs_rescale_for_pil,
    rescale,
    to_channel_dimension_format,
    to_pil_image,
)
from xf_vision.grouping import group_images_by_shape, reorder_images
from xf_vision.image_layout import get_channel_dimension_axis, get_image_size, infer_channel_dimension_format
from xf_vision.image_types import ChannelDimension, ExplicitEnum, PILImageResampling, is_pil_image
from xf_vision.patches import divide_to_patches
from xf_vision.resizing import get_resize_output_image_size, get_size_with_aspect_ratio

__all__ = [
    "PaddingMode",
    "center_crop",
    "center_to_corners_format",
    "convert_to_rgb",
    "corners_to_center_format",
    "divide_to_patches",
    "flip_channel_order",
    "get_resize_output_image_size",
    "get_size_with_aspect_ratio",
    "group_images_by_shape",
    "id_to_rgb",
    "normalize",
    "pad",
    "reorder_images",
    "rescale",
    "resize",
    "rgb_to_id",
    "to_channel_dimension_format",
    "to_pil_image",
]


class PaddingMode(ExplicitEnum):
    """How `pad` fills: a constant, mirrored without and with the edge pixel, or the edge pixel repeated."""

    CONSTANT = "constant"
    REFLECT = "reflect"
    REPLICATE = "replicate"
    SYMMETRIC = "symmetric"


_NUMPY_PAD_MODE = {
    PaddingMode.CONSTANT: "constant",
    PaddingMode.REFLECT: "reflect",
    PaddingMode.REPLICATE: "edge",
    PaddingMode.SYMMETRIC: "symmetric",
}


def _check_array(image: Any) -> None:
    if not isinstance(image, np.ndarray):
        raise ValueError(f"The image must be a NumPy array, got {type(image).__name__}.")


def _check_pair(size: Any) -> None:
    if not isinstance(size, Iterable) or len(list(size)) != 2:
        raise ValueError(f"`size` must be (height, width), got {size!r}.")
    for value in size:
        if not hasattr(value, "__index__") or value < 0:
            raise ValueError(f"`size` must hold whole numbers of pixels, got {size!r}.")


def resize(
    image: Any,
    size: tuple[int, int],
    resample: PILImageResampling | int | None = None,
    reducing_gap: int | None = None,
    data_format: ChannelDimension | str | None = None,
    return_numpy: bool = True,
    input_data_format: ChannelDimension | str | None = None,
) -> Any:
    """Resize to (height, width) with Pillow's filters (default bilinear), which average when they shrink.

    The work is done on 8 bits: float images in 0..1 are quantised to 1/255 steps and come back as float32 in 0..1.
    Returns a NumPy array in `data_format`, or the PIL image if `return_numpy` is false.
    """
    _check_pair(size)
    height, width = size
    resample = PILImageResampling.BILINEAR if resample is None else resample
    if is_pil_image(image):
        was_scaled, layout, pil_image = False, ChannelDimension.LAST, image
    else:
        _check_array(image)
        layout = ChannelDimension(input_data_format or infer_channel_dimension_format(image))
        was_scaled = needs_rescale_for_pil(image)
        pil_image = to_pil_image(image, do_rescale=was_scaled, input_data_format=layout)
    resized = pil_image.resize((width, height), resample=resample, reducing_gap=reducing_gap)
    if not return_numpy:
        return resized
    array = np.array(resized)
    array_HWC = np.expand_dims(array, axis=-1) if array.ndim == 2 else array
    out = to_channel_dimension_format(array_HWC, data_format or layout, input_channel_dim=ChannelDimension.LAST)
    return rescale(out, 1 / 255) if was_scaled else out


def normalize(
    image: np.ndarray,
    mean: float | Collection[float],
    std: float | Collection[float],
    data_format: ChannelDimension | str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """(image - mean) / std per channel, in the image's float dtype (float32 for integers).

    ValueError if `mean` or `std` has neither one number nor one per channel.
    """
    _check_array(image)
    layout = ChannelDimension(input_data_format or infer_channel_dimension_format(image))
    channels = image.shape[get_channel_dimension_axis(image, layout)]
    if not np.issubdtype(image.dtype, np.floating):
        image = image.astype(np.float32)
    statistics = []
    for name, value in (("mean", mean), ("std", std)):
        entries = list(value) if isinstance(value, Collection) else [value] * channels
        if len(entries) != channels:
            raise ValueError(f"`{name}` must have {channels} elements, one per channel, got {len(entries)}: {value}.")
        statistics.append(np.array(entries, dtype=image.dtype))
    mean_C, std_C = statistics
    if layout == ChannelDimension.LAST:
        normalized = (image - mean_C) / std_C
    else:
        normalized = (image - mean_C[:, None, None]) / std_C[:, None, None]
    return normalized if data_format is None else to_channel_dimension_format(normalized, data_format, layout)


def center_crop(
    image: np.ndarray,
    size: tuple[int, int],
    data_format: ChannelDimension | str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """Cut (height, width) from the centre; where the image is smaller, it is centred on zeros of that size."""
    _check_array(image)
    _check_pair(size)
    layout = ChannelDimension(input_data_format or infer_channel_dimension_format(image))
    image_CHW = to_channel_dimension_format(image, ChannelDimension.FIRST, layout)
    height, width = get_image_size(image_CHW, ChannelDimension.FIRST)
    crop_height, crop_width = int(size[0]), int(size[1])
    if crop_height > height or crop_width > width:
        missing_y, missing_x = max(0, crop_height - height), max(0, crop_width - width)
        # An odd pixel goes to the top and left when padding and is cut from the bottom and right when cropping.
        before_y, before_x = (missing_y + 1) // 2, (missing_x + 1) // 2
        edges = ((before_y, missing_y - before_y), (before_x, missing_x - before_x))
        image_CHW = np.pad(image_CHW, ((0, 0),) * (image_CHW.ndim - 2) + edges)
    top, left = max(0, (height - crop_height) // 2), max(0, (width - crop_width) // 2)
    cropped_CHW = image_CHW[..., top : top + crop_height, left : left + crop_width]
    return to_channel_dimension_format(cropped_CHW, data_format or layout, ChannelDimension.FIRST)


def _expand_padding(values: Any, image_ndim: int, layout: ChannelDimension) -> Any:
    """One number, (before, after) or ((top, bottom), (left, right)) as one pair per axis of the image."""
    if isinstance(values, (int, float)):
        pairs: Any = ((values, values), (values, values))
    elif isinstance(values, tuple) and len(values) == 1:
        pairs = ((values[0], values[0]), (values[0], values[0]))
    elif isinstance(values, tuple) and len(values) == 2 and isinstance(values[0], int):
        pairs = (values, values)
    elif isinstance(values, tuple) and len(values) == 2 and isinstance(values[0], tuple):
        pairs = values
    else:
        raise ValueError(f"Padding must be a number, (before, after) or ((top, bottom), (left, right)), got {values}.")
    pairs = ((0, 0), *pairs) if layout == ChannelDimension.FIRST else (*pairs, (0, 0))
    return ((0, 0), *pairs) if image_ndim == 4 else pairs


def pad(
    image: np.ndarray,
    padding: int | tuple[int, int] | Iterable[tuple[int, int]],
    mode: PaddingMode | str = PaddingMode.CONSTANT,
    constant_values: float | Iterable[float] = 0.0,
    data_format: ChannelDimension | str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """Pad the height and width of an image or a batch of images.

    `padding` in pixels: one number for all edges, (before, after) for both axes, or ((top, bottom), (left, right));
    `constant_values` has the same shapes and is used by the constant mode.
    """
    _check_array(image)
    layout = ChannelDimension(input_data_format or infer_channel_dimension_format(image))
    widths = _expand_padding(padding, image.ndim, layout)
    mode = PaddingMode(mode)
    options: dict[str, Any] = {}
    if mode is PaddingMode.CONSTANT:
        options["constant_values"] = _expand_padding(constant_values, image.ndim, layout)
    padded = np.pad(image, widths, mode=_NUMPY_PAD_MODE[mode], **options)  # type: ignore[call-overload]
    return padded if data_format is None else to_channel_dimension_format(padded, data_format, layout)
