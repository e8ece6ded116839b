"""What both image processors of SAM do after the model: see `xf_plugin_sam.masks` and `xf_plugin_sam.crops`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf_plugin_sam.crops import crops_and_points
from xf_plugin_sam.masks import best_masks, filter_masks, upscale_masks
from xf_vision.image_types import is_valid_image, to_numpy_array


def _check_framework(return_tensors: str) -> None:
    if return_tensors != "pt":
        raise ValueError(f"return_tensors={return_tensors!r}: only torch tensors ('pt') are made here.")


class SamPostProcessingMixin:
    """Masks from the model's outputs, and the prompts that segment everything."""

    pad_size: Any
    _works_on_tensors = False  # a processor of arrays returns masks and crops as arrays

    def post_process_masks(
        self,
        masks: Any,
        original_sizes: Any,
        reshaped_input_sizes: Any,
        mask_threshold: float = 0.0,
        binarize: bool = True,
        pad_size: dict[str, int] | None = None,
        return_tensors: str = "pt",
    ) -> list[Tensor]:
        """The model's `pred_masks`, per image, in its size: (P, M, H, W) bool, or logits if not `binarize`.

        `original_sizes` and `reshaped_input_sizes` (B, 2) are those that preprocessing returned; `pad_size`: the size
        of the model's input, if it is not the processor's own.
        """
        _check_framework(return_tensors)
        size = self.pad_size if pad_size is None else pad_size
        target = (size["height"], size["width"])
        return upscale_masks(masks, original_sizes, reshaped_input_sizes, target, mask_threshold, binarize)

    def filter_masks(
        self,
        masks: Tensor,
        iou_scores: Tensor,
        original_size: Any,
        cropped_box_image: Any,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        mask_threshold: float = 0,
        stability_score_offset: float = 1,
        return_tensors: str = "pt",
    ) -> tuple[list[dict[str, Any]], Tensor, Tensor]:
        """Keep good masks of one crop; see `xf_plugin_sam.masks.filter_masks`."""
        _check_framework(return_tensors)
        return filter_masks(
            masks, iou_scores, original_size, cropped_box_image,
            pred_iou_thresh, stability_score_thresh, mask_threshold, stability_score_offset,
        )  # fmt: skip

    def post_process_for_mask_generation(
        self,
        all_masks: list[dict[str, Any]],
        all_scores: Tensor,
        all_boxes: Tensor,
        crops_nms_thresh: float,
        return_tensors: str = "pt",
    ) -> tuple[list[Any], Tensor, list[dict[str, Any]], Tensor]:
        """Drop the masks whose boxes overlap a better one by more than `crops_nms_thresh`, a ratio of areas.

        Returns masks (H, W) bool (arrays, or tensors from the tensor processor), scores (N,), run lengths and boxes
        (N, 4), best first.
        """
        _check_framework(return_tensors)
        masks, scores, rles, boxes = best_masks(all_masks, all_scores, all_boxes, crops_nms_thresh)
        return [torch.from_numpy(mask) for mask in masks] if self._works_on_tensors else masks, scores, rles, boxes

    def generate_crop_boxes(
        self,
        image: Any,
        target_size: int,
        crop_n_layers: int = 0,
        overlap_ratio: float = 512 / 1500,
        points_per_crop: int | None = 32,
        crop_n_points_downscale_factor: int | None = 1,
        device: Any = None,
        input_data_format: Any = None,
        return_tensors: str = "pt",
    ) -> tuple[Tensor, Tensor, list[Any], Tensor]:
        """Crops of an image and the points to prompt in each; see `xf_plugin_sam.crops.crops_and_points`.

        512 / 1500: the paper's overlap. Returns boxes (K, 4), points (K, N, 1, 2), the crops, and labels (K, N, 1).
        ValueError for more than one image.
        """
        _check_framework(return_tensors)
        if isinstance(image, (list, tuple)) or not is_valid_image(image):
            raise ValueError(f"Crops are made of one image at a time, got {type(image).__name__}.")
        if points_per_crop is None:
            raise ValueError("points_per_crop is missing: the number of points along each side of a crop.")
        array = image if isinstance(image, Tensor) and self._works_on_tensors else to_numpy_array(image)
        boxes, points, crops, labels = crops_and_points(
            array, target_size, crop_n_layers, overlap_ratio, points_per_crop, crop_n_points_downscale_factor or 1,
            input_data_format,
        )  # fmt: skip
        placed = (torch.as_tensor(part, device=device) for part in (boxes, points, labels))
        box_tensor, point_tensor, label_tensor = placed
        return box_tensor, point_tensor.float() if self._works_on_tensors else point_tensor, crops, label_tensor
