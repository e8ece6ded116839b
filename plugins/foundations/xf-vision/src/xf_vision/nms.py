"""Non-maximum suppression: of boxes that overlap, keep the best."""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes_N4: Tensor) -> Tensor:
    """Areas (N,) of boxes (left, top, right, bottom)."""
    return (boxes_N4[:, 2] - boxes_N4[:, 0]) * (boxes_N4[:, 3] - boxes_N4[:, 1])


def box_iou(boxes_N4: Tensor, others_M4: Tensor) -> Tensor:
    """Intersection over union (N, M) of boxes (left, top, right, bottom); NaN where both are empty."""
    upper_left = torch.maximum(boxes_N4[:, None, :2], others_M4[None, :, :2])
    lower_right = torch.minimum(boxes_N4[:, None, 2:], others_M4[None, :, 2:])
    common = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    return common / (box_area(boxes_N4)[:, None] + box_area(others_M4)[None, :] - common)


def nms(boxes_N4: Tensor, scores_N: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that remain, best score first.

    A box goes if it overlaps a better one that stays by more than `iou_threshold`; of equal scores the first is better.
    """
    order = scores_N.sort(stable=True, descending=True).indices
    boxes = boxes_N4[order].to(torch.float32 if not boxes_N4.is_floating_point() else boxes_N4.dtype)
    gone = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    kept = []
    # Row by row: a whole N x N table of overlaps would not fit for the ten thousands of boxes that detectors make.
    for i in range(len(order)):
        if gone[i]:
            continue
        kept.append(i)
        gone[i + 1 :] |= box_iou(boxes[i : i + 1], boxes[i + 1 :])[0] > iou_threshold
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def batched_nms(boxes_N4: Tensor, scores_N: Tensor, groups_N: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each group (class, image) alone; indices of all that remain, best score first."""
    kept = torch.zeros(len(scores_N), dtype=torch.bool, device=scores_N.device)
    for group in groups_N.unique():
        members = (groups_N == group).nonzero().flatten()
        kept[members[nms(boxes_N4[members], scores_N[members], iou_threshold)]] = True
    remaining = kept.nonzero().flatten()
    return remaining[scores_N[remaining].sort(stable=True, descending=True).indices]
