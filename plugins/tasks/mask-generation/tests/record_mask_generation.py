"""Records goldens/ with the published package (4.55.4) and torchvision: a tiny checkpoint and the pipeline's answers.

Run in an environment of its own that has both: python record_mask_generation.py
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

library = torch.library.Library("torchvision", "DEF")
for schema in ("nms(Tensor dets, Tensor scores, float t) -> Tensor", "qnms(Tensor a, Tensor b, float c) -> Tensor"):
    try:
        library.define(schema)  # a torchvision without compiled operators cannot be imported otherwise
    except RuntimeError:
        pass

from transformers import SamConfig, SamImageProcessor, SamModel, pipeline  # noqa: E402
from transformers.models.sam import image_processing_sam  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from mask_generation_cases import CASES, SIZES, TINY, picture  # noqa: E402

torch.set_num_threads(1)
folder = Path(__file__).parent / "goldens"


def plain_nms(boxes, scores, idxs, iou_threshold):
    """Greedy suppression by its definition, in place of torchvision's compiled operator."""
    kept, order = [], scores.sort(stable=True, descending=True).indices.tolist()
    for i in order:
        upper, lower = torch.maximum(boxes[i, :2], boxes[kept, :2]), torch.minimum(boxes[i, 2:], boxes[kept, 2:])
        common = (lower - upper).clamp(min=0).prod(-1)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
        if not (common / (area[i] + area[kept] - common) > iou_threshold).any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


image_processing_sam.batched_nms = plain_nms
model = SamModel(SamConfig(**TINY)).eval()
with torch.no_grad():
    state = model.state_dict()
    for i, name in enumerate(sorted(state)):
        values = torch.from_numpy(np.random.default_rng(i).standard_normal(tuple(state[name].shape)).astype(np.float32))
        state[name].copy_(1 + 0.3 * values if "norm" in name and name.endswith("weight") else 0.3 * values)
    shared = state["shared_image_embedding.positional_embedding"]
    state["prompt_encoder.shared_embedding.positional_embedding"].copy_(shared)
model.save_pretrained(folder / "tiny-sam")
SamImageProcessor(**SIZES).save_pretrained(folder / "tiny-sam")
generate = pipeline(
    "mask-generation",
    model=SamModel.from_pretrained(folder / "tiny-sam"),
    image_processor=SamImageProcessor.from_pretrained(folder / "tiny-sam"),
    device="cpu",
)
answers = []
for options in CASES:
    out = generate(picture(), output_rle_mask=True, output_bboxes_mask=True, **options)
    found = {
        "scores": out["scores"].tolist(),
        "rle_mask": out["rle_mask"],
        "bounding_boxes": out["bounding_boxes"].tolist(),
    }
    print(len(found["scores"]), options)
    answers.append({"options": options, **found})
(folder / "answers.json").write_text(json.dumps(answers) + "\n")
