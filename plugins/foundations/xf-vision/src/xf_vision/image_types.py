"""What counts as an image, and the small vocabulary shared by every image function: enums, statistics, sizes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import PIL.Image

if TYPE_CHECKING:
    import torch

# Channel statistics in RGB order, for pixel values in 0..1. DEFAULT: measured on the ImageNet training set
# (torchvision model zoo); STANDARD: maps 0..1 to -1..1; OPENAI_CLIP: the CLIP release, https://github.com/openai/CLIP.
IMAGENET_DEFAULT_MEAN = [0.485, 0.456, 0.406]
IMAGENET_DEFAULT_STD = [0.229, 0.224, 0.225]
IMAGENET_STANDARD_MEAN = [0.5, 0.5, 0.5]
IMAGENET_STANDARD_STD = [0.5, 0.5, 0.5]
OPENAI_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]

PILImageResampling = PIL.Image.Resampling

ImageInput: TypeAlias = Union[
    "PIL.Image.Image",
    np.ndarray,
    "torch.Tensor",
    list["PIL.Image.Image"],
    list[np.ndarray],
    list["torch.Tensor"],
]


class ExplicitEnum(str, Enum):
    """A string enum whose error for an unknown value lists the known ones."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        known = ", ".join(repr(member.value) for member in cls)
        raise ValueError(f"{value!r} is not a valid {cls.__name__}; choose one of {known}")


class ChannelDimension(ExplicitEnum):
    """Where the channel axis of an image is: (C, H, W) or (H, W, C)."""

    FIRST = "channels_first"
    LAST = "channels_last"


class AnnotationFormat(ExplicitEnum):
    """The two COCO layouts of training targets."""

    COCO_DETECTION = "coco_detection"
    COCO_PANOPTIC = "coco_panoptic"


class AnnotionFormat(ExplicitEnum):
    """The former, misspelt name of `AnnotationFormat`, kept for code that still imports it."""

    COCO_DETECTION = AnnotationFormat.COCO_DETECTION.value
    COCO_PANOPTIC = AnnotationFormat.COCO_PANOPTIC.value


class ImageType(ExplicitEnum):
    """The library an image object belongs to. xf itself works with the first three."""

    PIL = "pillow"
    TORCH = "torch"
    NUMPY = "numpy"
    TENSORFLOW = "tensorflow"
    JAX = "jax"


@dataclass(frozen=True)
class SizeDict:
    """A hashable size; exactly the keys that are not None are meant. Units: pixels."""

    height: int | None = None
    width: int | None = None
    longest_edge: int | None = None
    shortest_edge: int | None = None
    max_height: int | None = None
    max_width: int | None = None

    def __getitem__(self, key: str) -> int | None:
        if key not in self.__dataclass_fields__:
            raise KeyError(f"SizeDict has no key {key!r}; it has {', '.join(self.__dataclass_fields__)}")
        value: int | None = getattr(self, key)
        return value


def is_torch_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor, without importing torch: where torch is not loaded, nothing is a tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_pil_image(img: object) -> bool:
    """Whether `img` is a PIL image."""
    return isinstance(img, PIL.Image.Image)


def get_image_type(image: object) -> ImageType:
    """The `ImageType` of a single image; ValueError for anything that is no image."""
    if is_pil_image(image):
        return ImageType.PIL
    if is_torch_tensor(image):
        return ImageType.TORCH
    if isinstance(image, np.ndarray):
        return ImageType.NUMPY
    raise ValueError(f"Not an image: {type(image).__name__}. Pass a PIL image, a NumPy array or a torch tensor.")


def is_valid_image(img: object) -> bool:
    """Whether `img` is a PIL image, NumPy array or torch tensor."""
    return is_pil_image(img) or isinstance(img, np.ndarray) or is_torch_tensor(img)


def is_valid_list_of_images(images: Any) -> bool:
    """Whether `images` is a list of images that is not empty."""
    return bool(images) and all(is_valid_image(image) for image in images)


def valid_images(imgs: Any) -> bool:
    """Whether `imgs` is an image or an arbitrarily nested list of images."""
    if isinstance(imgs, (list, tuple)):
        return all(valid_images(img) for img in imgs)
    return is_valid_image(imgs)


def is_batched(img: Any) -> bool:
    """Whether `img` is a list whose first entry is an image."""
    return isinstance(img, (list, tuple)) and is_valid_image(img[0])


def to_numpy_array(img: Any) -> np.ndarray:
    """`img` as a NumPy array of its own layout and dtype; a PIL image becomes (H, W) or (H, W, C)."""
    if not is_valid_image(img):
        raise ValueError(f"Not an image: {type(img).__name__}. Pass a PIL image, a NumPy array or a torch tensor.")
    if is_torch_tensor(img):
        return np.asarray(img.detach().cpu().numpy())
    return np.array(img) if is_pil_image(img) else img
