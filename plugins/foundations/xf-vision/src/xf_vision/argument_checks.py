"""Checks of an image processor's arguments before any pixel is touched."""

from __future__ import annotations

import math
from typing import Any

from xf import logging
from xf_vision.image_types import PILImageResampling

logger = logging.get_logger(__name__)


def validate_kwargs(valid_processor_keys: list[str], captured_kwargs: list[str]) -> None:
    """Warn about arguments that the processor will not use."""
    unused = sorted(set(captured_kwargs) - set(valid_processor_keys))
    if unused:
        logger.warning("Ignored arguments of the image processor: %s.", ", ".join(unused))


def check_statistics(name: str, value: float | list[float] | tuple[float, ...] | None, positive: bool = False) -> None:
    """ValueError if a mean or standard deviation is not finite (or, where `positive`, zero or less)."""
    for entry in [] if value is None else value if hasattr(value, "__iter__") else [value]:
        if not math.isfinite(float(entry)) or (positive and float(entry) == 0):
            raise ValueError(f"`{name}` must hold finite{' non-zero' if positive else ''} numbers, got {value}.")


def check_size_values(name: str, size: Any) -> None:
    """ValueError if a size dict (or SizeDict) holds something that is no positive whole number of pixels."""
    if isinstance(size, (int, float)):
        entries = {name: size}
    elif isinstance(size, (list, tuple)):
        entries = {f"{name}[{i}]": entry for i, entry in enumerate(size)}
    else:
        entries = dict(size) if hasattr(size, "keys") else dict(vars(size))
    for key, value in entries.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) and not hasattr(value, "__index__"):
            raise ValueError(f"`{name}`: {key} must be a number of pixels, got {value!r}.")
        if not math.isfinite(value) or value <= 0:
            raise ValueError(f"`{name}`: {key} must be a positive finite number of pixels, got {value}.")


def validate_preprocess_arguments(
    do_rescale: bool | None = None,
    rescale_factor: float | None = None,
    do_normalize: bool | None = None,
    image_mean: float | list[float] | None = None,
    image_std: float | list[float] | None = None,
    do_pad: bool | None = None,
    size_divisibility: int | None = None,
    do_center_crop: bool | None = None,
    crop_size: dict[str, int] | None = None,
    do_resize: bool | None = None,
    size: dict[str, int] | None = None,
    resample: PILImageResampling | None = None,
) -> None:
    """ValueError if a step is switched on and what it needs is missing or no usable number."""
    needs = (
        ("do_rescale", do_rescale, {"rescale_factor": rescale_factor}),
        ("do_pad", do_pad, {"size_divisibility": size_divisibility}),
        ("do_normalize", do_normalize, {"image_mean": image_mean, "image_std": image_std}),
        ("do_center_crop", do_center_crop, {"crop_size": crop_size}),
        ("do_resize", do_resize, {"size": size, "resample": resample}),
    )
    for switch, on, values in needs:
        missing = [name for name, value in values.items() if value is None]
        if on and missing:
            raise ValueError(f"`{switch}` is on, but {' and '.join(f'`{m}`' for m in missing)} is not set.")
    if do_rescale and not math.isfinite(float(rescale_factor or 0.0)):
        raise ValueError(f"`rescale_factor` must be a finite number, got {rescale_factor}.")
    if do_normalize:
        check_statistics("image_mean", image_mean)
        check_statistics("image_std", image_std, positive=True)
    if do_center_crop:
        check_size_values("crop_size", crop_size)
    if do_resize:
        check_size_values("size", size)
