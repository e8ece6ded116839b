"""The base of image processors that work on NumPy arrays with Pillow's filters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from xf_processing import BatchFeature, ImageProcessingMixin
from xf_vision.image_transforms import center_crop, normalize, rescale
from xf_vision.image_types import ChannelDimension
from xf_vision.patches import get_patch_output_size, select_best_resolution
from xf_vision.sizes import VALID_SIZE_DICT_KEYS, convert_to_size_dict, get_size_dict, is_valid_size_dict

__all__ = [
    "VALID_SIZE_DICT_KEYS",
    "BaseImageProcessor",
    "BatchFeature",
    "ImageProcessingMixin",
    "convert_to_size_dict",
    "get_patch_output_size",
    "get_size_dict",
    "is_valid_size_dict",
    "select_best_resolution",
]


class BaseImageProcessor(ImageProcessingMixin):
    """Base class of image processors: calling one runs its `preprocess`, which subclasses write.

    Keeps no state per call, so one object may serve several threads.
    """

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """Preprocess one image or a batch; see `preprocess` of the class."""
        return self.preprocess(images, *args, **kwargs)

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """Images to the inputs of a model."""
        raise NotImplementedError(f"{type(self).__name__} must implement preprocess().")

    def rescale(
        self,
        image: np.ndarray,
        scale: float,
        data_format: str | ChannelDimension | None = None,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """`image * scale` as float32."""
        return rescale(image, scale=scale, data_format=data_format, input_data_format=input_data_format, **kwargs)

    def normalize(
        self,
        image: np.ndarray,
        mean: float | Iterable[float],
        std: float | Iterable[float],
        data_format: str | ChannelDimension | None = None,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """(image - mean) / std per channel."""
        return normalize(
            image,
            mean=mean,  # type: ignore[arg-type]
            std=std,  # type: ignore[arg-type]
            data_format=data_format,
            input_data_format=input_data_format,
            **kwargs,
        )

    def center_crop(
        self,
        image: np.ndarray,
        size: dict[str, int],
        data_format: str | ChannelDimension | None = None,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Cut `size["height"]` x `size["width"]` from the centre, on zeros where the image is smaller."""
        size = get_size_dict(size)
        if "height" not in size or "width" not in size:
            raise ValueError(f"Cropping needs a size with height and width, got {size}.")
        return center_crop(
            image,
            size=(size["height"], size["width"]),
            data_format=data_format,
            input_data_format=input_data_format,
            **kwargs,
        )
