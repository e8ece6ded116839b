"""From what a caller passes to samples at the model's rate, and from long samples to overlapping chunks.

Shapes: N samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xf import logging
from xf.utils.tensors import is_torch_tensor
from xf_audio.arrays import Array
from xf_audio.files import read_audio, resample

logger = logging.get_logger(__name__)
Stride = tuple[int, int, int]  # samples (or tokens) of a chunk, and how many of them overlap on the left and right


def read_sound(inputs: Any, sampling_rate: int) -> tuple[Array, Stride | None, dict[str, Any]]:
    """Samples (N,) at `sampling_rate`, the stride that the caller states, and the caller's own further keys.

    Args:
        inputs: a path, an http(s) address, the bytes of a file, samples at `sampling_rate`, or a dictionary with
            "sampling_rate", "raw" (or "array") and maybe "stride" (left, right) in samples.

    Raises:
        ValueError: bad audio, an incomplete dictionary, a stride longer than the audio.
        TypeError: inputs of another kind.
    """
    stride: Stride | None = None
    extra: dict[str, Any] = {}
    if isinstance(inputs, (str, os.PathLike, bytes)):
        samples: Any = read_audio(inputs, sampling_rate)[0]
    elif isinstance(inputs, Mapping):
        samples, stride, extra = _from_mapping(dict(inputs), sampling_rate)
    else:
        samples = inputs
    return _mono(_as_array(samples)), stride, extra


def _from_mapping(given: dict[str, Any], sampling_rate: int) -> tuple[Any, Stride | None, dict[str, Any]]:
    sides = given.pop("stride", None)
    rate = given.pop("sampling_rate", None)
    raw = given.pop("raw", None)
    if raw is None:
        given.pop("path", None)
        raw = given.pop("array", None)
    if raw is None or rate is None:
        raise ValueError(
            'A dictionary needs a "raw" (or "array") key with the samples and a "sampling_rate" key with their rate; '
            f"this one has neither or one of them, and {sorted(given)}."
        )
    samples = _mono(_as_array(raw))
    ratio = 1.0
    if rate != sampling_rate:
        ratio = sampling_rate / rate
        samples = resample(samples.astype(np.float32), rate, sampling_rate)
    if sides is None:
        return samples, None, given
    left, right = sides
    if (left + right) * ratio > len(samples):
        raise ValueError(f"Stride is too large for input: {left} + {right} samples of {len(samples) / ratio:.0f}.")
    return samples, (len(samples), int(round(left * ratio)), int(round(right * ratio))), given


def _as_array(samples: Any) -> Array:
    if is_torch_tensor(samples):
        samples = samples.detach().cpu().numpy()
    if not isinstance(samples, np.ndarray):
        raise TypeError(
            f"Speech must be a path, an address, bytes, samples as an array or tensor, or a dictionary with samples; "
            f"not {type(samples).__name__}."
        )
    return samples


def _mono(samples: Array) -> Array:
    if samples.ndim == 1:
        return samples
    if samples.ndim != 2:
        raise ValueError(f"Samples must be (samples,) or (channels, samples), but have shape {samples.shape}.")
    if samples.shape[0] > samples.shape[1]:
        raise ValueError(
            f"Samples of shape {samples.shape} have more channels than samples: channels come first. Transpose them."
        )
    logger.warning_once(f"The sound has {samples.shape[0]} channels: their mean is used.")
    return np.asarray(samples.mean(axis=0))


def chunk_sizes(chunk_length_s: float, stride_length_s: Any, sampling_rate: int, align_to: int) -> tuple[int, int, int]:
    """Samples of a chunk, and of its overlap on the left and right, in multiples of `align_to`.

    Args:
        stride_length_s: one number or (left, right) in seconds; None is a sixth of the chunk.

    Raises:
        ValueError: overlaps that leave nothing of a chunk.
    """
    if stride_length_s is None:
        stride_length_s = chunk_length_s / 6
    if isinstance(stride_length_s, (int, float)):
        stride_length_s = (stride_length_s, stride_length_s)
    sizes = [int(round(s * sampling_rate / align_to) * align_to) for s in (chunk_length_s, *stride_length_s)]
    if sizes[0] <= sizes[1] + sizes[2]:
        raise ValueError(
            f"Chunk length must be superior to stride length: a chunk of {chunk_length_s} s has strides of "
            f"{stride_length_s[0]} s and {stride_length_s[1]} s."
        )
    return sizes[0], sizes[1], sizes[2]


def chunks(samples: Array, size: int, left: int, right: int) -> Iterator[tuple[Array, Stride, bool]]:
    """(samples, stride, whether it is the last) of each chunk; the ends of the sound have no stride."""
    for start in range(0, len(samples), size - left - right):
        piece = samples[start : start + size]
        own_left = 0 if start == 0 else left
        is_last = start + size >= len(samples)
        if len(piece) > own_left:
            yield piece, (len(piece), own_left, 0 if is_last else right), is_last
        if is_last:
            return


def rescaled(stride: Stride, ratio: float) -> Stride:
    """A stride in samples as one in tokens, `ratio` tokens to a sample."""
    samples, left, right = stride
    tokens = int(round(samples * ratio))
    return tokens, int(round(left / samples * tokens)), int(round(right / samples * tokens))
