"""SamProcessor: images and prompts to the inputs of `SamModel`."""

from __future__ import annotations

from typing import Any

import numpy as np

from xf_plugin_sam.coordinates import scale_coordinates
from xf_processing import BatchFeature
from xf_processing.kwargs import ImagesKwargs, ProcessingKwargs
from xf_processing.processor import ProcessorMixin
from xf_vision.image_types import is_torch_tensor

PADDING_POINT = -10  # label (and coordinate) of points that only fill up a batch; the model gives them no weight


class SamImagesKwargs(ImagesKwargs, total=False):
    """Arguments of the image processor, and the prompts."""

    segmentation_maps: Any
    mask_size: Any
    mask_pad_size: Any
    rescale_factor: float | None
    do_convert_rgb: bool | None
    input_points: Any
    input_labels: Any
    input_boxes: Any
    point_pad_value: int | None


class SamProcessorKwargs(ProcessingKwargs, total=False):
    """Arguments of a call by kind."""

    images_kwargs: SamImagesKwargs
    _defaults = {"images_kwargs": {"point_pad_value": PADDING_POINT}}  # type: ignore[misc]


class SamProcessor(ProcessorMixin):
    """Prepares images with `SamImageProcessor`, and points and boxes of the images with them."""

    attributes = ["image_processor"]
    image_processor_class = "SamImageProcessor"

    def __init__(self, image_processor: Any) -> None:
        super().__init__(image_processor)
        self.image_processor = image_processor

    def __call__(  # type: ignore[override]
        self, images: Any = None, text: Any = None, audio: Any = None, video: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """One or several images with their prompts.

        - `input_points`: per image points (N, 2), or prompts of points (P, N, 2), as x, y in pixels of the image;
        - `input_labels`: per image (N,) or (P, N): 1 object, 0 background. Where images have different numbers of
          points, the missing ones are filled up with the label `point_pad_value` (-10);
        - `input_boxes`: per image boxes (P, 4): left, top, right, bottom in pixels of the image;
        - `segmentation_maps` and the other arguments of the image processor.

        Nested lists, arrays or tensors. Returns the image processor's entries and the prompts in pixels of the model's
        input, in float64: `input_points` (B, P, N, 2), `input_labels` (B, P, N), `input_boxes` (B, P, 4).
        ValueError for prompts whose number or form does not fit the images.
        """
        for name, value in (("text", text), ("audio", audio), ("video", video)):
            if value is not None:
                raise ValueError(f"SamProcessor takes images alone, but {name} was given.")
        if images is None:
            raise ValueError("There are no images.")
        options = self._merge_kwargs(SamProcessorKwargs, tokenizer_init_kwargs={}, **kwargs)["images_kwargs"]
        points, labels, boxes, pad_value = (
            options.pop(name, None) for name in ("input_points", "input_labels", "input_boxes", "point_pad_value")
        )
        encoding = self.image_processor(images, **options)
        sizes = np.asarray(encoding["original_sizes"])
        if boxes is not None:
            encoding["input_boxes"] = self._scaled_boxes(_per_image(boxes, "input_boxes", len(sizes)), sizes)
        if points is not None or labels is not None:
            scaled, filled = self._scaled_points(
                _per_image(points, "input_points", len(sizes)),
                _per_image(labels, "input_labels", len(sizes)),
                sizes,
                PADDING_POINT if pad_value is None else pad_value,
            )
            encoding |= {name: v for name, v in (("input_points", scaled), ("input_labels", filled)) if v is not None}
        return _as_tensors(encoding, options.get("return_tensors"))

    @property
    def _target_size(self) -> int:
        return int(self.image_processor.size["longest_edge"])

    def _scaled_boxes(self, boxes: list[np.ndarray], sizes: np.ndarray) -> np.ndarray:
        """(B, P, 4) in pixels of the model's input."""
        scaled = []
        for box, size in zip(boxes, sizes, strict=True):
            if box.ndim < 2 or box.shape[-1] != 4:
                raise ValueError(
                    f"input_boxes must hold boxes (P, 4) per image, [[[left, top, right, bottom]]], got {box.shape}."
                )
            scaled.append(scale_coordinates(box.reshape(-1, 2, 2), size, self._target_size).reshape(-1, 4))
        if len({entry.shape for entry in scaled}) > 1:
            raise ValueError(
                f"Images have different numbers of boxes, {[len(b) for b in scaled]}; pass them one by one."
            )
        return np.stack(scaled)

    def _scaled_points(
        self,
        points: list[np.ndarray] | None,
        labels: list[np.ndarray] | None,
        sizes: np.ndarray,
        pad_value: int,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Points (B, [P,] N, 2) in pixels of the model's input, and labels (B, [P,] N), filled up to one shape."""
        if points is None:
            assert labels is not None, "one of the two was given"
            return None, np.stack(labels)
        for point in points:
            if point.ndim not in (2, 3) or point.shape[-1] != 2:
                raise ValueError(
                    "input_points must hold points (N, 2) or prompts of points (P, N, 2) per image, e.g. [[[x, y]]], "
                    f"got shape {point.shape} for one image."
                )
        shapes = [point.shape[:-1] for point in points]
        if labels is not None and shapes != [label.shape for label in labels]:
            labels = [_fit_labels(label, shape) for label, shape in zip(labels, shapes, strict=True)]
        scaled = [scale_coordinates(p, size, self._target_size) for p, size in zip(points, sizes, strict=True)]
        if len(set(shapes)) > 1:
            if len({len(shape) for shape in shapes}) > 1:
                raise ValueError("input_points must have the same depth for all images: (N, 2) or (P, N, 2).")
            labels = [np.ones(shape, dtype=np.int64) for shape in shapes] if labels is None else labels
            common = tuple(max(lengths) for lengths in zip(*shapes, strict=True))
            scaled = [_fill(point, (*common, 2), pad_value) for point in scaled]
            labels = [_fill(label, common, pad_value) for label in labels]
        return np.stack(scaled), None if labels is None else np.stack(labels)

    @property
    def model_input_names(self) -> list[str]:
        return list(dict.fromkeys(self.image_processor.model_input_names))

    def post_process_masks(self, *args: Any, **kwargs: Any) -> Any:
        """Masks in the size of the images; see `SamImageProcessor.post_process_masks`."""
        return self.image_processor.post_process_masks(*args, **kwargs)


def _per_image(prompts: Any, name: str, images: int) -> list[np.ndarray] | None:
    """The prompts of each image as an array."""
    if prompts is None:
        return None
    if is_torch_tensor(prompts):
        prompts = prompts.detach().cpu().numpy()
    if not isinstance(prompts, (list, tuple, np.ndarray)) or len(prompts) == 0:
        raise ValueError(f"{name} must be nested lists, an array or a tensor, one entry per image; got {prompts!r}.")
    if len(prompts) != images:
        raise ValueError(f"{name} are for {len(prompts)} images, but there are {images}.")
    arrays = []
    for entry in prompts:
        try:
            array = np.array(entry.detach().cpu() if is_torch_tensor(entry) else entry)
        except ValueError as error:
            raise ValueError(f"{name}: the prompts of one image must have equally many points each.") from error
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite numbers, got {entry!r}.")
        if array.ndim == 0:
            raise ValueError(f"{name} must be a list per image, got the number {entry!r} for one.")
        arrays.append(array)
    return arrays


def _fit_labels(label: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Labels in the shape of their points, where only axes of length 1 differ."""
    if label.size != int(np.prod(shape)):
        raise ValueError(f"There are {shape} points, but {label.shape} labels; each point needs one label.")
    return label.reshape(shape)


def _fill(array: np.ndarray, shape: tuple[int, ...], value: int) -> np.ndarray:
    widths = [(0, length - own) for own, length in zip(array.shape, shape, strict=True)]
    return np.pad(array, widths, constant_values=value)


def _as_tensors(encoding: BatchFeature, return_tensors: Any) -> BatchFeature:
    """Prompts as torch tensors with the axis of prompts; for other formats they stay as they came."""
    if getattr(return_tensors, "value", return_tensors) != "pt":
        return encoding
    import torch

    for name, axes in (("input_boxes", 3), ("input_points", 4), ("input_labels", 3)):
        if name in encoding:
            tensor = torch.as_tensor(encoding[name])
            encoding[name] = tensor.unsqueeze(1) if tensor.ndim < axes else tensor
    return encoding
