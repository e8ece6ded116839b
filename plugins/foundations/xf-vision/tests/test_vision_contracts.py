"""Properties that hold for every input, files written and read, and what importing costs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
from xf.outputs import BackboneOutput
from xf_vision import image_transforms as t
from xf_vision import torch_transforms
from xf_vision.backbone_utils import BackboneConfigMixin, BackboneMixin
from xf_vision.image_processing_utils_fast import BaseImageProcessorFast
from xf_vision.nms import batched_nms, box_iou, nms
from xf_vision.video_processing_utils import BaseVideoProcessor

sizes = st.integers(1, 24)


@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=8), st.booleans())
def test_grouping_and_reordering_are_inverse(shapes: list[tuple[int, int]], disable: bool) -> None:
    images = [torch.full((3, h, w), float(i)) for i, (h, w) in enumerate(shapes)]
    groups, places = t.group_images_by_shape(images, disable)
    assert all(torch.equal(a, b) for a, b in zip(images, t.reorder_images(groups, places), strict=True))
    nested = [images[:1], images[1:], images]
    groups, places = t.group_images_by_shape(nested, disable, is_nested=True)
    again = t.reorder_images(groups, places, is_nested=True)
    assert [len(group) for group in again] == [1, len(images) - 1, len(images)]
    assert all(torch.equal(a, b) for x, y in zip(nested, again, strict=True) for a, b in zip(x, y, strict=True))


@given(sizes, sizes, sizes, sizes)
def test_crops_have_the_size_asked_for_and_agree_with_the_tensor_version(h: int, w: int, ch: int, cw: int) -> None:
    image = np.arange(3 * h * w, dtype=np.int64).reshape(3, h, w)
    cropped = t.center_crop(image, (ch, cw), input_data_format="channels_first")
    assert cropped.shape == (3, ch, cw)
    tensor = torch_transforms.center_crop(torch.tensor(image), (ch, cw))
    assert tensor.shape == (3, ch, cw)
    if ch <= h and cw <= w and (h - ch) % 2 == 0 and (w - cw) % 2 == 0:
        np.testing.assert_array_equal(cropped, tensor.numpy())


@given(st.integers(0, 2**24 - 1))
def test_panoptic_ids_survive_colours(number: int) -> None:
    assert t.rgb_to_id(t.id_to_rgb(number)) == number
    assert t.rgb_to_id(t.id_to_rgb(np.array([[number]])))[0, 0] == number


@given(st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**31))
@settings(deadline=None)
def test_suppression_keeps_a_set_without_overlap_that_covers_the_rest(count: int, limit: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 10
    boxes = torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 8 + 0.1], dim=1)
    scores = torch.rand(count, generator=generator)
    kept = nms(boxes, scores, limit)
    assert torch.equal(scores[kept], scores[kept].sort(descending=True).values)
    overlaps = box_iou(boxes, boxes[kept])
    among = overlaps[kept] - torch.eye(len(kept))
    assert (among <= limit + 1e-6).all()
    gone = torch.tensor([i for i in range(count) if i not in kept.tolist()], dtype=torch.long)
    assert ((overlaps[gone] > limit) & (scores[kept][None] >= scores[gone][:, None])).any(dim=1).all()
    groups = torch.arange(count) % 3
    by_group = batched_nms(boxes, scores, groups, limit)
    for group in range(3):
        members = (groups == group).nonzero().flatten()
        expected = set(members[nms(boxes[members], scores[members], limit)].tolist())
        assert expected == {i for i in by_group.tolist() if groups[i] == group}


def test_thin_8_bit_images_are_resized_right() -> None:
    """torch's own 8-bit kernels give wrong pixels or an internal error for an edge of one pixel."""
    column = torch.tensor([0, 100, 200], dtype=torch.uint8).reshape(1, 3, 1).expand(3, 3, 1)
    wide = torch_transforms.resize(column, (3, 4))
    assert torch.equal(wide, column.expand(3, 3, 4))
    assert torch_transforms.resize(column, (1, 1)).flatten().tolist() == [100, 100, 100]


class Processor(BaseImageProcessorFast):
    do_resize, size, resample = True, {"height": 4, "width": 5}, 3
    do_rescale = do_normalize = True
    image_mean, image_std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def test_settings_survive_a_file_and_belong_to_the_instance(tmp_path: Path) -> None:
    first = Processor(size=7, do_convert_rgb=True)
    first.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["size"] == {"height": 7, "width": 7} and saved["image_processor_type"] == "Processor"
    again = Processor.from_pretrained(tmp_path)
    assert again.to_dict() == first.to_dict()
    again.image_mean[0] = 9.0
    assert Processor.image_mean == [0.5, 0.4, 0.3] and Processor().image_mean == [0.5, 0.4, 0.3]


def test_video_settings_have_a_file_of_their_own_and_fall_back_to_that_of_images(tmp_path: Path) -> None:
    class Videos(BaseVideoProcessor):
        do_rescale = True

    Videos(num_frames=3).save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["video_preprocessor_config.json"]
    assert Videos.from_pretrained(tmp_path).num_frames == 3
    (tmp_path / "video_preprocessor_config.json").rename(tmp_path / "preprocessor_config.json")
    assert Videos.from_pretrained(tmp_path).num_frames == 3


def test_threads_with_different_settings_do_not_mix() -> None:
    processor, image = Processor(), np.full((9, 9, 3), 128, dtype=np.uint8)
    failures: list[str] = []

    def work(edge: int) -> None:
        for _ in range(50):
            shape = processor(image, size=edge, return_tensors="pt")["pixel_values"].shape
            if shape != (1, 3, edge, edge):
                failures.append(f"{edge}: {shape}")

    threads = [threading.Thread(target=work, args=(edge,)) for edge in range(3, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


class ToyConfig(BackboneConfigMixin, PretrainedConfig):
    model_type = "toy"
    widths: list[int] = [4, 8]
    out_features: list[str] | None = None
    out_indices: list[int] | None = None

    def __post_init__(self) -> None:
        self.stage_names = ["stem", *(f"stage{i + 1}" for i in range(len(self.widths)))]


class Toy(PreTrainedModel, BackboneMixin):
    config_class = ToyConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._init_backbone(config)
        self.num_features = [3, *config.widths]
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, pixel_values: torch.Tensor, output_hidden_states: bool = False) -> BackboneOutput:
        maps = [pixel_values.new_zeros(1, n, 2, 2) for n in self.num_features]
        return BackboneOutput(
            feature_maps=tuple(m for m, s in zip(maps, self.stage_names, strict=True) if s in self.out_features)
        )


def test_a_declared_config_chooses_stages_by_name_or_place(tmp_path: Path) -> None:
    assert (ToyConfig().out_features, ToyConfig().out_indices) == (["stage2"], [2])
    config = ToyConfig(out_indices=[0, -1])
    assert config.out_features == ["stem", "stage2"]
    config.out_features = ["stage1"]
    assert config.out_indices == [1]
    config.save_pretrained(tmp_path)
    loaded = ToyConfig.from_pretrained(tmp_path)
    assert (loaded.out_features, loaded.out_indices, loaded.stage_names) == (["stage1"], [1], config.stage_names)
    assert ToyConfig.from_pretrained(tmp_path, out_features=["stem", "stage2"]).out_indices == [0, 2]
    with pytest.raises(ValueError, match="stage9"):
        ToyConfig(out_features=["stage9"])


def test_a_backbone_knows_its_channels() -> None:
    model = Toy(ToyConfig(out_features=["stem", "stage2"]))
    assert model.channels == [3, 8]
    assert model.out_feature_channels == {"stem": 3, "stage1": 4, "stage2": 8}
    maps = model.forward_with_filtered_kwargs(torch.zeros(1, 3, 4, 4), unknown=1).feature_maps
    assert [m.shape[1] for m in maps] == model.channels


@pytest.mark.parametrize("module", ["image_transforms", "image_utils", "backbone_utils"])
def test_image_modules_do_not_import_torch(module: str) -> None:
    code = f"import sys, xf_vision.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_documented_paths_and_names_lead_here() -> None:
    code = (
        "from xf.image_transforms import center_crop; from xf.image_utils import load_image;"
        "from xf.image_processing_utils import BaseImageProcessor, ImageProcessingMixin;"
        "from xf.image_processing_utils_fast import BaseImageProcessorFast; from xf.video_utils import load_video;"
        "from xf.video_processing_utils import BaseVideoProcessor;"
        "from xf import BackboneMixin, BackboneConfigMixin, BaseImageProcessor, BaseVideoProcessor, BatchFeature"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
