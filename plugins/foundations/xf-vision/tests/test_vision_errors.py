"""Bad arguments are refused with the value and what to do, before any pixel is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from xf_vision import argument_checks
from xf_vision import image_transforms as t
from xf_vision import image_utils as u
from xf_vision.backbone_utils import get_aligned_output_features_output_indices
from xf_vision.image_processing_utils import BaseImageProcessor, get_size_dict
from xf_vision.image_processing_utils_fast import BaseImageProcessorFast
from xf_vision.video_processing_utils import BaseVideoProcessor

IMAGE = np.zeros((5, 6, 3), dtype=np.uint8)
NAN = float("nan")


class Processor(BaseImageProcessorFast):
    do_resize, size, resample = True, {"height": 4, "width": 4}, 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: t.resize(IMAGE, (NAN, 4)), "whole numbers of pixels"),
        (lambda: t.resize(IMAGE, (3,)), r"\(height, width\)"),
        (lambda: t.resize(IMAGE + 300.5, (3, 3)), "values lie in .300.5"),
        (lambda: t.resize(np.full((4, 4, 3), NAN), (3, 3)), "cannot convert|Cannot convert"),
        (lambda: t.resize(np.full((4, 4, 3), -2.0), (3, 3)), "values lie in"),
        (lambda: t.normalize(IMAGE, [1, 2], 1), "`mean` must have 3 elements"),
        (lambda: t.normalize("x", 1, 1), "NumPy array, got str"),
        (lambda: t.center_crop(IMAGE, 4), r"\(height, width\)"),
        (lambda: t.pad(IMAGE, "x"), "Padding must be"),
        (lambda: t.pad(IMAGE, 1, "wrap"), "'constant', 'reflect'"),
        (lambda: t.to_channel_dimension_format(IMAGE, "middle"), "channels_first"),
        (lambda: t.to_pil_image("x"), "Not an image: str"),
        (lambda: t.center_to_corners_format(np.zeros((2, 3))), r"4 numbers.*\(2, 3\)"),
        (lambda: u.infer_channel_dimension_format(np.zeros((4, 5, 6))), r"\(4, 5, 6\).*input_data_format"),
        (lambda: u.infer_channel_dimension_format(np.zeros(3)), "1 axes"),
        (lambda: u.make_list_of_images(np.zeros((2, 2))), "Invalid image shape"),
        (lambda: u.make_flat_list_of_images(["a"]), "list of str"),
        (lambda: u.validate_preprocess_arguments(do_resize=True, size={"height": 3}), "`resample` is not set"),
        (lambda: u.validate_preprocess_arguments(do_rescale=True), "`rescale_factor` is not set"),
        (lambda: u.validate_preprocess_arguments(do_rescale=True, rescale_factor=NAN), "finite"),
        (lambda: u.validate_preprocess_arguments(do_resize=True, size={"height": NAN}, resample=2), "height.*nan"),
        (lambda: u.validate_preprocess_arguments(do_resize=True, size={"height": -1}, resample=2), "height.*-1"),
        (lambda: u.validate_preprocess_arguments(do_normalize=True, image_mean=[NAN], image_std=[1]), "image_mean"),
        (lambda: u.validate_preprocess_arguments(do_normalize=True, image_mean=[0], image_std=[0.0]), "image_std"),
        (lambda: u.validate_preprocess_arguments(do_center_crop=True, crop_size={"height": "3"}), "'3'"),
        (lambda: get_size_dict({"height": 3}), "sets of keys"),
        (lambda: BaseImageProcessor().center_crop(IMAGE, {"shortest_edge": 3}), "height and width"),
        (lambda: Processor()([]), "list is empty"),
        (lambda: Processor()("photo.png"), "list of str|got str"),
        (lambda: Processor()(IMAGE, size={"height": NAN, "width": 3}), "nan"),
        (lambda: Processor()(IMAGE, size={"longest_edge": 3}), "shortest_edge"),
        (lambda: Processor()(IMAGE, resample=4), "filter box"),
        (lambda: Processor()(IMAGE, data_format="channels_last"), "channels first"),
        (lambda: Processor()([IMAGE, IMAGE[:3]], do_resize=False, return_tensors="pt"), "differ in size"),
        (lambda: Processor()(PIL.Image.new("RGBA", (5, 5))), "mode RGBA.*do_convert_rgb"),
        (lambda: BaseVideoProcessor()([]), "list is empty"),
        (lambda: BaseVideoProcessor()("a.mp4"), "load_video"),
        (
            lambda: BaseVideoProcessor().sample_frames(torch.zeros(4, 3, 2, 2), num_frames=5),
            "5 frames from a video of 4",
        ),
        (lambda: BaseVideoProcessor().sample_frames(torch.zeros(4, 3, 2, 2), fps=5), "video_metadata"),
        (lambda: get_aligned_output_features_output_indices(["x"], None, ["a", "b"]), r"unknown: \['x'\]"),
    ],
)
def test_errors_name_the_value_and_the_remedy(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_an_unused_argument_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(argument_checks.logger, "warning", lambda text, *args: said.append(text % args))
    Processor()(IMAGE, colour="red")
    assert said == ["Ignored arguments of the image processor: colour."]
