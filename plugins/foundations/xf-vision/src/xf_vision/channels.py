"""Moving the channel axis, changing the order of channels, and converting to RGB or to a PIL image."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image

from xf_vision.image_layout import infer_channel_dimension_format
from xf_vision.image_types import ChannelDimension, is_pil_image, is_torch_tensor


def to_channel_dimension_format(
    image: np.ndarray,
    channel_dim: ChannelDimension | str,
    input_channel_dim: ChannelDimension | str | None = None,
) -> np.ndarray:
    """`image` (C, H, W) or (H, W, C) with its channel axis where `channel_dim` says; leading axes are kept."""
    if not isinstance(image, np.ndarray):
        raise TypeError(f"The image must be a NumPy array, got {type(image).__name__}.")
    if input_channel_dim is None:
        input_channel_dim = infer_channel_dimension_format(image)
    target = ChannelDimension(channel_dim)
    if ChannelDimension(input_channel_dim) == target:
        return image
    if image.ndim < 3:
        raise ValueError(f"An image needs at least 3 axes, got shape {image.shape}.")
    return np.moveaxis(image, -1, -3) if target == ChannelDimension.FIRST else np.moveaxis(image, -3, -1)


def flip_channel_order(
    image: np.ndarray,
    data_format: ChannelDimension | str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """Reverse the order of the channels: RGB to BGR and back."""
    if input_data_format is None:
        input_data_format = infer_channel_dimension_format(image)
    flipped = image[..., ::-1] if ChannelDimension(input_data_format) == ChannelDimension.LAST else image[::-1, ...]
    return flipped if data_format is None else to_channel_dimension_format(flipped, data_format, input_data_format)


def convert_to_rgb(image: Any) -> Any:
    """A PIL image of any mode as RGB, by Pillow's own rules (alpha is dropped); anything else is returned as it is."""
    if not is_pil_image(image) or image.mode == "RGB":
        return image
    return image.convert("RGB")


def needs_rescale_for_pil(image: np.ndarray) -> bool:
    """Whether values must be multiplied by 255 to become the 8-bit values of a PIL image.

    True for values in 0..1, False for whole numbers in 0..255; ValueError for anything else.
    """
    if image.dtype == np.uint8 or image.size == 0:
        return False
    low, high = image.min(), image.max()
    whole = np.allclose(image, image.astype(int)) if np.isfinite(low) and np.isfinite(high) else False
    if whole and low >= 0 and high <= 255:
        return False
    if not whole and low >= 0 and high <= 1:
        return True
    raise ValueError(
        f"Cannot convert to a PIL image: values lie in [{low}, {high}], but must be whole numbers in 0..255 or any "
        "numbers in 0..1."
    )


def to_pil_image(
    image: Any,
    do_rescale: bool | None = None,
    image_mode: str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> PIL.Image.Image:
    """A PIL image from an array or tensor (C, H, W) or (H, W, C).

    `do_rescale` multiplies by 255 first; by default it is decided by the values (see `needs_rescale_for_pil`). A single
    channel becomes a grey image. Values are cut, not rounded, to 8 bits. ValueError for what is no image.
    """
    if is_pil_image(image):
        return image
    if is_torch_tensor(image):
        image = image.numpy()
    elif not isinstance(image, np.ndarray):
        raise ValueError(f"Not an image: {type(image).__name__}. Pass a NumPy array, a torch tensor or a PIL image.")
    image_HWC = to_channel_dimension_format(image, ChannelDimension.LAST, input_data_format)
    if image_HWC.shape[-1] == 1:
        image_HWC = np.squeeze(image_HWC, axis=-1)
    if needs_rescale_for_pil(image_HWC) if do_rescale is None else do_rescale:
        image_HWC = rescale(image_HWC, 255)
    return PIL.Image.fromarray(image_HWC.astype(np.uint8), mode=image_mode)


def rescale(
    image: np.ndarray,
    scale: float,
    data_format: ChannelDimension | str | None = None,
    dtype: Any = np.float32,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """`image * scale`, computed in float64 and returned as `dtype`."""
    if not isinstance(image, np.ndarray):
        raise TypeError(f"The image must be a NumPy array, got {type(image).__name__}.")
    scaled = image.astype(np.float64) * scale
    if data_format is not None:
        scaled = to_channel_dimension_format(scaled, data_format, input_data_format)
    return scaled.astype(dtype)
