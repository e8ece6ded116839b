"""The picture and the parameters that the recorder and the tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image

TINY: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
        "mlp_dim": 24, "output_channels": 32, "window_size": 3, "global_attn_indexes": [1], "num_pos_feats": 16,
        "initializer_range": 0.02,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 64, "patch_size": 8, "mask_input_channels": 16},
    "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 4, "mlp_dim": 40, "iou_head_hidden_dim": 16},
}  # fmt: skip
SIZES = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
EVERYTHING = {"pred_iou_thresh": -1, "stability_score_thresh": 0, "points_per_crop": 8}
FEW = {"points_per_crop": 3, "points_per_batch": 9, "crops_nms_thresh": 1.0}
# The published pipeline fails where points_per_batch does not divide the points, so there is no such case.
CASES: list[dict[str, Any]] = [
    EVERYTHING,
    {**EVERYTHING, "crops_nms_thresh": 0.95},
    {**EVERYTHING, "crops_nms_thresh": 0.98, "points_per_batch": 16},
    {**EVERYTHING, "crops_nms_thresh": 0.98, "points_per_batch": None},
    {**EVERYTHING, "crops_nms_thresh": 0.95, "mask_threshold": 0.3},
    {**EVERYTHING, "crops_nms_thresh": 1.0, "points_per_crop": 3, "points_per_batch": 3},
    {**FEW, "pred_iou_thresh": 0.05, "stability_score_thresh": 0},
    {**FEW, "pred_iou_thresh": -1, "stability_score_thresh": 0.8, "stability_score_offset": 0.35},
    {**FEW, "pred_iou_thresh": 0, "stability_score_thresh": 0.8, "stability_score_offset": 0.25, "mask_threshold": 0.2},
    {**FEW, "pred_iou_thresh": -0.1, "stability_score_thresh": 0.3, "crops_nms_thresh": 0.999},
    {"pred_iou_thresh": 5.0, "points_per_crop": 8},
]


def picture() -> PIL.Image.Image:
    """Discs, stripes and noise, 120 x 90 pixels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    image = np.stack([60 + 0.8 * x, 200 - y, 90 + 60 * np.sin(x / 6)], axis=-1)
    for centre, colour in (((25, 30), (250, 20, 20)), ((60, 80), (20, 30, 240)), ((40, 100), (250, 250, 30))):
        image[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 300] = colour
    return PIL.Image.fromarray((image + rng.normal(0, 5, image.shape)).clip(0, 255).astype(np.uint8))
