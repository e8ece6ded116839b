"""Records goldens/ with the published package (4.55.4) and torchvision: a tiny checkpoint, outputs, processing.

Run in an environment of its own that has both: python record_sam.py
"""

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

library = torch.library.Library("torchvision", "DEF")
for schema in ("nms(Tensor dets, Tensor scores, float t) -> Tensor", "qnms(Tensor a, Tensor b, float c) -> Tensor"):
    try:
        library.define(schema)  # a torchvision without compiled operators cannot be imported otherwise
    except RuntimeError:
        pass

from transformers import (  # noqa: E402
    SamConfig,
    SamImageProcessor,
    SamImageProcessorFast,
    SamModel,
    SamProcessor,
)
from transformers.models.sam import image_processing_sam  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import sam_cases  # noqa: E402

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


def write(name, results):
    plain = {
        case: {k: v for k, v in result.items() if not isinstance(v, np.ndarray)} for case, result in results.items()
    }
    arrays = {f"{c}|{k}": v for c, result in results.items() for k, v in result.items() if isinstance(v, np.ndarray)}
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps(plain, indent=0, sort_keys=True) + "\n")
    print(name, len(results), "cases,", len(arrays), "arrays")


classes = (SamImageProcessor, SamImageProcessorFast, SamProcessor)
write("processing", sam_cases.run(types.SimpleNamespace(**{c.__name__: c for c in classes})))

model = SamModel(SamConfig(**sam_cases.TINY)).eval()
with torch.no_grad():
    sam_cases.fill(model)
model.save_pretrained(folder / "tiny-sam")
SamImageProcessor(**sam_cases.SIZES)._set_processor_class("SamProcessor")
processor = SamProcessor(SamImageProcessor(**sam_cases.SIZES))
processor.save_pretrained(folder / "tiny-sam")
model = SamModel.from_pretrained(folder / "tiny-sam", attn_implementation="eager").eval()
outputs = sam_cases.model_outputs(model, states=True)
write("model", {case: sam_cases.flatten(result) for case, result in outputs.items()})
names = {name: list(tensor.shape) for name, tensor in SamModel(SamConfig()).state_dict().items()}
(folder / "vit_base_names.json").write_text(json.dumps(names, indent=0) + "\n")
(folder / "default_config.json").write_text(json.dumps(SamConfig().to_dict(), indent=0, sort_keys=True) + "\n")
