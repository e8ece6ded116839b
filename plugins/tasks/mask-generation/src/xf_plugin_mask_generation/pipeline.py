"""The task mask-generation: masks of everything in an image, prompted by a grid of points.

Sources: spec tasks/mask_generation.md; Kirillov et al. 2023, "Segment Anything", arXiv:2304.02643, appendix B.

Shapes: B items of a batch, each one image or crop with some of its points; P points of an item; M masks per point;
N = P * M; Y, X pixels of low-resolution masks; H, W pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf_pipelines.pipeline import ChunkPipeline
from xf_vision.loading import load_image

# Pixels of the masks that are upscaled at once: 2**27 float32 values are 512 MiB.
PIXELS_AT_ONCE = 2**27

_STAGES = (
    ("points_per_batch", "points_per_crop", "crops_n_layers", "crop_overlap_ratio", "crop_n_points_downscale_factor",
     "timeout"),
    ("pred_iou_thresh", "stability_score_thresh", "mask_threshold", "stability_score_offset"),
    ("crops_nms_thresh", "output_rle_mask", "output_bboxes_mask"),
)  # fmt: skip


class MaskGenerationPipeline(ChunkPipeline):
    """Find masks of all objects in an image with a promptable segmentation model, such as SAM.

    An input is a PIL image, a path, an http(s) URL or base64 text; a list gives a list of results. A result is a dict:
    `masks`, a list of (height, width) bool arrays, best first; `scores` (N,), the IoU that each is predicted to have
    with the truth; with `output_rle_mask` also `rle_mask`, COCO run lengths, and with `output_bboxes_mask`
    `bounding_boxes` (N, 4): left, top, right, bottom in pixels.
    """

    task = "mask-generation"
    auto_model_heads = ("mask_generation",)
    loads = ("image_processor",)
    default_model: ClassVar[str] = "facebook/sam-vit-huge@87aecf0"
    default_family = "sam"

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        stages = tuple({name: kwargs.pop(name) for name in names if name in kwargs} for names in _STAGES)
        if kwargs:
            known = ", ".join(name for names in _STAGES for name in names)
            raise TypeError(f"mask-generation does not know the parameters {', '.join(kwargs)}; it has {known}.")
        return stages  # type: ignore[return-value]

    def __call__(self, image: Any, *args: Any, **kwargs: Any) -> Any:
        """Generate masks; see the class for inputs and results.

        - `points_per_batch` (64): points that go through the mask decoder at once; None for all;
        - `points_per_crop` (32): points along each side of the image, or of a crop;
        - `crops_n_layers` (0): also look at crops of the image, 4**i of them in layer i;
        - `crop_overlap_ratio` (512 / 1500): overlap of the crops of layer 1 as a part of the image's shorter edge;
        - `crop_n_points_downscale_factor` (1): layer i has `points_per_crop` / factor**i points along each side;
        - `pred_iou_thresh` (0.88), `stability_score_thresh` (0.95): quality that a mask needs, 0 for no test;
        - `stability_score_offset` (1), `mask_threshold` (0): see `SamImageProcessor.filter_masks`;
        - `crops_nms_thresh` (0.7): overlap of boxes, as IoU, above which the worse mask is dropped;
        - `output_rle_mask`, `output_bboxes_mask` (False), `timeout` (seconds, for URLs).

        Raises: ValueError for parameters out of range and for images that cannot be read; TypeError for others.
        """
        return super().__call__(image, *args, **kwargs)

    def preprocess(
        self,
        image: Any,
        points_per_batch: int | None = 64,
        crops_n_layers: int = 0,
        crop_overlap_ratio: float = 512 / 1500,
        points_per_crop: int | None = 32,
        crop_n_points_downscale_factor: int | None = 1,
        timeout: float | None = None,
    ) -> Iterator[dict[str, Tensor]]:
        """Items of up to `points_per_batch` points with the embedding of their crop, which is computed once."""
        if points_per_batch is not None and points_per_batch < 1:
            raise ValueError(f"points_per_batch must be at least 1, or None for all points; it is {points_per_batch}.")
        loaded = load_image(image, timeout=timeout)
        target_size = self.image_processor.size.get("longest_edge") or self.image_processor.size["height"]
        boxes_K4, points_KN12, crops, labels_KN1 = self.image_processor.generate_crop_boxes(
            loaded, target_size, crops_n_layers, crop_overlap_ratio, points_per_crop, crop_n_points_downscale_factor
        )
        for box_4, points_N12, crop, labels_N1 in zip(boxes_K4, points_KN12, crops, labels_KN1, strict=True):
            used = labels_N1[:, 0] >= 0  # crops of deeper layers may have fewer points
            points_N12, labels_N1 = points_N12[used], labels_N1[used]
            inputs = self.image_processor(images=crop, return_tensors="pt")
            embedding = self._embed(inputs.pop("pixel_values"))
            step = points_per_batch or len(points_N12)
            for start in range(0, len(points_N12), step):
                yield {
                    "image_embeddings": embedding,
                    "input_points": points_N12[None, start : start + step],
                    "input_labels": labels_N1[None, start : start + step],
                    "original_sizes": inputs["original_sizes"],
                    "reshaped_input_sizes": inputs["reshaped_input_sizes"],
                    "crop_boxes": box_4[None].long(),
                    "image_sizes": torch.tensor([[loaded.height, loaded.width]]),
                }

    def _embed(self, pixel_values: Tensor) -> Tensor:
        with self.device_placement(), torch.no_grad():
            pixels = pixel_values.to(self.device, self.torch_dtype)
            embedding: Tensor = self.model.get_image_embeddings(pixels)
            return embedding

    def _forward(
        self,
        input_tensors: dict[str, Tensor],
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        mask_threshold: float = 0,
        stability_score_offset: float = 1,
    ) -> dict[str, list[Any]]:
        """Decode the points and keep the good masks: `found`, per item run lengths, scores and boxes in the image."""
        names = ("image_embeddings", "input_points", "input_labels")
        outputs = self.model(**{name: input_tensors[name] for name in names})
        options = {
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "mask_threshold": mask_threshold,
            "stability_score_offset": stability_score_offset,
        }
        sizes = ("original_sizes", "reshaped_input_sizes", "crop_boxes", "image_sizes")
        rows = zip(*(input_tensors[name].tolist() for name in sizes), strict=True)
        return {
            "found": [
                self._good_masks(masks_PMYX.flatten(0, 1), scores_PM.flatten(), *row, options)
                for masks_PMYX, scores_PM, row in zip(outputs.pred_masks, outputs.iou_scores, rows, strict=True)
            ]
        }

    def _good_masks(
        self,
        logits_NYX: Tensor,
        scores_N: Tensor,
        crop_size: list[int],
        reshaped_size: list[int],
        crop_box: list[int],
        image_size: list[int],
        options: dict[str, float],
    ) -> dict[str, Any]:
        """Masks of one item that pass the tests of `filter_masks`."""
        if options["pred_iou_thresh"] > 0:  # before the upscaling, which is the most work and may then be little
            likely_N = scores_N > options["pred_iou_thresh"]
            logits_NYX, scores_N = logits_NYX[likely_N], scores_N[likely_N]
        step = max(1, PIXELS_AT_ONCE // (crop_size[0] * crop_size[1]))
        rles: list[dict[str, Any]] = []
        scores, boxes = [scores_N[:0]], [torch.zeros(0, 4, dtype=torch.long, device=scores_N.device)]
        for start in range(0, len(scores_N), step):
            some = slice(start, start + step)
            (upscaled_N1HW,) = self.image_processor.post_process_masks(
                logits_NYX[some, None][None], [crop_size], [reshaped_size], binarize=False
            )
            new_rles, new_scores, new_boxes = self.image_processor.filter_masks(
                upscaled_N1HW, scores_N[some, None], image_size, crop_box, **options
            )
            rles += new_rles
            scores.append(new_scores)
            boxes.append(new_boxes.long())
        left, top = crop_box[:2]
        offset = torch.tensor([left, top, left, top], device=scores_N.device)
        return {"masks": rles, "scores": torch.cat(scores), "boxes": torch.cat(boxes) + offset}

    def postprocess(
        self,
        model_outputs: list[dict[str, Any]],
        output_rle_mask: bool = False,
        output_bboxes_mask: bool = False,
        crops_nms_thresh: float = 0.7,
    ) -> dict[str, Any]:
        """The masks of all items together, without those that overlap a better one."""
        entries = [output["found"] for output in model_outputs]
        found = [entry[0] if isinstance(entry, list) else entry for entry in entries]
        masks, scores, rles, boxes = self.image_processor.post_process_for_mask_generation(
            [rle for entry in found for rle in entry["masks"]],
            torch.cat([entry["scores"] for entry in found]),
            torch.cat([entry["boxes"] for entry in found]),
            crops_nms_thresh,
        )
        result = {"masks": masks, "scores": scores}
        if output_rle_mask:
            result["rle_mask"] = rles
        if output_bboxes_mask:
            result["bounding_boxes"] = boxes
        return result
