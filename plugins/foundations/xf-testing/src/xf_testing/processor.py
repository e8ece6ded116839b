"""What every image processor and feature extractor must do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from .base import Conformance


class _PreprocessorConformance(Conformance):
    """Shared by both: made without arguments, or by `make_processor`."""

    registry: ClassVar[str] = ""
    name: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}

    def make_processor(self) -> Any:
        """The processor under test: of the class registered as `name`, with `settings`."""
        from xf.plugins import registry

        return registry(self.registry).get(self.name)(**self.settings)

    def make_item(self, seed: int = 0) -> Any:
        """One input."""
        raise NotImplementedError

    def make_call(self) -> dict[str, Any]:
        """Arguments of every call."""
        return {}

    def process(self, items: Any) -> Any:
        return self.make_processor()(items, **self.make_call())

    def main(self, processed: Any) -> Any:
        """The model's main input in what was returned."""
        return processed[self.make_processor().model_input_names[0]]

    def test_returns_its_inputs(self) -> None:
        processed = self.process(self.make_item())
        assert set(self.make_processor().model_input_names[:1]) <= set(processed)

    def test_same_input_same_output(self) -> None:
        one, two = (self.main(self.process(self.make_item())) for _ in range(2))
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))

    def test_a_batch_is_its_rows(self) -> None:
        items = [self.make_item(seed) for seed in range(3)]
        batch = self.main(self.process(items))
        for row, item in enumerate(items):
            np.testing.assert_array_equal(np.asarray(batch[row]), np.asarray(self.main(self.process(item))[0]))

    def test_tensors_are_made_where_asked(self) -> None:
        import torch

        processed = self.make_processor()(self.make_item(), return_tensors="pt", **self.make_call())
        assert isinstance(self.main(processed), torch.Tensor)

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        processor = self.make_processor()
        processor.save_pretrained(tmp_path)
        again = type(processor).from_pretrained(tmp_path)
        assert again.to_dict() == processor.to_dict()
        ours, theirs = (self.main(p(self.make_item(), **self.make_call())) for p in (again, processor))
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))

    def test_its_settings_are_json(self) -> None:
        json.loads(self.make_processor().to_json_string())

    def test_calls_leave_nothing_behind(self) -> None:
        processor = self.make_processor()
        before = processor.to_dict()
        processor(self.make_item(), **self.make_call())
        assert processor.to_dict() == before

    def test_inputs_are_not_changed(self) -> None:
        item = np.asarray(self.make_item())
        before = item.copy()
        self.process(item)
        np.testing.assert_array_equal(item, before)

    def test_what_it_cannot_read_is_refused(self) -> None:
        for wrong in ("no such file.xyz", object()):
            with pytest.raises((ValueError, TypeError, OSError)):
                self.process(wrong)


class ImageProcessorConformance(_PreprocessorConformance):
    """Subclass and set `name` (the model_type); images are random RGB of a size that divides by nothing."""

    contract: ClassVar[str] = "image_processor"
    registry: ClassVar[str] = "image_processor"
    size: ClassVar[tuple[int, int]] = (53, 71)  # height, width

    def make_item(self, seed: int = 0) -> Any:
        return np.random.default_rng(seed).integers(0, 256, (*self.size, 3), dtype=np.uint8)

    def test_layouts_and_kinds_of_images_give_the_same(self) -> None:
        import torch
        from PIL import Image

        array = self.make_item()
        expected = np.asarray(self.main(self.process(array)))
        for image in (Image.fromarray(array), torch.from_numpy(array.transpose(2, 0, 1).copy())):
            np.testing.assert_allclose(np.asarray(self.main(self.process(image))), expected, atol=1e-6)


class FeatureExtractorConformance(_PreprocessorConformance):
    """Subclass and set `name` (the model_type); inputs are a second of noise."""

    contract: ClassVar[str] = "feature_extractor"
    registry: ClassVar[str] = "feature_extractor"
    sampling_rate: ClassVar[int] = 16000

    def make_item(self, seed: int = 0) -> Any:
        return np.random.default_rng(seed).standard_normal(self.sampling_rate).astype(np.float32) * 0.1

    def make_call(self) -> dict[str, Any]:
        return {"sampling_rate": self.sampling_rate}

    def test_another_sampling_rate_is_refused(self) -> None:
        with pytest.raises(ValueError, match=str(self.sampling_rate)):
            self.make_processor()(self.make_item(), sampling_rate=self.sampling_rate + 1)
