"""What does not fit is refused with the shapes and what to do; and crops, which the published package gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xf_plugin_sam.configuration import SamConfig, SamVisionConfig
from xf_plugin_sam.image_processing import SamImageProcessor
from xf_plugin_sam.image_processing_fast import SamImageProcessorFast
from xf_plugin_sam.masks import mask_boxes, masks_to_rle, rle_to_mask
from xf_plugin_sam.modeling import SamModel
from xf_plugin_sam.processing import SamProcessor
from xf_testing import ImageProcessorConformance

TINY = Path(__file__).parent / "goldens" / "tiny-sam"
IMAGE = PIL.Image.new("RGB", (24, 18))
PIXELS = torch.zeros(1, 3, 32, 32)


@pytest.fixture(scope="module")
def model() -> Any:
    return SamModel.from_pretrained(TINY)


@pytest.fixture(scope="module")
def processor() -> SamProcessor:
    return SamProcessor(SamImageProcessor.from_pretrained(TINY))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "exactly one of pixel_values and image_embeddings"),
        ({"pixel_values": PIXELS, "image_embeddings": torch.zeros(1, 32, 8, 8)}, "exactly one"),
        ({"pixel_values": torch.zeros(1, 4, 32, 32)}, r"\(batch, 3, height, width\).*\(1, 4, 32, 32\)"),
        ({"pixel_values": torch.zeros(1, 3, 16, 32)}, "32 x 32 pixels, got 16 x 32"),
        ({"pixel_values": PIXELS, "input_points": torch.zeros(1, 2, 2)}, r"\(1, 2, 2\)"),
        ({"pixel_values": PIXELS, "input_boxes": torch.zeros(1, 4)}, r"\(images, prompts, 4\)"),
        ({"pixel_values": PIXELS, "input_points": torch.zeros(2, 1, 1, 2)}, "for 2 images, but there are 1"),
        ({"pixel_values": PIXELS, "input_boxes": torch.zeros(2, 1, 4)}, "for 2 images, but there are 1"),
        (
            {"pixel_values": PIXELS, "input_boxes": torch.zeros(1, 1, 4), "input_points": torch.zeros(1, 2, 1, 2)},
            "2 prompts of points but 1 boxes",
        ),
        ({"pixel_values": PIXELS, "input_masks": torch.zeros(1, 1, 16, 16)}, r"\(batch, 1, 32, 32\)"),
    ],
)
def test_inputs_of_the_model(model: Any, inputs: dict[str, torch.Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model(**inputs)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"input_points": [[[1, 2]], [[3, 4]]]}, "for 2 images, but there are 1"),
        ({"input_points": [[1, 2]]}, r"\(N, 2\)"),
        ({"input_points": [[[1, float("nan")]]]}, "finite"),
        ({"input_points": [["a", "b"]]}, "finite numbers"),
        ({"input_points": [[[1, 2]]], "input_labels": [[1, 0]]}, "each point needs one label"),
        ({"input_boxes": [[[1, 2, 3]]]}, r"\(P, 4\)"),
        ({"text": "a cat"}, "takes images alone"),
        ({"segmentation_maps": np.zeros((3, 3), np.uint8)}, "Segmentation map 0"),
        ({"size": {"height": 3, "width": 3}}, "longest_edge"),
        ({"pad_size": {"height": 3, "width": 3}}, "cannot be padded"),
    ],
)
def test_prompts(processor: SamProcessor, prompt: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        processor(IMAGE, **prompt)


def test_images_with_different_numbers_of_points_need_no_labels(processor: SamProcessor) -> None:
    out = processor([IMAGE, IMAGE], input_points=[[[1, 2]], [[3, 4], [5, 6]]], return_tensors="pt")
    assert out["input_points"].shape == (2, 1, 2, 2)
    assert out["input_labels"].tolist() == [[[1, -10]], [[1, 1]]]


def test_filling_points_change_nothing(model: Any, processor: SamProcessor) -> None:
    pair = processor([IMAGE, IMAGE], input_points=[[[1, 2]], [[3, 4], [5, 6]]], return_tensors="pt")
    alone = processor(IMAGE, input_points=[[[1, 2]]], return_tensors="pt")
    sparse, _ = model.get_prompt_embeddings(pair["input_points"], pair["input_labels"])
    single, _ = model.get_prompt_embeddings(alone["input_points"], torch.ones(1, 1, 1))
    assert torch.equal(sparse[0, 0, 0], single[0, 0, 0])
    assert not sparse[0, 0, 1].any()


@pytest.mark.parametrize("config", [{"hidden_size": 10, "num_attention_heads": 4}, {"num_attention_heads": 0}])
def test_configs_that_cannot_work(config: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        SamVisionConfig(**config)
    with pytest.raises(ValueError):
        SamConfig(vision_config=config)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_run_lengths_give_the_mask_back(height: int, width: int, seed: int) -> None:
    masks = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) > 0.5
    for mask, rle in zip(masks, masks_to_rle(masks), strict=True):
        assert rle["size"] == [height, width] and sum(rle["counts"]) == height * width
        np.testing.assert_array_equal(rle_to_mask(rle), mask.numpy())
    for mask, (left, top, right, bottom) in zip(masks, mask_boxes(masks).tolist(), strict=True):
        if mask.any():
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            assert [left, top, right, bottom] == [columns.min(), rows.min(), columns.max(), rows.max()]


@pytest.mark.parametrize("kind", [SamImageProcessor, SamImageProcessorFast])
def test_points_of_a_crop_cover_the_crop(kind: Any) -> None:
    """In pixels of the model's input each crop is resized to; layers may have fewer points."""
    image = torch.zeros(3, 300, 400) if kind is SamImageProcessorFast else PIL.Image.new("RGB", (400, 300))
    boxes, points, crops, labels = kind().generate_crop_boxes(
        image, 64, crop_n_layers=1, points_per_crop=4, crop_n_points_downscale_factor=2
    )
    assert boxes.shape == (5, 4) and points.shape == (5, 16, 1, 2) and labels.shape == (5, 16, 1)
    assert labels[:, :, 0].ge(0).sum(dim=1).tolist() == [16, 4, 4, 4, 4]
    for box, point, label in zip(boxes, points, labels, strict=True):
        width, height = box[2] - box[0], box[3] - box[1]
        used = point[label[:, 0] >= 0][:, 0]
        per_side = int(len(used) ** 0.5)
        size = torch.tensor([64.0, torch.round(64 * height / width)])
        assert torch.allclose(used[0].float(), size / (2 * per_side), atol=0.2)
        assert torch.allclose(used[-1].float(), size * (1 - 1 / (2 * per_side)), atol=0.2)
    assert len(crops) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"points_per_crop": None}, "points_per_crop is missing"),
        ({"points_per_crop": 0}, "at least 1"),
        ({"crop_n_layers": 3, "points_per_crop": 4, "crop_n_points_downscale_factor": 2}, "Layer 3 has no points"),
        ({"return_tensors": "tf"}, "only torch"),
    ],
)
def test_crop_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SamImageProcessor().generate_crop_boxes(IMAGE, 64, **options)
    with pytest.raises(ValueError, match="one image at a time"):
        SamImageProcessor().generate_crop_boxes([IMAGE, IMAGE], 64)


def test_both_processors_agree_on_photographs() -> None:
    """Torch's and Pillow's 8-bit filters round alike but for single steps of 1/255."""
    y, x = np.mgrid[:211, :307]
    waves = np.stack([127 + 120 * np.sin(x / 9 + c) * np.cos(y / 7) for c in range(3)], axis=-1).astype(np.uint8)
    image = PIL.Image.fromarray(waves)
    settings = {"size": {"longest_edge": 96}, "pad_size": {"height": 96, "width": 96}, "do_normalize": False}
    slow = SamImageProcessor(**settings)(image, return_tensors="pt")
    fast = SamImageProcessorFast(**settings)(image, return_tensors="pt")
    assert (slow["pixel_values"] - fast["pixel_values"]).abs().max() <= 1.01 / 255
    for name in ("original_sizes", "reshaped_input_sizes"):
        assert torch.equal(slow[name], fast[name])


class TestImageProcessor(ImageProcessorConformance):
    name = "sam"
    settings = {"size": {"longest_edge": 64}, "pad_size": 64}


class TestTensorImageProcessor(ImageProcessorConformance):
    name = "sam"

    def make_processor(self) -> SamImageProcessorFast:
        return SamImageProcessorFast(size={"longest_edge": 64}, pad_size=64)
