"""From mask logits to masks: upscaling, filtering by quality, run lengths, boxes (arXiv:2304.02643, appendix B).

Shapes: N masks; H, W pixels of an image; h, w pixels of a crop of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xf_vision.nms import nms

EDGE_TOLERANCE = 20.0  # pixels within which a box touches an edge: as in the paper's published generator


def upscale_masks(
    masks: Any,
    original_sizes: Any,
    reshaped_input_sizes: Any,
    pad_size: tuple[int, int],
    mask_threshold: float = 0.0,
    binarize: bool = True,
) -> list[Tensor]:
    """Low-resolution logits (P, M, 4H', 4W') per image, as masks of the size of the images.

    `pad_size`: (height, width) of the model's input; `reshaped_input_sizes`: the part of it that shows the image.
    """
    originals, shown = ([[int(v) for v in size] for size in sizes] for sizes in (original_sizes, reshaped_input_sizes))
    if not len(masks) == len(originals) == len(shown):
        raise ValueError(
            f"There are masks of {len(masks)} images, {len(originals)} original_sizes and {len(shown)} "
            "reshaped_input_sizes; these must be equally many."
        )
    results = []
    for logits, original, (height, width) in zip(masks, originals, shown, strict=True):
        if isinstance(logits, np.ndarray):
            logits = torch.from_numpy(logits)
        elif not isinstance(logits, Tensor):
            raise ValueError(f"Masks must be torch tensors or NumPy arrays, got {type(logits).__name__}.")
        padded = F.interpolate(logits, size=pad_size, mode="bilinear", align_corners=False)
        out = F.interpolate(padded[..., :height, :width], size=original, mode="bilinear", align_corners=False)
        results.append(out > mask_threshold if binarize else out)
    return results


def stability_score(logits_NHW: Tensor, threshold: float, offset: float) -> Tensor:
    """IoU (N,) of the masks cut `offset` above and below the threshold: near 1 for a mask with sharp borders."""
    inner = (logits_NHW > threshold + offset).flatten(1).sum(-1, dtype=torch.int32)
    outer = (logits_NHW > threshold - offset).flatten(1).sum(-1, dtype=torch.int32)
    return inner / outer


def mask_boxes(masks_NHW: Tensor) -> Tensor:
    """The boxes (N, 4) around masks: left, top, right, bottom, all pixels inside; zeros for an empty mask."""
    if masks_NHW.numel() == 0:
        return torch.zeros(*masks_NHW.shape[:-2], 4, device=masks_NHW.device)
    edges = []
    for axis in (-2, -1):  # which columns, then which rows have a pixel
        hit = masks_NHW.any(dim=axis)
        size = hit.shape[-1]
        first = hit.int().argmax(dim=-1)
        last = size - 1 - hit.flip(-1).int().argmax(dim=-1)
        edges.append((first, last))
    (left, right), (top, bottom) = edges
    boxes = torch.stack([left, top, right, bottom], dim=-1)
    return boxes * masks_NHW.any(dim=-1).any(dim=-1)[:, None]


def near_crop_edge(boxes_N4: Tensor, crop_box: Sequence[int], image_box: Sequence[int]) -> Tensor:
    """Whether boxes (N, 4) of a crop touch an edge of the crop that is no edge of the image: such masks are cut off."""
    left, top = crop_box[:2]
    moved = boxes_N4.float() + torch.tensor([left, top, left, top], device=boxes_N4.device)

    def close(edges: Sequence[int]) -> Tensor:
        limits = torch.as_tensor(edges, dtype=torch.float, device=boxes_N4.device)
        return torch.isclose(moved, limits[None, :], atol=EDGE_TOLERANCE, rtol=0)

    return (close(crop_box) & ~close(image_box)).any(dim=1)


def place_in_image(masks_Nhw: Tensor, crop_box: Sequence[int], height: int, width: int) -> Tensor:
    """Masks of a crop as masks (N, H, W) of the image."""
    left, top, right, bottom = crop_box
    if (left, top, right, bottom) == (0, 0, width, height):
        return masks_Nhw
    return F.pad(masks_Nhw, (left, width - right, top, height - bottom), value=0)


def masks_to_rle(masks_NHW: Tensor) -> list[dict[str, Any]]:
    """COCO run lengths, uncompressed: pixels column by column, first the number of zeros, then of ones, and so on."""
    _, height, width = masks_NHW.shape
    flat = masks_NHW.permute(0, 2, 1).flatten(1).cpu().numpy()
    results = []
    for pixels in flat:
        changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
        runs = np.diff(np.concatenate([[0], changes, [pixels.size]]))
        counts = [0, *runs.tolist()] if pixels.size and pixels[0] else runs.tolist()
        results.append({"size": [height, width], "counts": counts})
    return results


def rle_to_mask(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W), bool, of run lengths."""
    height, width = rle["size"]
    counts = np.asarray(rle["counts"], dtype=np.int64)
    values = np.arange(len(counts)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def filter_masks(
    masks: Tensor,
    iou_scores: Tensor,
    original_size: Any,
    cropped_box_image: Any,
    pred_iou_thresh: float = 0.88,
    stability_score_thresh: float = 0.95,
    mask_threshold: float = 0,
    stability_score_offset: float = 1,
) -> tuple[list[dict[str, Any]], Tensor, Tensor]:
    """Keep good masks of one crop.

    `masks` (P, M, h, w): logits of the crop's size; `iou_scores` (P, M); `original_size`: (height, width) of the image;
    `cropped_box_image`: (left, top, right, bottom) of the crop in it. A mask stays if its predicted IoU and its
    stability pass their thresholds (0 or less switches the test off) and it is not cut off by an inner edge of the
    crop. Returns run lengths in the image, scores (N,), and boxes (N, 4) in the crop.
    """
    height, width = (int(v) for v in original_size)
    crop_box = [int(v) for v in cropped_box_image]
    logits, scores = masks.flatten(0, 1), iou_scores.flatten(0, 1)
    if logits.shape[0] != scores.shape[0]:
        raise ValueError(f"There are {logits.shape[0]} masks, but {scores.shape[0]} scores.")
    keep = torch.ones(len(scores), dtype=torch.bool, device=logits.device)
    if pred_iou_thresh > 0.0:
        keep &= scores > pred_iou_thresh
    if stability_score_thresh > 0.0:  # on those alone that are still in: the test reads every pixel twice
        candidates = keep.nonzero().flatten()
        keep[candidates] = (
            stability_score(logits[candidates], mask_threshold, stability_score_offset) > stability_score_thresh
        )
    scores, found = scores[keep], logits[keep] > mask_threshold
    boxes = mask_boxes(found)
    whole = ~near_crop_edge(boxes, crop_box, [0, 0, width, height])
    placed = place_in_image(found[whole], crop_box, height, width)
    return masks_to_rle(placed), scores[whole], boxes[whole]


def best_masks(
    all_masks: list[dict[str, Any]], all_scores: Tensor, all_boxes: Tensor, crops_nms_thresh: float
) -> tuple[list[np.ndarray], Tensor, list[dict[str, Any]], Tensor]:
    """Without the masks whose boxes overlap a better one: masks (H, W), scores, run lengths, boxes; best first."""
    kept = nms(all_boxes.float(), all_scores, crops_nms_thresh)
    rles = [all_masks[i] for i in kept.tolist()]
    return [rle_to_mask(rle) for rle in rles], all_scores[kept], rles, all_boxes[kept]
