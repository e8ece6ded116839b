"""The image processor of SAM on torch tensors, for a whole batch at once and on any device."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xf_plugin_sam.coordinates import resized_shape
from xf_plugin_sam.image_processing import _edge, _square
from xf_plugin_sam.postprocessing import SamPostProcessingMixin
from xf_processing import BatchFeature
from xf_vision import torch_transforms as transforms
from xf_vision.grouping import group_images_by_shape, reorder_images
from xf_vision.image_lists import make_flat_list_of_images
from xf_vision.image_processing_utils_fast import (
    BaseImageProcessorFast,
    DefaultFastImageProcessorKwargs,
    stack_images,
)
from xf_vision.image_types import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    PILImageResampling,
    SizeDict,
)


class SamFastImageProcessorKwargs(DefaultFastImageProcessorKwargs, total=False):
    """Settings that SAM adds; see `SamImageProcessor`."""

    mask_size: dict[str, int] | None
    do_pad: bool | None
    pad_size: dict[str, int] | None
    mask_pad_size: dict[str, int] | None


class SamImageProcessorFast(SamPostProcessingMixin, BaseImageProcessorFast):
    """`SamImageProcessor` on tensors; the same settings."""

    resample = PILImageResampling.BILINEAR
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD
    size = {"longest_edge": 1024}
    mask_size: Any = {"longest_edge": 256}
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    do_pad = True
    pad_size: Any = {"height": 1024, "width": 1024}
    mask_pad_size: Any = {"height": 256, "width": 256}
    valid_kwargs: ClassVar[Any] = SamFastImageProcessorKwargs
    _works_on_tensors = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.mask_size = _edge(self.size, "size", 0), _edge(self.mask_size, "mask_size", 0)
        self.pad_size = _square(self.pad_size, "pad_size", 0)
        self.mask_pad_size = _square(self.mask_pad_size, "mask_pad_size", 0)

    def pad_image(self, images: Tensor, pad_size: SizeDict) -> Tensor:
        """Zeros below and to the right of (..., H, W), up to `pad_size`. ValueError if the image is larger."""
        assert pad_size.height is not None and pad_size.width is not None, "checked in _further_process_kwargs"
        below, right = pad_size.height - images.shape[-2], pad_size.width - images.shape[-1]
        if below < 0 or right < 0:
            raise ValueError(
                f"An image of {images.shape[-2]} x {images.shape[-1]} pixels cannot be padded to {pad_size.height} x "
                f"{pad_size.width}: make the pad size at least as large as `size`."
            )
        return F.pad(images, (0, right, 0, below))

    def _get_preprocess_shape(self, old_shape: tuple[int, int], longest_edge: int) -> tuple[int, int]:
        return resized_shape(*old_shape, longest_edge)

    def resize(
        self, image: Tensor, size: SizeDict, interpolation: Any = None, antialias: bool = True, **kwargs: Any
    ) -> Tensor:
        """Resize so that the longer edge has `size.longest_edge` pixels."""
        if not size.longest_edge:
            raise ValueError("`size` must hold longest_edge.")
        target = resized_shape(image.shape[-2], image.shape[-1], size.longest_edge)
        return transforms.resize(image, target, interpolation=interpolation, antialias=antialias)

    def _further_process_kwargs(
        self,
        size: Any = None,
        pad_size: Any = None,
        mask_size: Any = None,
        mask_pad_size: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        sizes = {
            "size": SizeDict(**_edge(size, "size", 1024)),
            "mask_size": SizeDict(**_edge(mask_size, "mask_size", 256)),
            "pad_size": SizeDict(**_square(pad_size, "pad_size", 1024)),
            "mask_pad_size": SizeDict(**_square(mask_pad_size, "mask_pad_size", 256)),
        }
        return super()._further_process_kwargs(**kwargs) | sizes

    def preprocess(self, images: Any, segmentation_maps: Any = None, **kwargs: Any) -> BatchFeature:  # type: ignore[override]
        """Images and segmentation maps to the inputs of the model; see `SamImageProcessor.preprocess`."""
        return super().preprocess(images, segmentation_maps, **kwargs)

    def _preprocess_image_like_inputs(  # type: ignore[override]
        self,
        images: Any,
        segmentation_maps: Any,
        do_convert_rgb: bool | None,
        input_data_format: Any,
        device: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        tensors = self._prepare_image_like_inputs(images, do_convert_rgb, input_data_format, device)
        originals = [tuple(image.shape[-2:]) for image in tensors]
        if kwargs["do_resize"]:
            longest = kwargs["size"].longest_edge
            reshaped = [resized_shape(*size, longest) for size in originals]
        else:
            reshaped = originals
        return_tensors = kwargs["return_tensors"]
        pixels = self._prepared(tensors, **kwargs)
        data = {"pixel_values": pixels, "original_sizes": originals, "reshaped_input_sizes": reshaped}
        if segmentation_maps is not None:
            data["labels"] = self._prepared_maps(segmentation_maps, originals, input_data_format, device, kwargs)
        if return_tensors is not None:
            data |= {name: stack_images(data[name], name) for name in ("pixel_values", "labels") if name in data}
        return BatchFeature(data, tensor_type=return_tensors)

    def _prepared_maps(
        self, maps: Any, originals: list[Any], input_data_format: Any, device: Any, kwargs: dict[str, Any]
    ) -> list[Tensor]:
        """Segmentation maps (y, x), int64: resized by nearest neighbour, never rescaled or normalized."""
        flat = make_flat_list_of_images(maps, expected_ndims=2)
        tensors = [self._process_image(entry, False, input_data_format, device) for entry in flat]
        if [tuple(entry.shape[-2:]) for entry in tensors] != originals:
            raise ValueError("Segmentation maps must be as many and as large as their images.")
        settings = kwargs | {
            "do_rescale": False,
            "do_normalize": False,
            "interpolation": transforms.InterpolationMode.NEAREST_EXACT,
            "size": kwargs["mask_size"],
            "pad_size": kwargs["mask_pad_size"],
        }
        return [entry.squeeze(0).to(torch.int64) for entry in self._prepared(tensors, **settings)]

    def _prepared(
        self,
        images: list[Tensor],
        do_resize: bool | None,
        size: SizeDict,
        interpolation: Any,
        do_rescale: bool | None,
        rescale_factor: float,
        do_normalize: bool | None,
        image_mean: Any,
        image_std: Any,
        do_pad: bool | None,
        pad_size: SizeDict,
        disable_grouping: bool | None,
        **kwargs: Any,
    ) -> list[Tensor]:
        """The steps, on stacks of images of one size."""
        groups, places = group_images_by_shape(images, disable_grouping)
        for key, stack in groups.items():
            if do_resize:
                stack = self.resize(stack, size, interpolation)
            stack = self.rescale_and_normalize(stack, do_rescale, rescale_factor, do_normalize, image_mean, image_std)
            groups[key] = self.pad_image(stack, pad_size) if do_pad else stack
        prepared: list[Tensor] = reorder_images(groups, places)
        return prepared


__all__ = ["SamFastImageProcessorKwargs", "SamImageProcessorFast"]
