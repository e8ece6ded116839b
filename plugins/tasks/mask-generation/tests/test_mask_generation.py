"""The task mask-generation gives what the published package (4.55.4) gives, and what it promises beyond that."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xf import pipeline
from xf_plugin_mask_generation import pipeline as module
from xf_plugin_mask_generation.pipeline import MaskGenerationPipeline
from xf_testing import PipelineConformance

GOLDENS = Path(__file__).parent / "goldens"
ANSWERS = json.loads((GOLDENS / "answers.json").read_text())
EVERYTHING = {"pred_iou_thresh": -1, "stability_score_thresh": 0, "points_per_crop": 4}


def load_cases() -> Any:
    spec = importlib.util.spec_from_file_location("mask_cases", Path(__file__).with_name("mask_generation_cases.py"))
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


picture = load_cases().picture


@pytest.fixture(scope="module")
def generate() -> MaskGenerationPipeline:
    made = pipeline("mask-generation", model=str(GOLDENS / "tiny-sam"), device="cpu")
    assert isinstance(made, MaskGenerationPipeline)
    return made


def from_runs(rle: dict[str, Any]) -> np.ndarray:
    height, width = rle["size"]
    values = np.concatenate([np.full(count, i % 2, dtype=bool) for i, count in enumerate(rle["counts"])])
    return values.reshape(width, height).T


@pytest.mark.parametrize("i", range(len(ANSWERS)), ids=lambda i: json.dumps(ANSWERS[i]["options"]))
def test_answers_equal_the_published_ones(generate: MaskGenerationPipeline, i: int) -> None:
    answer = ANSWERS[i]
    out = generate(picture(), output_rle_mask=True, output_bboxes_mask=True, **answer["options"])
    assert list(out) == ["masks", "scores", "rle_mask", "bounding_boxes"]
    np.testing.assert_allclose(out["scores"].numpy(), answer["scores"], atol=1e-5)
    assert out["bounding_boxes"].tolist() == answer["bounding_boxes"]
    assert len(out["masks"]) == len(answer["rle_mask"])
    for mask, runs, published in zip(out["masks"], out["rle_mask"], answer["rle_mask"], strict=True):
        assert mask.dtype == bool and mask.shape == (90, 120)
        np.testing.assert_array_equal(mask, from_runs(runs))
        # Pixels whose logit is within rounding of the threshold may fall on either side.
        assert (mask != from_runs(published)).mean() <= 1e-3


def test_the_number_of_points_per_batch_changes_nothing(generate: MaskGenerationPipeline) -> None:
    options = {**EVERYTHING, "crops_nms_thresh": 1.0}
    whole = generate(picture(), points_per_batch=None, **options)
    for size in (1, 5, 64):  # 5 does not divide 16: the last batch is smaller
        part = generate(picture(), points_per_batch=size, **options)
        assert torch.allclose(whole["scores"], part["scores"], atol=1e-5)
        assert len(whole["masks"]) == len(part["masks"]) == 48
        for one, other in zip(whole["masks"], part["masks"], strict=True):
            assert (one != other).mean() <= 1e-3


def test_upscaling_in_steps_changes_nothing(generate: MaskGenerationPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**EVERYTHING, "crops_nms_thresh": 1.0, "output_rle_mask": True}
    whole = generate(picture(), **options)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 3 * 90 * 120)
    steps = generate(picture(), **options)
    assert whole["rle_mask"] == steps["rle_mask"] and torch.equal(whole["scores"], steps["scores"])


def test_lists_batches_and_streams_give_the_same(generate: MaskGenerationPipeline) -> None:
    images = [picture(), picture().transpose(2), picture()]
    alone = [generate(image, **EVERYTHING) for image in images]
    for together in (
        generate(images, **EVERYTHING),
        generate(images, batch_size=2, **EVERYTHING),
        list(generate((image for image in images), **EVERYTHING)),
    ):
        assert len(together) == 3
        for one, other in zip(alone, together, strict=True):
            assert torch.allclose(one["scores"], other["scores"], atol=1e-5)
            assert len(one["masks"]) == len(other["masks"])


class Echo(torch.nn.Module):
    """A model whose mask is a disc around each point: where crops put their masks can be seen."""

    dtype = torch.float32

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.weight = size, torch.nn.Parameter(torch.zeros(1))
        self.config = type("Config", (), {"model_type": "echo"})()

    def get_image_embeddings(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return pixel_values[:, :1, ::8, ::8]

    def forward(self, image_embeddings: Any, input_points: torch.Tensor, input_labels: torch.Tensor) -> Any:
        quarter = torch.arange(self.size // 4) * 4 + 2.0
        y, x = torch.meshgrid(quarter, quarter, indexing="ij")
        centre = input_points[:, :, 0, :, None, None]
        inside = 6.0 - ((x - centre[:, :, 0]) ** 2 + (y - centre[:, :, 1]) ** 2).sqrt()
        found = {"pred_masks": inside[:, :, None].float(), "iou_scores": input_labels[..., :1].float()}
        return type("Out", (), found)()


def test_crops_put_their_masks_where_their_points_are() -> None:
    from xf_plugin_sam.image_processing import SamImageProcessor

    processor = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    pipe = MaskGenerationPipeline(model=Echo(64), image_processor=processor, device="cpu")
    options = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0, "crops_nms_thresh": 1.0, "points_per_crop": 4}
    image = picture().resize((240, 180))
    whole = pipe(image, output_bboxes_mask=True, **options)
    assert len(whole["masks"]) == 16
    out = pipe(image, output_bboxes_mask=True, crops_n_layers=1, crop_n_points_downscale_factor=2, **options)
    boxes, _, _, _ = processor.generate_crop_boxes(image, 64, 1, points_per_crop=4)
    assert len(boxes) == 5 and len(out["masks"]) > 16
    centres = [np.argwhere(mask).mean(axis=0)[::-1] for mask in out["masks"]]
    for mask, box in zip(out["masks"], out["bounding_boxes"].tolist(), strict=True):
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        assert [columns[0], rows[0], columns[-1], rows[-1]] == box
    for left, top, right, bottom in boxes[1:].tolist():  # 2 x 2 points each, if no inner edge cuts the disc
        for part_x in (0.25, 0.75):
            for part_y in (0.25, 0.75):
                x, y = left + part_x * (right - left), top + part_y * (bottom - top)
                nearest = min(np.hypot(cx - x, cy - y) for cx, cy in centres)
                inner = [edge for edge, limit in ((left, 0), (right, 240)) if edge != limit]
                inner_y = [edge for edge, limit in ((top, 0), (bottom, 180)) if edge != limit]
                near = min([abs(x - e) for e in inner] + [abs(y - e) for e in inner_y], default=99.0)
                if near > 20 + 6 * 240 / 64 * 0.7:
                    assert nearest < 4, (x, y, nearest)


@pytest.mark.parametrize(
    ("image", "options", "said"),
    [
        (picture(), {"points_per_batch": 0}, "points_per_batch must be at least 1"),
        (picture(), {"points_per_crop": None}, "points_per_crop is missing"),
        (picture(), {"crops_n_layers": -1}, "at least 0"),
        ("missing.png", {}, "no existing file"),
        (None, {}, "Cannot load an image"),
    ],
)
def test_what_cannot_work_is_refused(generate: MaskGenerationPipeline, image: Any, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        generate(image, **options)


def test_an_unknown_parameter_is_refused(generate: MaskGenerationPipeline) -> None:
    with pytest.raises(TypeError, match="does not know the parameters threshold"):
        generate(picture(), threshold=3)


def test_one_bad_image_does_not_lose_the_others(generate: MaskGenerationPipeline) -> None:
    good, bad = generate([picture(), "missing.png"], on_error="return", **EVERYTHING)
    assert len(good["masks"]) >= 1
    assert "missing.png" in str(bad.__cause__)


def test_saving_the_pipeline_saves_model_and_processor(generate: MaskGenerationPipeline, tmp_path: Path) -> None:
    generate.save_pretrained(tmp_path)
    again = pipeline("mask-generation", model=str(tmp_path), device="cpu")
    assert torch.equal(again(picture(), **EVERYTHING)["scores"], generate(picture(), **EVERYTHING)["scores"])


class TestMaskGeneration(PipelineConformance):
    name = "mask-generation"
    inputs = (picture(), picture().transpose(2), picture().resize((50, 77)))
    wrong = (object(), None, 5, "no such file.png")
    is_json = False  # masks are arrays

    def make_pipeline(self, **parameters: Any) -> Any:
        return pipeline(
            "mask-generation", model=str(GOLDENS / "tiny-sam"), device="cpu", **{**EVERYTHING, **parameters}
        )
