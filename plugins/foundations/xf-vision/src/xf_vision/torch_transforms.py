"""Image transforms on tensors (..., C, H, W), by torch alone.

They give what the functions of the same purpose in torchvision's `transforms.v2.functional` give for tensors, bit for
bit on the CPU (compared with torchvision 0.28 over all modes and dtypes).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xf_vision.image_types import PILImageResampling


class InterpolationMode(Enum):
    """Filters by torchvision's names. Torch has neither box nor hamming, and lanczos since 2.13, on the CPU alone."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_FROM_PIL = {
    PILImageResampling.NEAREST: InterpolationMode.NEAREST_EXACT,
    PILImageResampling.BILINEAR: InterpolationMode.BILINEAR,
    PILImageResampling.BICUBIC: InterpolationMode.BICUBIC,
    PILImageResampling.BOX: InterpolationMode.BOX,
    PILImageResampling.HAMMING: InterpolationMode.HAMMING,
    PILImageResampling.LANCZOS: InterpolationMode.LANCZOS,
}
_TENSOR_MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos")
_OVERSHOOTING = (InterpolationMode.BICUBIC, InterpolationMode.LANCZOS)


def interpolation_mode(resample: Any) -> InterpolationMode | None:
    """The mode of Pillow's filter (or its number), of a name, or of torchvision's enum member of the same value."""
    if resample is None or isinstance(resample, InterpolationMode):
        return resample
    if isinstance(resample, int):
        return _FROM_PIL[PILImageResampling(resample)]
    return InterpolationMode(getattr(resample, "value", resample))


def resize(
    image: Tensor,
    size: tuple[int, int],
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool = True,
) -> Tensor:
    """Resize (..., C, H, W) to (height, width), keeping the dtype; integers are kept in their range.

    `antialias` averages when shrinking, as Pillow does (bilinear, bicubic, lanczos). ValueError for a filter that torch
    lacks.
    """
    mode = interpolation_mode(interpolation) or InterpolationMode.BILINEAR
    if mode.value not in _TENSOR_MODES:
        raise ValueError(
            f"Tensors cannot be resized with the filter {mode.value}; torch has {', '.join(_TENSOR_MODES)}. Use one "
            "of these or a processor that works on PIL images."
        )
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    smooth = mode is InterpolationMode.BILINEAR or mode in _OVERSHOOTING
    if mode is InterpolationMode.LANCZOS and not antialias:
        raise ValueError("The filter lanczos averages always; it needs antialias=True.")
    flat = image.reshape(-1, *image.shape[-3:])
    # torch resizes 8-bit images in whole numbers, which is faster; but with an edge of one pixel the smooth 8-bit
    # kernels of torch 2.13 mistake the memory layout: an internal error, or wrong pixels.
    thin = smooth and 1 in (*image.shape[-2:], *size)
    direct = image.dtype in (torch.float32, torch.float64) or (image.dtype == torch.uint8 and not thin)
    work = flat if direct else flat.to(torch.float32)
    options = {"align_corners": False, "antialias": antialias} if smooth else {}
    if mode is InterpolationMode.LANCZOS:
        del options["align_corners"]
    try:
        out = F.interpolate(work, size=list(size), mode=mode.value, **options)
    except NotImplementedError as error:
        raise ValueError(
            f"torch {torch.__version__} cannot resize with the filter {mode.value} on {image.device.type} ({error}). "
            "Use bicubic, or a processor that works on PIL images."
        ) from error
    if not direct:
        out = _to_dtype(out, image.dtype, mode)
    return out.reshape(*image.shape[:-2], *size)


def _to_dtype(values: Tensor, dtype: torch.dtype, mode: InterpolationMode) -> Tensor:
    if not dtype.is_floating_point and dtype != torch.bool:
        limits = torch.iinfo(dtype)
        values = values.clamp(limits.min, limits.max) if mode in _OVERSHOOTING else values
        # torchvision's rule, which processors of published models were run with: wide unsigned integers are cut
        values = values if dtype in (torch.uint16, torch.uint32, torch.uint64) else values.round()
    return values.to(dtype)


def center_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut (height, width) from the centre; where the image is smaller it is centred on zeros of that size."""
    crop_height, crop_width = size
    height, width = image.shape[-2:]
    if crop_height > height or crop_width > width:
        missing_y, missing_x = max(0, crop_height - height), max(0, crop_width - width)
        left, top = missing_x // 2, missing_y // 2
        image = pad(image, (left, top, missing_x - left, missing_y - top))
        height, width = image.shape[-2:]
    top, left = round((height - crop_height) / 2), round((width - crop_width) / 2)
    return image[..., top : top + crop_height, left : left + crop_width]


def pad(image: Tensor, padding: tuple[int, int, int, int], fill: float = 0, mode: str = "constant") -> Tensor:
    """Pad (..., H, W) by (left, top, right, bottom) pixels; modes: `constant`, `reflect`, `replicate`."""
    left, top, right, bottom = padding
    if mode == "constant":
        return F.pad(image, [left, right, top, bottom], value=fill)
    flat = image.reshape(-1, *image.shape[-3:])
    padded = F.pad(flat, [left, right, top, bottom], mode=mode)
    return padded.reshape(*image.shape[:-2], *padded.shape[-2:])


def normalize(image: Tensor, mean: Any, std: Any) -> Tensor:
    """(image - mean) / std per channel of a float tensor (..., C, H, W). ValueError for integers or a std of zero."""
    if not image.is_floating_point():
        raise ValueError(f"normalize() needs a float tensor, got {image.dtype}; rescale or convert it first.")
    mean_C = torch.as_tensor(mean, dtype=image.dtype, device=image.device)
    std_C = torch.as_tensor(std, dtype=image.dtype, device=image.device)
    if bool((std_C == 0).any()):
        raise ValueError(f"`std` holds a zero after conversion to {image.dtype}: {std}.")
    mean_C = mean_C.reshape(-1, 1, 1) if mean_C.ndim == 1 else mean_C
    std_C = std_C.reshape(-1, 1, 1) if std_C.ndim == 1 else std_C
    return image.sub(mean_C).div_(std_C)


def pil_to_tensor(image: Any) -> Tensor:
    """A PIL image as a uint8 (or wider) tensor (C, H, W), values unchanged."""
    import numpy as np

    array = np.array(image, copy=True)
    array_HWC = array[:, :, None] if array.ndim == 2 else array
    return torch.from_numpy(array_HWC).permute(2, 0, 1).contiguous()
