"""The arguments of processors, by kind of input, and how the arguments of one call are sorted into the kinds.

A processor declares its own arguments and defaults by extending `ProcessingKwargs`:

    class FooImagesKwargs(ImagesKwargs, total=False):
        do_foo: bool

    class FooProcessorKwargs(ProcessingKwargs, total=False):
        images_kwargs: FooImagesKwargs
        _defaults = {"text_kwargs": {"padding": False}}
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from xf import logging
from xf.utils.enums import PaddingStrategy, TensorType

if TYPE_CHECKING:
    from xf_tokenizers.batch_encoding import TruncationStrategy

logger = logging.get_logger(__name__)

Texts = str | list[str] | list[list[str]]


class TextKwargs(TypedDict, total=False):
    """Arguments of the tokenizer."""

    text_pair: Texts | None
    text_target: Texts
    text_pair_target: Texts | None
    add_special_tokens: bool | None
    padding: bool | str | PaddingStrategy
    truncation: bool | str | TruncationStrategy
    max_length: int | None
    stride: int | None
    is_split_into_words: bool | None
    pad_to_multiple_of: int | None
    return_token_type_ids: bool | None
    return_attention_mask: bool | None
    return_overflowing_tokens: bool | None
    return_special_tokens_mask: bool | None
    return_offsets_mapping: bool | None
    return_length: bool | None
    verbose: bool | None
    padding_side: str | None
    return_mm_token_type_ids: bool | None


class ImagesKwargs(TypedDict, total=False):
    """Arguments of the image processor."""

    do_resize: bool | None
    size: dict[str, int] | None
    size_divisor: int | None
    crop_size: dict[str, int] | None
    resample: Any
    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: float | list[float] | None
    image_std: float | list[float] | None
    do_pad: bool | None
    pad_size: dict[str, int] | None
    do_center_crop: bool | None
    data_format: Any
    input_data_format: Any
    device: str | None


class VideosKwargs(TypedDict, total=False):
    """Arguments of the video processor."""

    do_convert_rgb: bool | None
    do_resize: bool | None
    size: dict[str, int] | None
    size_divisor: int | None
    default_to_square: bool | None
    resample: Any
    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: float | list[float] | None
    image_std: float | list[float] | None
    do_pad: bool | None
    do_center_crop: bool | None
    crop_size: dict[str, int] | None
    data_format: Any
    input_data_format: Any
    device: str | None
    do_sample_frames: bool | None
    video_metadata: Any
    fps: int | float | None
    num_frames: int | None


class AudioKwargs(TypedDict, total=False):
    """Arguments of the feature extractor."""

    sampling_rate: int | None
    raw_speech: Any
    padding: bool | str | PaddingStrategy | None
    max_length: int | None
    truncation: bool | None
    pad_to_multiple_of: int | None
    return_attention_mask: bool | None


class CommonKwargs(TypedDict, total=False):
    """Arguments of all kinds of input."""

    return_tensors: str | TensorType | None


class ProcessingKwargs(TypedDict, total=False):
    """The arguments of a processor by kind; `_defaults` (a dictionary of the same form) holds its defaults."""

    text_kwargs: TextKwargs
    images_kwargs: ImagesKwargs
    videos_kwargs: VideosKwargs
    audio_kwargs: AudioKwargs
    common_kwargs: CommonKwargs


KINDS: dict[str, Any] = {
    "text_kwargs": TextKwargs,
    "images_kwargs": ImagesKwargs,
    "audio_kwargs": AudioKwargs,
    "videos_kwargs": VideosKwargs,
    "common_kwargs": CommonKwargs,
}


def names_by_kind(declared: Any) -> dict[str, set[str]]:
    """The argument names of each kind that a `ProcessingKwargs` class declares."""
    names: dict[str, set[str]] = {}
    for kind, default in KINDS.items():
        hint = getattr(declared, "__annotations__", {}).get(kind, default)
        text = getattr(hint, "__forward_arg__", hint)
        if isinstance(text, str):
            hint = default
            for owner in getattr(declared, "__orig_bases__", ()) + (declared,):
                hint = getattr(sys.modules.get(owner.__module__), text, hint)
        names[kind] = set(getattr(hint, "__annotations__", {})) | set(default.__annotations__)
    return names


def merge_kwargs(
    declared: Any, tokenizer_init_kwargs: Mapping[str, Any] | None, given: Mapping[str, Any], owner: str
) -> dict[str, dict[str, Any]]:
    """Sort the arguments of one call into kinds.

    What counts, weakest first: the defaults that `declared` has, what the tokenizer was made with, what this call gives
    (flat, or as a dictionary for one kind). An argument that several kinds have goes to each of them.

    Raises:
        ValueError: an argument that is given both flat and in the dictionary of a kind.
    """
    names = names_by_kind(declared)
    merged = {kind: dict(getattr(declared, "_defaults", {}).get(kind, {})) for kind in KINDS}
    for key, value in (tokenizer_init_kwargs or {}).items():
        if key in names["text_kwargs"]:
            merged["text_kwargs"][key] = value
    flat = {key: value for key, value in given.items() if key not in KINDS}
    for kind in KINDS:
        nested = dict(given.get(kind) or {})
        twice = sorted(set(nested) & set(flat))
        if twice:
            raise ValueError(
                f"Keyword argument {', '.join(twice)} was passed two times: in a dictionary for {kind} and "
                "as a **kwarg."
            )
        merged[kind].update({key: value for key, value in flat.items() if key in names[kind]})
        merged[kind].update(nested)
    unknown = sorted(key for key in flat if not any(key in of_kind for of_kind in names.values()))
    if unknown:
        logger.warning(
            f"{owner} does not know the arguments {', '.join(f'`{key}`' for key in unknown)}; they are ignored."
        )
    for kind in KINDS:
        if kind != "common_kwargs":
            merged[kind].update(merged["common_kwargs"])
    return merged
