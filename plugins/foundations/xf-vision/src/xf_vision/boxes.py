"""Bounding-box formats and COCO panoptic colour ids, for NumPy arrays and torch tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from xf_vision.image_types import is_torch_tensor


def _stack_last(columns: list[Any]) -> Any:
    if is_torch_tensor(columns[0]):
        import torch

        return torch.stack(columns, dim=-1)
    return np.stack(columns, axis=-1)


def _check_boxes(boxes: Any) -> None:
    if not (isinstance(boxes, np.ndarray) or is_torch_tensor(boxes)):
        raise ValueError(f"Boxes must be a NumPy array or a torch tensor, got {type(boxes).__name__}.")


def _columns(boxes: Any) -> list[Any]:
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"Boxes must have 4 numbers each on the last axis, got shape {tuple(boxes.shape)}.")
    return [boxes[..., i] for i in range(4)]


def center_to_corners_format(bboxes_center: Any) -> Any:
    """(center x, center y, width, height) to (left, top, right, bottom); shape (..., 4), any one unit."""
    _check_boxes(bboxes_center)
    x, y, width, height = _columns(bboxes_center)
    half_width, half_height = 0.5 * width, 0.5 * height
    return _stack_last([x - half_width, y - half_height, x + half_width, y + half_height])


def corners_to_center_format(bboxes_corners: Any) -> Any:
    """(left, top, right, bottom) to (center x, center y, width, height); shape (..., 4), any one unit."""
    _check_boxes(bboxes_corners)
    left, top, right, bottom = _columns(bboxes_corners)
    return _stack_last([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def rgb_to_id(color: Any) -> Any:
    """The COCO panoptic segment id of a colour, id = R + 256 G + 256^2 B: an int, or (H, W) for a map.

    Source: https://cocodataset.org/#format-data, "panoptic segmentation".
    """
    if isinstance(color, np.ndarray) and color.ndim == 3:
        color_HWC = color.astype(np.int32) if color.dtype == np.uint8 else color
        return color_HWC[:, :, 0] + 256 * color_HWC[:, :, 1] + 256 * 256 * color_HWC[:, :, 2]
    return int(color[0] + 256 * color[1] + 256 * 256 * color[2])


def id_to_rgb(id_map: Any) -> Any:
    """The inverse of `rgb_to_id`: an array of ids gives uint8 colours with a last axis of 3, one id a list of three."""
    if isinstance(id_map, np.ndarray):
        return np.stack([id_map // 256**i % 256 for i in range(3)], axis=-1).astype(np.uint8)
    return [int(id_map // 256**i % 256) for i in range(3)]
