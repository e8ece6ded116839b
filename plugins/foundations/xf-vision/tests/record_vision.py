"""Records goldens/*.npz and goldens/*.json with the published package (4.55.4) and torchvision.

Run in an environment of its own that has both: python record_vision.py
"""

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

library = torch.library.Library("torchvision", "DEF")
for schema in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor a, Tensor b, float c) -> Tensor",
):
    try:
        library.define(schema)  # a torchvision without compiled operators cannot be imported otherwise
    except RuntimeError:
        pass

from transformers import (  # noqa: E402
    image_processing_utils,
    image_processing_utils_fast,
    image_transforms,
    image_utils,
    video_processing_utils,
    video_utils,
)
from transformers.utils import backbone_utils  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import vision_cases  # noqa: E402

torch.set_num_threads(1)
modules = (image_processing_utils, image_processing_utils_fast, image_transforms, image_utils, video_utils)
reference = types.SimpleNamespace(
    **{module.__name__.rpartition(".")[2]: module for module in (*modules, video_processing_utils, backbone_utils)}
)
folder = Path(__file__).parent / "goldens"
for group in vision_cases.GROUPS:
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, dict[str, object]] = {}
    for name, result in vision_cases.run(group, reference).items():
        plain[name] = {key: value for key, value in result.items() if not isinstance(value, np.ndarray)}
        arrays |= {f"{name}|{key}": value for key, value in result.items() if isinstance(value, np.ndarray)}
    np.savez_compressed(folder / f"{group}.npz", **arrays)
    (folder / f"{group}.json").write_text(json.dumps(plain, indent=0, sort_keys=True) + "\n")
    print(group, len(plain), "cases,", len(arrays), "arrays")
