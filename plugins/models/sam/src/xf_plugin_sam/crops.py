"""Crops of an image and the grid of points in each, to segment everything (arXiv:2304.02643, appendix D)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xf_plugin_sam.coordinates import scale_coordinates
from xf_vision.image_layout import get_image_size, infer_channel_dimension_format
from xf_vision.image_types import ChannelDimension

PADDING_POINT = -10  # label of points that only fill up a batch


def point_grid(points_per_side: int) -> np.ndarray:
    """Points (n * n, 2), x and y in 0..1, at the centres of a grid of n x n cells."""
    centres = np.linspace(1 / (2 * points_per_side), 1 - 1 / (2 * points_per_side), points_per_side)
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def crop_boxes(height: int, width: int, layers: int, overlap_ratio: float) -> tuple[list[list[int]], list[int]]:
    """Boxes (left, top, right, bottom) of the image and, per layer i, of 4**i overlapping crops; and their layers.

    `overlap_ratio`: overlap of the first layer's crops as a part of the image's shorter edge; it halves per layer.
    """
    boxes, layer_of = [[0, 0, width, height]], [0]
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / per_side))
        crop_width = math.ceil((overlap * (per_side - 1) + width) / per_side)
        crop_height = math.ceil((overlap * (per_side - 1) + height) / per_side)
        for left in [int((crop_width - overlap) * i) for i in range(per_side)]:
            for top in [int((crop_height - overlap) * i) for i in range(per_side)]:
                boxes.append([left, top, min(left + crop_width, width), min(top + crop_height, height)])
                layer_of.append(layer)
    return boxes, layer_of


def cut(image: Any, box: list[int], layout: ChannelDimension) -> Any:
    """The part of an array or tensor inside (left, top, right, bottom)."""
    left, top, right, bottom = box
    if layout == ChannelDimension.LAST:
        return image[top:bottom, left:right, :]
    return image[:, top:bottom, left:right]


def crops_and_points(
    image: Any,
    target_size: int,
    layers: int,
    overlap_ratio: float,
    points_per_crop: int,
    downscale_factor: int,
    input_data_format: Any = None,
) -> tuple[np.ndarray, np.ndarray, list[Any], np.ndarray]:
    """Boxes (K, 4), points (K, N, 1, 2), crops, labels (K, N, 1) of K crops.

    Points are in pixels of the model's input, whose longer edge `target_size` is the longer edge of the crop. A layer
    has `points_per_crop / downscale_factor ** layer` points per side; crops with fewer than N are filled up by points
    with the label -10.
    """
    if points_per_crop < 1 or downscale_factor < 1 or layers < 0:
        raise ValueError(
            "points_per_crop and crop_n_points_downscale_factor must be at least 1 and crop_n_layers at least 0, got "
            f"{points_per_crop}, {downscale_factor} and {layers}."
        )
    layout = ChannelDimension(input_data_format or infer_channel_dimension_format(image))
    boxes, layer_of = crop_boxes(*get_image_size(image, layout), layers, overlap_ratio)
    crops = [cut(image, box, layout) for box in boxes]
    most = points_per_crop**2
    points = np.zeros((len(boxes), most, 1, 2))
    labels = np.full((len(boxes), most, 1), PADDING_POINT, dtype=np.int64)
    for i, (crop, layer) in enumerate(zip(crops, layer_of, strict=True)):
        per_side = int(points_per_crop / downscale_factor**layer)
        if per_side < 1:
            raise ValueError(
                f"Layer {layer} has no points: points_per_crop={points_per_crop}, crop_n_points_downscale_factor="
                f"{downscale_factor}. Use more points, fewer layers or a smaller factor."
            )
        height, width = get_image_size(crop, layout)
        grid = point_grid(per_side) * np.array([width, height])
        points[i, : len(grid), 0] = scale_coordinates(grid, (height, width), target_size)
        labels[i, : len(grid)] = 1
    return np.array(boxes, dtype=np.float32), points, crops, labels
