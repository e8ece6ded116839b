"""Stacking images of one size so that a batch is processed at once, and putting them back in order."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def _flatten(images: Any, is_nested: bool) -> dict[Any, Any]:
    if not is_nested:
        return dict(enumerate(images))
    return {(row, column): image for row, group in enumerate(images) for column, image in enumerate(group)}


def group_images_by_shape(
    images: Any, disable_grouping: bool | None, is_nested: bool = False
) -> tuple[dict[Any, torch.Tensor], dict[Any, tuple[Any, int]]]:
    """Stack (C, H, W) tensors of equal shape.

    Returns the stacks, keyed by (H, W), and for each image (its index, or (row, column) for nested lists) the key of
    its stack and its place in it. With `disable_grouping` each image is a stack of one, keyed by its index.
    """
    import torch

    flat = _flatten(images, is_nested)
    if disable_grouping:
        return {key: image.unsqueeze(0) for key, image in flat.items()}, {key: (key, 0) for key in flat}
    groups: dict[Any, list[torch.Tensor]] = defaultdict(list)
    places: dict[Any, tuple[Any, int]] = {}
    for key, image in flat.items():
        shape = tuple(image.shape[1:])
        places[key] = (shape, len(groups[shape]))
        groups[shape].append(image)
    return {shape: torch.stack(group, dim=0) for shape, group in groups.items()}, places


def reorder_images(
    processed_images: dict[Any, Any], grouped_images_index: dict[Any, tuple[Any, int]], is_nested: bool = False
) -> Any:
    """The inverse of `group_images_by_shape`: images in their first order, nested if they were."""
    flat = {key: processed_images[group][place] for key, (group, place) in grouped_images_index.items()}
    if not is_nested:
        return [flat[key] for key in sorted(flat)]
    rows: list[list[Any]] = [[] for _ in range(1 + max((row for row, _ in flat), default=-1))]
    for row, column in sorted(flat):
        rows[row].append(flat[row, column])
    return rows
