"""Sizes and coordinates of an image that is resized so that its longer edge has a given length."""

from __future__ import annotations

from typing import Any

import numpy as np


def resized_shape(height: int, width: int, longest_edge: int) -> tuple[int, int]:
    """(height, width) with the longer edge of the given length, rounded to whole pixels."""
    scale = longest_edge * 1.0 / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def scale_coordinates(coordinates: np.ndarray, original_size: Any, target_size: int) -> np.ndarray:
    """Points (..., 2) x, y in pixels of the original (height, width), as pixels of the resized image; float64."""
    height, width = (int(v) for v in original_size)
    new_height, new_width = resized_shape(height, width, target_size)
    scaled = np.array(coordinates, dtype=np.float64)
    scaled[..., 0] *= new_width / width
    scaled[..., 1] *= new_height / height
    return scaled
