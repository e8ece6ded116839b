"""Bringing whatever a user passes (one image, a list, a batch array, nested lists) into a list of known depth."""

from __future__ import annotations

from typing import Any

from xf_vision.image_types import is_batched, is_pil_image, is_valid_image, is_valid_list_of_images

_EXPECTED = "a PIL image, a NumPy array, a torch tensor, or a list of them"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_list_of_lists(images: Any) -> bool:
    return _is_list(images) and all(_is_list(i) and is_valid_list_of_images(i) for i in images)


def _wrong_shape(shape: Any, expected_ndims: int) -> ValueError:
    return ValueError(
        f"Invalid image shape {tuple(shape)}: expected {expected_ndims} axes for one image or {expected_ndims + 1} "
        "for a batch."
    )


def _not_images(images: Any) -> ValueError:
    kind = type(images).__name__
    inner = f" of {type(images[0]).__name__}" if _is_list(images) and images else ""
    return ValueError(f"Not images: got {kind}{inner}. Pass {_EXPECTED}.")


def make_list_of_images(images: Any, expected_ndims: int = 3) -> list[Any]:
    """A flat list of images of `expected_ndims` axes; a batch array is split along its first axis.

    A list or tuple is returned as it is. ValueError for anything that is no image or has another number of axes.
    """
    if is_batched(images):
        return images
    if not is_valid_image(images):
        raise _not_images(images)
    if is_pil_image(images) or images.ndim == expected_ndims:
        return [images]
    if images.ndim == expected_ndims + 1:
        return list(images)
    raise _wrong_shape(images.shape, expected_ndims)


def make_flat_list_of_images(images: Any, expected_ndims: int = 3) -> list[Any]:
    """Like `make_list_of_images`, and lists of lists and lists of batch arrays are flattened too."""
    if _is_list_of_lists(images):
        return [image for group in images for image in group]
    if _is_list(images) and is_valid_list_of_images(images):
        if is_pil_image(images[0]) or images[0].ndim == expected_ndims:
            return images
        if images[0].ndim == expected_ndims + 1:
            return [image for batch in images for image in batch]
        raise _wrong_shape(images[0].shape, expected_ndims)
    if is_valid_image(images):
        return make_list_of_images(images, expected_ndims)
    raise _not_images(images)


def make_nested_list_of_images(images: Any, expected_ndims: int = 3) -> list[Any]:
    """A list (one entry per sample) of lists of images; a flat list is the images of one sample."""
    if _is_list_of_lists(images):
        return images
    if _is_list(images) and is_valid_list_of_images(images):
        if is_pil_image(images[0]) or images[0].ndim == expected_ndims:
            return [images]
        if images[0].ndim == expected_ndims + 1:
            return [list(batch) for batch in images]
        raise _wrong_shape(images[0].shape, expected_ndims)
    if is_valid_image(images):
        return [make_list_of_images(images, expected_ndims)]
    raise _not_images(images)
