"""Frequency scales (mel, octave) and the filter banks built on them.

Sources: Stevens, Volkmann & Newman (1937) for the mel; Young et al., "The HTK Book" (htk), Povey et al., "The Kaldi
Speech Recognition Toolkit" (2011, kaldi), Slaney, "Auditory Toolbox" (1998, slaney); Ellis, "Chroma feature analysis
and synthesis" (2007).
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import numpy as np

from xf_audio.arrays import Array

Frequencies = TypeVar("Frequencies", float, "np.ndarray[Any, Any]")

# Slaney's scale: linear below 1000 Hz with 200/3 Hz a mel, above it 27 mels for each factor of 6.4.
_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = 15.0
_SLANEY_MELS_PER_LOG = 27.0 / np.log(6.4)


def _check_scale(mel_scale: str) -> None:
    if mel_scale not in ("slaney", "htk", "kaldi"):
        raise ValueError(f'mel_scale must be "htk", "slaney" or "kaldi", not {mel_scale!r}.')


def hertz_to_mel(freq: Frequencies, mel_scale: str = "htk") -> Frequencies:
    """Convert hertz to mel; a number gives a number, an array an array.

    Raises:
        ValueError: `mel_scale` is none of "htk", "kaldi", "slaney".
    """
    _check_scale(mel_scale)
    if mel_scale == "htk":
        return 2595.0 * np.log10(1.0 + freq / 700.0)
    if mel_scale == "kaldi":
        return 1127.0 * np.log(1.0 + freq / 700.0)
    linear = 3.0 * freq / 200.0
    high = _SLANEY_BREAK_MEL + np.log(np.maximum(freq, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) * _SLANEY_MELS_PER_LOG
    mels: Any = np.where(np.asarray(freq) >= _SLANEY_BREAK_HZ, high, linear)
    return mels if isinstance(freq, np.ndarray) else mels[()]


def mel_to_hertz(mels: Frequencies, mel_scale: str = "htk") -> Frequencies:
    """Convert mel to hertz, the inverse of [`hertz_to_mel`].

    Raises:
        ValueError: `mel_scale` is none of "htk", "kaldi", "slaney".
    """
    _check_scale(mel_scale)
    if mel_scale == "htk":
        return 700.0 * (np.power(10, mels / 2595.0) - 1.0)
    if mel_scale == "kaldi":
        return 700.0 * (np.exp(mels / 1127.0) - 1.0)
    linear = 200.0 * mels / 3.0
    above = np.maximum(mels, _SLANEY_BREAK_MEL) - _SLANEY_BREAK_MEL
    high = _SLANEY_BREAK_HZ * np.exp(above / _SLANEY_MELS_PER_LOG)
    hertz: Any = np.where(np.asarray(mels) >= _SLANEY_BREAK_MEL, high, linear)
    return hertz if isinstance(mels, np.ndarray) else hertz[()]


def hertz_to_octave(freq: Frequencies, tuning: float = 0.0, bins_per_octave: int = 12) -> Frequencies:
    """Convert hertz to octaves above C0 = A440 / 16; `tuning` is the deviation from A440 in bins."""
    a440 = 440.0 * 2.0 ** (tuning / bins_per_octave)
    return np.log2(freq / (a440 / 16.0))


def _triangles(points: Array, corners: Array) -> Array:
    """Triangles over `points`, the i-th rising from corner i to i + 1 and falling to i + 2: (points, filters)."""
    widths = np.diff(corners)
    slopes = corners[None, :] - points[:, None]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def mel_filter_bank(
    num_frequency_bins: int,
    num_mel_filters: int,
    min_frequency: float,
    max_frequency: float,
    sampling_rate: int,
    norm: str | None = None,
    mel_scale: str = "htk",
    triangularize_in_mel_space: bool = False,
) -> Array:
    """Matrix that turns a spectrogram into a mel spectrogram: overlapping triangles, evenly spaced in mel.

    Args:
        num_frequency_bins: bins of the spectrogram, `fft_length // 2 + 1`.
        num_mel_filters: number of triangles.
        min_frequency, max_frequency: range covered, in Hz.
        sampling_rate: of the waveform, in Hz.
        norm: "slaney" divides each triangle by half its width (constant area); None leaves peaks at 1.
        mel_scale: "htk", "kaldi" or "slaney".
        triangularize_in_mel_space: draw the triangles in mel and not in Hz (as Kaldi does).

    Returns:
        float64 array (num_frequency_bins, num_mel_filters).

    Raises:
        ValueError: unknown `norm` or scale, fewer than two bins, or `min_frequency` above `max_frequency`.
    """
    if norm is not None and norm != "slaney":
        raise ValueError(f'norm must be None or "slaney", not {norm!r}.')
    if num_frequency_bins < 2:
        raise ValueError(f"num_frequency_bins must be at least 2, not {num_frequency_bins}: it is fft_length // 2 + 1.")
    if min_frequency > max_frequency:
        raise ValueError(f"min_frequency {min_frequency} Hz is above max_frequency {max_frequency} Hz.")
    mel_low: float = hertz_to_mel(min_frequency, mel_scale=mel_scale)
    mel_high: float = hertz_to_mel(max_frequency, mel_scale=mel_scale)
    mel_corners = np.linspace(mel_low, mel_high, num_mel_filters + 2)
    if triangularize_in_mel_space:
        bin_width = sampling_rate / ((num_frequency_bins - 1) * 2)
        points: Array = hertz_to_mel(bin_width * np.arange(num_frequency_bins), mel_scale=mel_scale)
        corners = mel_corners
    else:
        points = np.linspace(0, sampling_rate // 2, num_frequency_bins)
        corners = mel_to_hertz(mel_corners, mel_scale=mel_scale)
    filters = _triangles(points, corners)
    if norm == "slaney":
        filters *= (2.0 / (corners[2:] - corners[:-2]))[None, :]
    if (filters.max(axis=0) == 0.0).any():
        warnings.warn(
            f"Some of the {num_mel_filters} mel filters are all zeros: too many filters for {num_frequency_bins} "
            "frequency bins. Use fewer filters or a longer FFT.",
            stacklevel=2,
        )
    return filters


def chroma_filter_bank(
    num_frequency_bins: int,
    num_chroma: int,
    sampling_rate: int,
    tuning: float = 0.0,
    power: float | None = 2.0,
    weighting_parameters: tuple[float, float] | None = (5.0, 2.0),
    start_at_c_chroma: bool = True,
) -> Array:
    """Matrix that folds the bins of a spectrogram onto pitch classes (Ellis 2007).

    Args:
        num_frequency_bins: length of the FFT.
        num_chroma: pitch classes to an octave.
        sampling_rate: in Hz.
        tuning: deviation from A440 in fractions of a pitch class.
        power: norm that each column is divided by (2.0: Euclidean, 1.0: sum); None leaves columns alone.
        weighting_parameters: (centre, half-width) in octaves of a Gaussian over the frequencies, or None.
        start_at_c_chroma: the first row is C, otherwise A.

    Returns:
        float64 array (num_chroma, 1 + num_frequency_bins / 2).
    """
    hertz = np.linspace(0, sampling_rate, num_frequency_bins, endpoint=False)[1:]
    positive = num_chroma * hertz_to_octave(hertz, tuning=tuning, bins_per_octave=num_chroma)
    # The DC bin has no pitch: it is put one and a half octaves below the first.
    positions = np.concatenate(([positive[0] - 1.5 * num_chroma], positive))
    widths = np.concatenate((np.maximum(np.diff(positions), 1.0), [1]))
    half = np.round(num_chroma / 2)
    offsets = np.subtract.outer(np.arange(0, num_chroma, dtype="d"), positions) * -1.0
    # Distance to the nearest octave of each pitch class, in [-half, half); the shift by octaves keeps it positive.
    offsets = np.remainder(offsets + half + 10 * num_chroma, num_chroma) - half
    filters = np.exp(-0.5 * (2 * offsets / widths) ** 2)
    if power is not None:
        filters = filters / np.sum(filters**power, axis=0, keepdims=True) ** (1.0 / power)
    if weighting_parameters is not None:
        centre, half_width = weighting_parameters
        filters *= np.exp(-0.5 * ((positions / num_chroma - centre) / half_width) ** 2)
    if start_at_c_chroma:
        filters = np.roll(filters, -3 * (num_chroma // 12), axis=0)  # C is three semitones above A
    return np.ascontiguousarray(filters[:, : int(1 + num_frequency_bins / 2)])
