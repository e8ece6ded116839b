"""The base of image processors that work on batches of torch tensors, on any device.

The documented class is built on torchvision; this one needs torch alone and gives the same pixels (see
`xf_vision.torch_transforms`). A subclass states its defaults as class attributes, and overrides a step or `_preprocess`
where it does something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch
from torch import Tensor

from xf_processing import BatchFeature
from xf_vision import torch_transforms as transforms
from xf_vision.argument_checks import check_size_values, validate_kwargs, validate_preprocess_arguments
from xf_vision.channels import convert_to_rgb
from xf_vision.grouping import group_images_by_shape, reorder_images
from xf_vision.image_layout import get_image_size_for_max_height_width, infer_channel_dimension_format
from xf_vision.image_lists import make_flat_list_of_images
from xf_vision.image_processing_utils import BaseImageProcessor
from xf_vision.image_types import ChannelDimension, SizeDict, get_image_type, is_pil_image, is_torch_tensor
from xf_vision.patches import divide_to_patches
from xf_vision.resizing import (
    get_max_height_width,
    get_resize_output_image_size,
    get_size_with_aspect_ratio,
    max_across_indices,
)
from xf_vision.sizes import get_size_dict

__all__ = [
    "BaseImageProcessorFast",
    "DefaultFastImageProcessorKwargs",
    "divide_to_patches",
    "get_max_height_width",
    "group_images_by_shape",
    "max_across_indices",
    "reorder_images",
    "safe_squeeze",
]


class DefaultFastImageProcessorKwargs(TypedDict, total=False):
    """Settings of every fast processor: of its constructor, of its file, and of a call. A subclass may add its own."""

    do_resize: bool | None
    size: dict[str, int] | None
    default_to_square: bool | None
    resample: Any
    do_center_crop: bool | None
    crop_size: dict[str, int] | None
    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: float | list[float] | None
    image_std: float | list[float] | None
    do_convert_rgb: bool | None
    return_tensors: Any
    data_format: ChannelDimension | None
    input_data_format: str | ChannelDimension | None
    device: Any
    disable_grouping: bool | None


def safe_squeeze(tensor: Tensor, axis: int | None = None) -> Tensor:
    """Drop `axis` if its length is 1, else leave the tensor; all such axes if no axis is given."""
    if axis is None:
        return tensor.squeeze()
    return tensor.squeeze(axis)


class BaseImageProcessorFast(BaseImageProcessor):
    """Base class of tensor image processors: RGB, resize, centre crop, rescale, normalize, stack.

    Each setting is a class attribute (its default), an argument of the constructor, and an argument of a call.
    """

    resample: Any = None
    image_mean: Any = None
    image_std: Any = None
    size: Any = None
    default_to_square: bool | None = True
    crop_size: Any = None
    do_resize: bool | None = None
    do_center_crop: bool | None = None
    do_rescale: bool | None = None
    rescale_factor: float = 1 / 255
    do_normalize: bool | None = None
    do_convert_rgb: bool | None = None
    return_tensors: Any = None
    data_format: Any = ChannelDimension.FIRST
    input_data_format: Any = None
    device: Any = None
    model_input_names: list[str] = ["pixel_values"]
    valid_kwargs: ClassVar[Any] = DefaultFastImageProcessorKwargs
    unused_kwargs: ClassVar[list[str] | None] = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**self.filter_out_unused_kwargs(kwargs))
        size = kwargs.pop("size", self.size)
        square = kwargs.pop("default_to_square", self.default_to_square)
        self.size = get_size_dict(size, default_to_square=bool(square)) if size is not None else None
        crop_size = kwargs.pop("crop_size", self.crop_size)
        self.crop_size = get_size_dict(crop_size, param_name="crop_size") if crop_size is not None else None
        self.default_to_square = square
        for name in self._setting_names():
            if name not in ("size", "crop_size", "default_to_square"):
                value = kwargs.get(name)
                default = getattr(self, name, None)
                # a list of the class must not be changed through an instance
                copied = (
                    list(default)
                    if isinstance(default, list)
                    else dict(default)
                    if isinstance(default, dict)
                    else default
                )
                setattr(self, name, value if value is not None or name in kwargs else copied)

    @classmethod
    def _setting_names(cls) -> list[str]:
        """Names of all settings: those of the base, then those that a subclass adds."""
        names: dict[str, None] = {}
        for kind in (DefaultFastImageProcessorKwargs, cls.valid_kwargs):
            names |= dict.fromkeys(kind.__annotations__)
        return list(names)

    def filter_out_unused_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Drop the arguments that the class says it does not use."""
        for name in self.unused_kwargs or ():
            kwargs.pop(name, None)
        return kwargs

    # --- single steps, each on (..., C, H, W)

    def resize(
        self, image: Tensor, size: SizeDict, interpolation: Any = None, antialias: bool = True, **kwargs: Any
    ) -> Tensor:
        """Resize to `size`: height and width; a shortest edge (and longest at most); or a box to fit in."""
        mode = transforms.interpolation_mode(interpolation) or transforms.InterpolationMode.BILINEAR
        image_size = (image.shape[-2], image.shape[-1])
        if size.shortest_edge and size.longest_edge:
            new_size = get_size_with_aspect_ratio(image_size, size.shortest_edge, size.longest_edge)
        elif size.shortest_edge:
            new_size = get_resize_output_image_size(
                image, size=size.shortest_edge, default_to_square=False, input_data_format=ChannelDimension.FIRST
            )
        elif size.max_height and size.max_width:
            new_size = get_image_size_for_max_height_width(image_size, size.max_height, size.max_width)
        elif size.height and size.width:
            new_size = (size.height, size.width)
        else:
            raise ValueError(
                "`size` must hold height and width, max_height and max_width, or shortest_edge, got "
                f"{get_size_dict(size)}."
            )
        return transforms.resize(image, new_size, interpolation=mode, antialias=antialias)

    def rescale(self, image: Tensor, scale: float, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """`image * scale`."""
        return image * scale

    def normalize(  # type: ignore[override]
        self, image: Tensor, mean: float | Iterable[float], std: float | Iterable[float], **kwargs: Any
    ) -> Tensor:
        """(image - mean) / std per channel."""
        return transforms.normalize(image, mean, std)

    def rescale_and_normalize(
        self,
        images: Tensor,
        do_rescale: bool | None,
        rescale_factor: float,
        do_normalize: bool | None,
        image_mean: float | list[float] | None,
        image_std: float | list[float] | None,
    ) -> Tensor:
        """Both steps as one: ((x * factor) - mean) / std = (x - mean / factor) / (std / factor)."""
        if do_rescale and do_normalize:
            factor = 1.0 / rescale_factor
            images = images.to(dtype=torch.float32)
            mean = torch.tensor(image_mean, device=images.device) * factor
            std = torch.tensor(image_std, device=images.device) * factor
            return self.normalize(images, mean, std)  # type: ignore[arg-type]
        if do_normalize:
            return self.normalize(images.to(dtype=torch.float32), image_mean, image_std)  # type: ignore[arg-type]
        return self.rescale(images, rescale_factor) if do_rescale else images

    def center_crop(self, image: Tensor, size: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Cut height and width from the centre, on zeros where the image is smaller."""
        if size.height is None or size.width is None:
            raise ValueError(f"Cropping needs a size with height and width, got {get_size_dict(size)}.")
        return transforms.center_crop(image, (size.height, size.width))

    def convert_to_rgb(self, image: Any) -> Any:
        """A PIL image as RGB; anything else as it is."""
        return convert_to_rgb(image)

    # --- a call

    def _prepare_images_structure(self, images: Any, expected_ndims: int = 3) -> Any:
        return make_flat_list_of_images(images, expected_ndims=expected_ndims)

    def _process_image(
        self,
        image: Any,
        do_convert_rgb: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        device: Any = None,
    ) -> Tensor:
        """One image of any kind as a tensor (C, H, W) on `device`."""
        get_image_type(image)
        if do_convert_rgb:
            image = self.convert_to_rgb(image)
        if is_pil_image(image):
            tensor, layout = transforms.pil_to_tensor(image), ChannelDimension.FIRST
            if input_data_format is None and tensor.shape[0] not in (1, 3):
                raise ValueError(
                    f"The image has mode {image.mode}, {tensor.shape[0]} channels; pass do_convert_rgb=True, or "
                    "input_data_format to keep them."
                )
        else:
            tensor = image if is_torch_tensor(image) else torch.from_numpy(np.ascontiguousarray(image))
            if tensor.ndim == 2:
                tensor, layout = tensor.unsqueeze(0), ChannelDimension.FIRST
            else:
                layout = ChannelDimension(input_data_format or infer_channel_dimension_format(tensor))
        if layout == ChannelDimension.LAST:
            tensor = tensor.movedim(-1, -3).contiguous()
        return tensor if device is None else tensor.to(device)

    def _prepare_image_like_inputs(
        self,
        images: Any,
        do_convert_rgb: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        device: Any = None,
        expected_ndims: int = 3,
    ) -> Any:
        """All images as tensors (C, H, W) on `device`, keeping one level of nesting."""
        images = self._prepare_images_structure(images, expected_ndims=expected_ndims)
        if len(images) == 0:
            raise ValueError("There are no images: the list is empty.")

        def prepare(image: Any) -> Tensor:
            return self._process_image(image, do_convert_rgb, input_data_format, device)

        if images and isinstance(images[0], (list, tuple)):
            return [[prepare(image) for image in group] for group in images]
        return [prepare(image) for image in images]

    def _further_process_kwargs(
        self,
        size: Any = None,
        crop_size: Any = None,
        default_to_square: bool | None = None,
        image_mean: Any = None,
        image_std: Any = None,
        data_format: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Settings of a call in their final types: sizes as SizeDict, statistics as tuples."""
        if size is not None:
            size = SizeDict(**get_size_dict(size, default_to_square=bool(default_to_square)))
        if crop_size is not None:
            crop_size = SizeDict(**get_size_dict(crop_size, param_name="crop_size"))
        return kwargs | {
            "size": size,
            "crop_size": crop_size,
            "default_to_square": default_to_square,
            "image_mean": tuple(image_mean) if isinstance(image_mean, list) else image_mean,
            "image_std": tuple(image_std) if isinstance(image_std, list) else image_std,
            "data_format": ChannelDimension.FIRST if data_format is None else ChannelDimension(data_format),
        }

    def _validate_preprocess_kwargs(self, **kwargs: Any) -> None:
        """ValueError if a step lacks what it needs, or the result is asked for in a layout that is not made here."""
        names = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "do_resize", "size")
        names += ("do_center_crop", "crop_size", "resample")
        validate_preprocess_arguments(**{name: kwargs.get(name) for name in names})
        for name in ("pad_size", "mask_size", "mask_pad_size"):
            if kwargs.get(name) is not None:
                check_size_values(name, kwargs[name])
        if kwargs.get("data_format") not in (None, ChannelDimension.FIRST):
            raise ValueError("Fast image processors return channels first; leave data_format out.")

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """Images to the inputs of a model.

        `images`: one or a batch of PIL images, arrays or tensors, with values in 0..255 (set `do_rescale=False` for
        0..1). Every setting of the class may be given for this call. Returns `pixel_values`: a list of (C, H, W)
        tensors, or one tensor (B, C, H, W) with `return_tensors="pt"`.
        """
        names = self._setting_names()
        validate_kwargs(valid_processor_keys=names, captured_kwargs=list(kwargs))
        for name in names:
            kwargs.setdefault(name, getattr(self, name, None))
        do_convert_rgb, layout, device = (
            kwargs.pop(name) for name in ("do_convert_rgb", "input_data_format", "device")
        )
        kwargs = self._further_process_kwargs(**kwargs)
        self._validate_preprocess_kwargs(**kwargs)
        kwargs["interpolation"] = transforms.interpolation_mode(kwargs.pop("resample"))
        kwargs.pop("default_to_square")
        kwargs.pop("data_format")
        return self._preprocess_image_like_inputs(
            images, *args, do_convert_rgb=do_convert_rgb, input_data_format=layout, device=device, **kwargs
        )

    def _preprocess_image_like_inputs(
        self,
        images: Any,
        *args: Any,
        do_convert_rgb: bool | None,
        input_data_format: Any,
        device: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Tensors of the images, then `_preprocess`; overridden by processors with a second kind of input."""
        tensors = self._prepare_image_like_inputs(images, do_convert_rgb, input_data_format, device)
        return self._preprocess(tensors, *args, **kwargs)

    def _preprocess(
        self,
        images: list[Tensor],
        do_resize: bool | None,
        size: SizeDict,
        interpolation: Any,
        do_center_crop: bool | None,
        crop_size: SizeDict,
        do_rescale: bool | None,
        rescale_factor: float,
        do_normalize: bool | None,
        image_mean: Any,
        image_std: Any,
        disable_grouping: bool | None,
        return_tensors: Any,
        **kwargs: Any,
    ) -> BatchFeature:
        """The steps, on stacks of images of one size."""
        groups, places = group_images_by_shape(images, disable_grouping)
        if do_resize:
            groups = {key: self.resize(stack, size, interpolation) for key, stack in groups.items()}
        groups, places = group_images_by_shape(reorder_images(groups, places), disable_grouping)
        for key, stack in groups.items():
            if do_center_crop:
                stack = self.center_crop(stack, crop_size)
            groups[key] = self.rescale_and_normalize(
                stack, do_rescale, rescale_factor, do_normalize, image_mean, image_std
            )
        pixels = reorder_images(groups, places)
        if return_tensors is not None:
            pixels = stack_images(pixels, "pixel_values")
        return BatchFeature({"pixel_values": pixels}, tensor_type=return_tensors)


def stack_images(images: list[Tensor], name: str) -> Tensor:
    """One tensor of equally large images; ValueError, with the sizes, if they are not."""
    sizes = sorted({tuple(image.shape) for image in images})
    if len(sizes) > 1:
        shown = ", ".join("x".join(map(str, size)) for size in sizes[:4])
        raise ValueError(
            f"Cannot stack {name}: the images differ in size ({shown}). Give a size with height and width, crop or pad "
            "them, or leave return_tensors out."
        )
    return torch.stack(images, dim=0)
