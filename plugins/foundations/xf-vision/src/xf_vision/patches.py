"""Cutting an image into square patches and choosing a canvas for them (LLaVA-NeXT's any-resolution inputs)."""

from __future__ import annotations

from typing import Any

from xf_vision.image_layout import get_image_size
from xf_vision.image_types import ChannelDimension


def divide_to_patches(
    image: Any, patch_size: int, input_data_format: ChannelDimension | str = ChannelDimension.FIRST
) -> list[Any]:
    """Patches of `patch_size` x `patch_size` pixels, row by row; those at the right and bottom edges may be smaller."""
    height, width = get_image_size(image, input_data_format)
    patches = []
    for top in range(0, height, patch_size):
        for left in range(0, width, patch_size):
            rows, columns = slice(top, top + patch_size), slice(left, left + patch_size)
            if ChannelDimension(input_data_format) == ChannelDimension.LAST:
                patches.append(image[rows, columns])
            else:
                patches.append(image[:, rows, columns])
    return patches


def select_best_resolution(
    original_size: tuple[int, int], possible_resolutions: list[tuple[int, int]]
) -> tuple[int, int]:
    """The (height, width) that keeps most of the image's pixels, and among equals wastes the least area.

    Source: LLaVA-NeXT (https://llava-vl.github.io/blog/2024-01-30-llava-next/), "AnyRes".
    """
    height, width = original_size
    if not possible_resolutions:
        raise ValueError("`possible_resolutions` is empty; at least one (height, width) is needed.")

    def usefulness(resolution: tuple[int, int]) -> tuple[int, int]:
        scale = min(resolution[1] / width, resolution[0] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - resolution[0] * resolution[1]

    return max(possible_resolutions, key=usefulness)


def get_patch_output_size(
    image: Any, target_resolution: tuple[int, int], input_data_format: ChannelDimension | str | None
) -> tuple[int, int]:
    """The (height, width) of the image fitted into `target_resolution` with its aspect ratio kept, rounded up."""
    height, width = get_image_size(image, input_data_format)
    target_height, target_width = target_resolution
    scale_width, scale_height = target_width / width, target_height / height
    if scale_width < scale_height:
        return min(-int(-height * scale_width // 1), target_height), target_width
    return target_height, min(-int(-width * scale_height // 1), target_width)
