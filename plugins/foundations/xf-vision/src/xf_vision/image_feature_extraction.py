"""The image operations of the older feature extractors, as methods: they take and return PIL images or arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image

from xf_vision.image_types import PILImageResampling, is_pil_image, is_torch_tensor


class ImageFeatureExtractionMixin:
    """Mixin of image operations for feature extractors. New code uses `xf.image_transforms`."""

    def _ensure_format_supported(self, image: Any) -> None:
        if not (is_pil_image(image) or isinstance(image, np.ndarray) or is_torch_tensor(image)):
            raise ValueError(
                f"Not an image: {type(image).__name__}. Pass a PIL image, a NumPy array or a torch tensor."
            )

    def to_pil_image(self, image: Any, rescale: bool | None = None) -> Any:
        """A PIL image; `rescale` multiplies by 255 first (default: for float arrays). (C, H, W) arrays are turned."""
        self._ensure_format_supported(image)
        if is_torch_tensor(image):
            image = image.numpy()
        if not isinstance(image, np.ndarray):
            return image
        if rescale is None:
            rescale = isinstance(image.flat[0], np.floating)
        if image.ndim == 3 and image.shape[0] in (1, 3):
            image = image.transpose(1, 2, 0)
        return PIL.Image.fromarray((image * 255 if rescale else image).astype(np.uint8))

    def convert_rgb(self, image: Any) -> Any:
        """A PIL image in RGB; arrays are returned as they are."""
        self._ensure_format_supported(image)
        return image.convert("RGB") if is_pil_image(image) else image

    def rescale(self, image: np.ndarray, scale: float | int) -> np.ndarray:
        """`image * scale`."""
        self._ensure_format_supported(image)
        return image * scale

    def to_numpy_array(self, image: Any, rescale: bool | None = None, channel_first: bool = True) -> np.ndarray:
        """A NumPy array; `rescale` divides by 255 (default: for integers), `channel_first` moves the channels."""
        self._ensure_format_supported(image)
        if is_pil_image(image):
            image = np.array(image)
        elif is_torch_tensor(image):
            image = image.numpy()
        if rescale is None:
            rescale = isinstance(image.flat[0], np.integer)
        if rescale:
            image = self.rescale(image.astype(np.float32), 1 / 255.0)
        return image.transpose(2, 0, 1) if channel_first and image.ndim == 3 else image

    def expand_dims(self, image: Any) -> Any:
        """Add a leading batch axis to an array; PIL images are returned as they are."""
        self._ensure_format_supported(image)
        if is_pil_image(image):
            return image
        return np.expand_dims(image, axis=0) if isinstance(image, np.ndarray) else image.unsqueeze(0)

    def normalize(self, image: Any, mean: Any, std: Any, rescale: bool = False) -> Any:
        """(image - mean) / std. A PIL image becomes (C, H, W) in 0..1 first, and with `rescale` an array does."""
        self._ensure_format_supported(image)
        if is_pil_image(image):
            image = self.to_numpy_array(image, rescale=True)
        elif rescale:
            if isinstance(image, np.ndarray):
                image = self.rescale(image.astype(np.float32), 1 / 255.0)
            elif is_torch_tensor(image):
                image = self.rescale(image.float(), 1 / 255.0)
        if isinstance(image, np.ndarray) and not np.issubdtype(image.dtype, np.floating):
            image = image.astype(np.float32)  # a mean in 0..1 would become 0 in the image's integers
        mean, std = (self._statistic(value, image) for value in (mean, std))
        if image.ndim == 3 and image.shape[0] in (1, 3):
            return (image - mean[:, None, None]) / std[:, None, None]
        return (image - mean) / std

    @staticmethod
    def _statistic(value: Any, image: Any) -> Any:
        """An array keeps its dtype, a list takes the image's (NumPy) or the default one (torch)."""
        if isinstance(image, np.ndarray):
            return value if isinstance(value, np.ndarray) else np.array(value).astype(image.dtype)
        import torch

        return torch.from_numpy(value) if isinstance(value, np.ndarray) else torch.as_tensor(value)

    def resize(
        self,
        image: Any,
        size: int | tuple[int, int] | list[int],
        resample: int | None = None,
        default_to_square: bool = True,
        max_size: int | None = None,
    ) -> PIL.Image.Image:
        """Resize to (width, height); one number is both edges, or the shorter one if not `default_to_square`."""
        self._ensure_format_supported(image)
        if not is_pil_image(image):
            image = self.to_pil_image(image)
        if isinstance(size, list):
            size = tuple(size)  # type: ignore[assignment]
        if isinstance(size, int) or len(size) == 1:
            edge = size if isinstance(size, int) else size[0]
            size = (edge, edge) if default_to_square else self._shorter_edge_size(image, edge, max_size)
        return image.resize(size, resample=PILImageResampling.BILINEAR if resample is None else resample)

    @staticmethod
    def _shorter_edge_size(image: PIL.Image.Image, edge: int, max_size: int | None) -> tuple[int, int]:
        width, height = image.size
        short, long = sorted((width, height))
        new_short, new_long = edge, int(edge * long / short)
        if max_size is not None:
            if max_size <= edge:
                raise ValueError(f"`max_size` ({max_size}) must be greater than the size of the shorter edge ({edge}).")
            if new_long > max_size:
                new_short, new_long = int(max_size * new_short / new_long), max_size
        return (new_short, new_long) if width <= height else (new_long, new_short)

    def center_crop(self, image: Any, size: int | tuple[int, int]) -> Any:
        """Cut (height, width) from the centre, on zeros where the image is smaller. Arrays become (C, H, W)."""
        self._ensure_format_supported(image)
        height, width = size if isinstance(size, tuple) else (size, size)
        if not is_pil_image(image):
            if image.ndim == 2:
                image = image[None]
            elif image.shape[0] not in (1, 3):
                image = image.transpose(2, 0, 1) if isinstance(image, np.ndarray) else image.permute(2, 0, 1)
        image_height, image_width = (image.size[1], image.size[0]) if is_pil_image(image) else image.shape[-2:]
        top, left = (image_height - height) // 2, (image_width - width) // 2
        if is_pil_image(image):
            return image.crop((left, top, left + width, top + height))
        inside = (slice(max(0, top), top + height), slice(max(0, left), left + width))
        piece = image[(..., *inside)]
        shape = (*image.shape[:-2], height, width)
        out = np.zeros_like(image, shape=shape) if isinstance(image, np.ndarray) else image.new_zeros(shape)
        at_y, at_x = max(0, -top), max(0, -left)
        out[..., at_y : at_y + piece.shape[-2], at_x : at_x + piece.shape[-1]] = piece
        return out

    def flip_channel_order(self, image: Any) -> Any:
        """Reverse the channels of (C, H, W): RGB to BGR and back. A PIL image becomes an array first."""
        self._ensure_format_supported(image)
        if is_pil_image(image):
            image = self.to_numpy_array(image)
        return image[::-1, :, :]

    def rotate(
        self,
        image: Any,
        angle: float,
        resample: int | None = None,
        expand: int = 0,
        center: tuple[int, int] | None = None,
        translate: tuple[int, int] | None = None,
        fillcolor: Any = None,
    ) -> PIL.Image.Image:
        """Rotate counter-clockwise by `angle` degrees; the options are those of `PIL.Image.Image.rotate`."""
        resample = PILImageResampling.NEAREST if resample is None else resample
        self._ensure_format_supported(image)
        if not is_pil_image(image):
            image = self.to_pil_image(image)
        return image.rotate(
            angle, resample=resample, expand=expand, center=center, translate=translate, fillcolor=fillcolor
        )
