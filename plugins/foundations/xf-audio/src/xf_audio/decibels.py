"""Spectrograms on the decibel scale."""

from __future__ import annotations

import numpy as np

from xf_audio.arrays import Array


def _to_db(
    spectrogram: Array, factor: float, reference: float, min_value: float, db_range: float | None, per_item: bool
) -> Array:
    """factor * log10(spectrogram / reference), clipped from below; `per_item`: the first axis is the batch."""
    if reference <= 0.0:
        raise ValueError(f"reference must be greater than zero, not {reference}.")
    if min_value <= 0.0:
        raise ValueError(f"min_value must be greater than zero, not {min_value}.")
    if db_range is not None and db_range <= 0.0:
        raise ValueError(f"db_range must be greater than zero, not {db_range}.")
    reference = max(min_value, reference)
    spectrogram = np.clip(spectrogram, a_min=min_value, a_max=None)
    decibels = factor * (np.log10(spectrogram) - np.log10(reference))
    if db_range is not None:
        peak = decibels.max(axis=tuple(range(1, decibels.ndim)), keepdims=True) if per_item else decibels.max()
        decibels = np.clip(decibels, a_min=peak - db_range, a_max=None)
    return decibels


def power_to_db(
    spectrogram: Array, reference: float = 1.0, min_value: float = 1e-10, db_range: float | None = None
) -> Array:
    """A power spectrogram (squared amplitudes) in decibels: 10 log10(spectrogram / reference).

    Args:
        spectrogram: any shape.
        reference: value that becomes 0 dB.
        min_value: floor applied before the logarithm (1e-10 is -100 dB).
        db_range: largest distance in dB from the peak; what lies lower is raised to it.

    Raises:
        ValueError: `reference`, `min_value` or `db_range` is not above zero.
    """
    return _to_db(spectrogram, 10.0, reference, min_value, db_range, per_item=False)


def power_to_db_batch(
    spectrogram: Array, reference: float = 1.0, min_value: float = 1e-10, db_range: float | None = None
) -> Array:
    """[`power_to_db`] of spectrograms (batch, frequency, time), each with its own peak for `db_range`."""
    return _to_db(spectrogram, 10.0, reference, min_value, db_range, per_item=True)


def amplitude_to_db(
    spectrogram: Array, reference: float = 1.0, min_value: float = 1e-5, db_range: float | None = None
) -> Array:
    """An amplitude spectrogram in decibels: 20 log10(spectrogram / reference).

    Arguments and errors are those of [`power_to_db`]; a `min_value` of 1e-5 is -100 dB.
    """
    return _to_db(spectrogram, 20.0, reference, min_value, db_range, per_item=False)


def amplitude_to_db_batch(
    spectrogram: Array, reference: float = 1.0, min_value: float = 1e-5, db_range: float | None = None
) -> Array:
    """[`amplitude_to_db`] of spectrograms (batch, frequency, time), each with its own peak for `db_range`."""
    return _to_db(spectrogram, 20.0, reference, min_value, db_range, per_item=True)
