"""The image processor of SAM: the longer edge to 1024 pixels, normalized, padded below and to the right."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from xf import logging
from xf_plugin_sam.coordinates import resized_shape
from xf_plugin_sam.postprocessing import SamPostProcessingMixin
from xf_processing import BatchFeature
from xf_vision.argument_checks import check_size_values, validate_preprocess_arguments
from xf_vision.image_layout import get_image_size, infer_channel_dimension_format, is_scaled_image
from xf_vision.image_lists import make_flat_list_of_images, make_list_of_images
from xf_vision.image_processing_utils import BaseImageProcessor
from xf_vision.image_transforms import convert_to_rgb, pad, resize, to_channel_dimension_format
from xf_vision.image_types import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    ChannelDimension,
    PILImageResampling,
    to_numpy_array,
)
from xf_vision.sizes import get_size_dict

logger = logging.get_logger(__name__)


class SamImageProcessor(SamPostProcessingMixin, BaseImageProcessor):
    """Images and segmentation maps to the inputs of `SamModel`, and its masks back to the size of the images.

    Each argument is a setting that a call may replace:

    - `size`, `mask_size`: {"longest_edge": pixels} of images and of segmentation maps;
    - `pad_size`, `mask_pad_size`: {"height", "width"} that they are padded to with zeros;
    - `resample`: Pillow's filter; `rescale_factor`, `image_mean`, `image_std`: x * factor, then (x - mean) / std;
    - `do_resize`, `do_rescale`, `do_normalize`, `do_pad`, `do_convert_rgb`: which steps are done.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(
        self,
        do_resize: bool = True,
        size: dict[str, int] | None = None,
        mask_size: dict[str, int] | None = None,
        resample: PILImageResampling = PILImageResampling.BILINEAR,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        do_pad: bool = True,
        pad_size: int | dict[str, int] | None = None,
        mask_pad_size: int | dict[str, int] | None = None,
        do_convert_rgb: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.do_resize = do_resize
        self.size = _edge(size, "size", 1024)
        self.mask_size = _edge(mask_size, "mask_size", 256)
        self.resample = resample
        self.do_rescale, self.rescale_factor = do_rescale, rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = image_mean if image_mean is not None else list(IMAGENET_DEFAULT_MEAN)
        self.image_std = image_std if image_std is not None else list(IMAGENET_DEFAULT_STD)
        self.do_pad = do_pad
        self.pad_size = _square(pad_size, "pad_size", 1024)
        self.mask_pad_size = _square(mask_pad_size, "mask_pad_size", 256)
        self.do_convert_rgb = do_convert_rgb

    def pad_image(
        self,
        image: np.ndarray,
        pad_size: dict[str, int],
        data_format: str | ChannelDimension | None = None,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Zeros below and to the right, up to `pad_size`. ValueError if the image is larger."""
        height, width = get_image_size(image, input_data_format)
        below, right = pad_size["height"] - height, pad_size["width"] - width
        if below < 0 or right < 0:
            raise ValueError(
                f"An image of {height} x {width} pixels cannot be padded to {pad_size['height']} x "
                f"{pad_size['width']}: make the pad size at least as large as `size`."
            )
        return pad(
            image, ((0, below), (0, right)), data_format=data_format, input_data_format=input_data_format, **kwargs
        )

    def resize(
        self,
        image: np.ndarray,
        size: dict[str, int],
        resample: PILImageResampling = PILImageResampling.BICUBIC,
        data_format: str | ChannelDimension | None = None,
        input_data_format: str | ChannelDimension | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Resize so that the longer edge has `size["longest_edge"]` pixels."""
        target = self._get_preprocess_shape(
            get_image_size(image, input_data_format), _edge(size, "size", 0)["longest_edge"]
        )
        resized: np.ndarray = resize(
            image, target, resample=resample, data_format=data_format, input_data_format=input_data_format, **kwargs
        )
        return resized

    def _get_preprocess_shape(self, old_shape: tuple[int, int], longest_edge: int) -> tuple[int, int]:
        return resized_shape(*old_shape, longest_edge)

    def __call__(self, images: Any, segmentation_maps: Any = None, **kwargs: Any) -> BatchFeature:
        """Preprocess one image or a batch, see `preprocess`."""
        return self.preprocess(images, segmentation_maps=segmentation_maps, **kwargs)

    def preprocess(
        self,
        images: Any,
        segmentation_maps: Any = None,
        do_resize: bool | None = None,
        size: dict[str, int] | None = None,
        mask_size: dict[str, int] | None = None,
        resample: PILImageResampling | None = None,
        do_rescale: bool | None = None,
        rescale_factor: float | None = None,
        do_normalize: bool | None = None,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        do_pad: bool | None = None,
        pad_size: dict[str, int] | None = None,
        mask_pad_size: dict[str, int] | None = None,
        do_convert_rgb: bool | None = None,
        return_tensors: Any = None,
        data_format: str | ChannelDimension = ChannelDimension.FIRST,
        input_data_format: str | ChannelDimension | None = None,
    ) -> BatchFeature:
        """One or several images, with values in 0..255 (set `do_rescale=False` for 0..1), as inputs of the model.

        Returns `pixel_values` (B, 3, Y, X), `original_sizes` and `reshaped_input_sizes` (B, 2) as (height, width), and
        `labels` (B, y, x) int64 if `segmentation_maps` are given, one per image.
        """
        settings = self._settings(
            do_resize=do_resize, size=_maybe(_edge, size, "size"), mask_size=_maybe(_edge, mask_size, "mask_size"),
            resample=resample, do_rescale=do_rescale, rescale_factor=rescale_factor, do_normalize=do_normalize,
            image_mean=image_mean, image_std=image_std, do_pad=do_pad, pad_size=_maybe(_square, pad_size, "pad_size"),
            mask_pad_size=_maybe(_square, mask_pad_size, "mask_pad_size"), do_convert_rgb=do_convert_rgb,
        )  # fmt: skip
        names = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
        names += ("do_resize", "size", "resample")
        validate_preprocess_arguments(**{name: settings[name] for name in names})
        images = make_flat_list_of_images(images)
        if len(images) == 0:
            raise ValueError("There are no images: the list is empty.")
        prepared = [self._prepare_image(image, settings, data_format, input_data_format) for image in images]
        pixels, originals, reshaped = zip(*prepared, strict=True)
        data = {"pixel_values": pixels, "original_sizes": originals, "reshaped_input_sizes": reshaped}
        if segmentation_maps is not None:
            maps = make_list_of_images(segmentation_maps, expected_ndims=2)
            if len(maps) != len(images):
                raise ValueError(f"There are {len(images)} images, but {len(maps)} segmentation maps.")
            labels = [self._prepare_map(entry, settings, input_data_format) for entry in maps]
            for i, (_, size_of_map) in enumerate(labels):
                if size_of_map != originals[i]:
                    raise ValueError(f"Segmentation map {i} is {size_of_map} large, but its image {originals[i]}.")
            data["labels"] = tuple(label for label, _ in labels)
        return BatchFeature(data, tensor_type=return_tensors)

    def _settings(self, **given: Any) -> dict[str, Any]:
        return {name: getattr(self, name) if value is None else value for name, value in given.items()}

    def _prepare_image(
        self, image: Any, settings: dict[str, Any], data_format: Any, input_data_format: Any
    ) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
        """The prepared image, its size before and its size after resizing."""
        array = to_numpy_array(convert_to_rgb(image) if settings["do_convert_rgb"] else image)
        if settings["do_rescale"] and is_scaled_image(array):
            logger.warning_once(
                "The images seem to be scaled to 0..1 already; pass do_rescale=False, or they are scaled again."
            )
        layout = ChannelDimension(input_data_format or infer_channel_dimension_format(array))
        original = get_image_size(array, layout)
        if settings["do_resize"]:
            array = self.resize(array, settings["size"], settings["resample"], input_data_format=layout)
        reshaped = get_image_size(array, layout)
        if settings["do_rescale"]:
            array = self.rescale(array, settings["rescale_factor"], input_data_format=layout)
        if settings["do_normalize"]:
            array = self.normalize(array, settings["image_mean"], settings["image_std"], input_data_format=layout)
        if settings["do_pad"]:
            array = self.pad_image(array, settings["pad_size"], input_data_format=layout)
        return to_channel_dimension_format(array, data_format, layout), original, reshaped

    def _prepare_map(
        self, segmentation_map: Any, settings: dict[str, Any], input_data_format: Any
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """The prepared map (y, x), or (1, y, x) if it came with a channel axis, int64, and its size before."""
        array = to_numpy_array(segmentation_map)
        has_channel = array.ndim == 3
        if not has_channel:
            array, layout = array[None, ...], ChannelDimension.FIRST
        else:
            layout = ChannelDimension(input_data_format or infer_channel_dimension_format(array, num_channels=1))
        original = get_image_size(array, layout)
        if settings["do_resize"]:  # nearest: class numbers must not be mixed
            array = self.resize(array, settings["mask_size"], PILImageResampling.NEAREST, input_data_format=layout)
        if settings["do_pad"]:
            array = self.pad_image(array, settings["mask_pad_size"], input_data_format=layout)
        array = to_channel_dimension_format(array, ChannelDimension.FIRST, layout).astype(np.int64)
        return array if has_channel else array[0], original


def _edge(size: Any, name: str, default: int) -> dict[str, int]:
    """A size dict with a longest edge."""
    if size is None:
        return {"longest_edge": default}
    size = get_size_dict(size, max_size=size, default_to_square=False) if not isinstance(size, dict) else size
    if "longest_edge" not in size:
        raise ValueError(f"`{name}` must hold longest_edge, got {size}.")
    check_size_values(name, size)
    return dict(size)


def _square(size: Any, name: str, default: int) -> dict[str, int]:
    """A size dict with height and width; a number means both."""
    if size is None:
        return {"height": default, "width": default}
    size = get_size_dict(size, default_to_square=True, param_name=name)
    if "height" not in size or "width" not in size:
        raise ValueError(f"`{name}` must hold height and width, got {size}.")
    check_size_values(name, size)
    return dict(size)


def _maybe(convert: Any, size: Any, name: str) -> Any:
    return None if size is None else convert(size, name, 0)
