"""Windows and spectrograms by the short-time Fourier transform, in NumPy.

Frames are views of the padded waveform and are transformed many at a time, in float64; the result of the
transform is kept as complex64, as documented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xf_audio.arrays import Array
from xf_audio.decibels import amplitude_to_db, power_to_db

# Samples of framed waveform held at once (64 MiB in float64), whatever the length of the recording.
_BLOCK_SAMPLES = 2**23


def optimal_fft_length(window_length: int) -> int:
    """The least power of two that is not below `window_length`."""
    return int(2 ** int(np.ceil(np.log2(window_length))))


def window_function(
    window_length: int, name: str = "hann", periodic: bool = True, frame_length: int | None = None, center: bool = True
) -> Array:
    """A window for the short-time Fourier transform.

    Args:
        window_length: in samples.
        name: "boxcar", "hamming", "hann" or "povey" (Hann to the power 0.85, from Kaldi).
        periodic: leave out the last sample of the symmetric window that is one longer.
        frame_length: pad with zeros to this many samples.
        center: put the window in the middle of the frame, otherwise at its start.

    Returns:
        float64 array (window_length,) or (frame_length,).

    Raises:
        ValueError: unknown name, or a window longer than the frame.
    """
    length = window_length + 1 if periodic else window_length
    if name == "boxcar":
        window = np.ones(length)
    elif name in ("hamming", "hamming_window"):
        window = np.hamming(length)
    elif name in ("hann", "hann_window"):
        window = np.hanning(length)
    elif name == "povey":
        window = np.power(np.hanning(length), 0.85)
    else:
        raise ValueError(f'Unknown window function {name!r}: use "boxcar", "hamming", "hann" or "povey".')
    if periodic:
        window = window[:-1]
    if frame_length is None:
        return window
    if window_length > frame_length:
        raise ValueError(f"A window of {window_length} samples does not fit a frame of {frame_length}.")
    padded = np.zeros(frame_length)
    offset = (frame_length - window_length) // 2 if center else 0
    padded[offset : offset + window_length] = window
    return padded


@dataclass(frozen=True)
class _Transform:
    """The checked settings of one transform."""

    window: Array
    frame_length: int
    hop_length: int
    fft_length: int
    center: bool
    pad_mode: Any
    onesided: bool
    dither: float
    preemphasis: float | None
    remove_dc_offset: bool

    def check(self) -> None:
        if self.frame_length > self.fft_length:
            raise ValueError(f"frame_length ({self.frame_length}) is larger than fft_length ({self.fft_length}).")
        if len(self.window) != self.frame_length:
            raise ValueError(
                f"The window has {len(self.window)} samples, but frame_length is {self.frame_length}: "
                "pad it with window_function(..., frame_length=...)."
            )
        if self.hop_length <= 0:
            raise ValueError(f"hop_length must be greater than zero, not {self.hop_length}.")

    def frames(self, waveform: Array) -> Array:
        """A view (frames, frame_length) of the waveform (samples,), padded if need be, in float64."""
        _check_waveform(waveform)
        if self.center:
            half = self.frame_length // 2
            if self.pad_mode == "reflect" and len(waveform) == 0:
                raise ValueError("The waveform is empty: there is nothing to reflect. Check the recording.")
            waveform = np.pad(waveform, (half, half), mode=self.pad_mode)
        waveform = waveform.astype(np.float64)
        if len(waveform) < self.frame_length:
            raise ValueError(
                f"The waveform has {len(waveform)} samples, fewer than one frame of {self.frame_length}. "
                "Use center=True or pad it."
            )
        return np.lib.stride_tricks.sliding_window_view(waveform, self.frame_length)[:: self.hop_length]

    def __call__(self, frames_TN: Array, noise_TN: Array | None = None) -> Array:
        """The complex64 spectrum (frames, bins); `noise_TN` is drawn here if it is needed and not given."""
        bins = self.fft_length // 2 + 1 if self.onesided else self.fft_length
        spectrum_TF = np.empty((len(frames_TN), bins), dtype=np.complex64)
        step = max(1, _BLOCK_SAMPLES // self.fft_length)
        for start in range(0, len(frames_TN), step):
            block_TN = frames_TN[start : start + step]
            if self.dither != 0.0:
                noise = np.random.randn(*block_TN.shape) if noise_TN is None else noise_TN[start : start + step]
                block_TN = block_TN + self.dither * noise
            spectrum_TF[start : start + step] = self._transform(block_TN)
        return spectrum_TF

    def _transform(self, frames_TN: Array) -> Array:
        if self.remove_dc_offset:
            frames_TN = frames_TN - frames_TN.mean(axis=1, keepdims=True)
        if self.preemphasis is not None:
            # y[n] = x[n] - c x[n - 1]; the first sample of a frame has itself as the one before (Kaldi).
            before_TN = np.concatenate((frames_TN[:, :1], frames_TN[:, :-1]), axis=1)
            frames_TN = frames_TN - self.preemphasis * before_TN
        fft = np.fft.rfft if self.onesided else np.fft.fft
        return fft(frames_TN * self.window, n=self.fft_length, axis=1)


def _check_waveform(waveform: Array) -> None:
    if waveform.ndim != 1:
        raise ValueError(
            f"The waveform must have one dimension (mono), but its shape is {waveform.shape}. "
            "Average the channels or convert one at a time."
        )
    if np.iscomplexobj(waveform):
        raise ValueError("Complex-valued waveforms are not supported: pass the real samples.")


@dataclass(frozen=True)
class _Scale:
    """What becomes of a complex spectrum: power, mel, logarithm."""

    power: float | None
    mel_filters: Array | None
    mel_floor: float
    log_mel: str | None
    reference: float
    min_value: float
    db_range: float | None
    dtype: Any

    def check(self) -> None:
        if self.power is None and self.mel_filters is not None:
            raise ValueError(
                "mel_filters were given but power is None, which asks for complex numbers: "
                "use power=1.0 for amplitudes or power=2.0 for energies."
            )

    def __call__(self, spectrum_FT: Array) -> Array:
        result = spectrum_FT
        if self.power is not None:
            result = np.abs(result, dtype=np.float64) ** self.power
        if self.mel_filters is not None:
            result = np.maximum(self.mel_floor, np.dot(self.mel_filters.T, result))
        if self.power is None or self.log_mel is None:
            return result
        if self.log_mel == "log":
            result = np.log(result)
        elif self.log_mel == "log10":
            result = np.log10(result)
        elif self.log_mel == "dB" and self.power in (1.0, 2.0):
            to_db = amplitude_to_db if self.power == 1.0 else power_to_db
            result = to_db(result, self.reference, self.min_value, self.db_range)
        elif self.log_mel == "dB":
            raise ValueError(f'log_mel="dB" needs power 1.0 (amplitude) or 2.0 (power), not {self.power}.')
        else:
            raise ValueError(f'Unknown log_mel {self.log_mel!r}: use None, "log", "log10" or "dB".')
        return np.asarray(result, self.dtype)


def spectrogram(
    waveform: Array,
    window: Array,
    frame_length: int,
    hop_length: int,
    fft_length: int | None = None,
    power: float | None = 1.0,
    center: bool = True,
    pad_mode: str = "reflect",
    onesided: bool = True,
    dither: float = 0.0,
    preemphasis: float | None = None,
    mel_filters: Array | None = None,
    mel_floor: float = 1e-10,
    log_mel: str | None = None,
    reference: float = 1.0,
    min_value: float = 1e-10,
    db_range: float | None = None,
    remove_dc_offset: bool | None = None,
    dtype: Any = np.float32,
) -> Array:
    """The spectrogram of one waveform: complex, amplitude, power, mel or log-mel.

    Args:
        waveform: real samples (length,).
        window: (frame_length,), see [`window_function`].
        frame_length: samples to a frame.
        hop_length: samples from one frame to the next.
        fft_length: samples to a transform, each frame padded with zeros; None is `frame_length`.
        power: 1.0 amplitudes, 2.0 energies, None complex numbers.
        center: frame t lies around sample t * hop_length, the ends padded as `pad_mode` says ("reflect",
            "constant", "edge"); otherwise it starts there.
        onesided: only the `fft_length // 2 + 1` bins of positive frequency.
        dither: standard deviation of Gaussian noise added to each frame.
        preemphasis: coefficient of a first-order high-pass filter within each frame.
        mel_filters: (bins, filters), see [`mel_filter_bank`].
        mel_floor: least value of a mel bin.
        log_mel: None, "log", "log10" or "dB".
        reference, min_value, db_range: for "dB", see [`power_to_db`].
        remove_dc_offset: subtract the mean of each frame.
        dtype: of a logarithmic result; without `log_mel` it is float64, or complex64 where `power` is None.

    Returns:
        array (bins, frames), or (filters, frames) with mel filters.

    Raises:
        ValueError: settings that do not fit each other, or a waveform that is not one-dimensional, is complex
            or too short.
    """
    transform, scale = _settings(locals())
    return scale(transform(transform.frames(waveform)).T)


def spectrogram_batch(
    waveform_list: Sequence[Array],
    window: Array,
    frame_length: int,
    hop_length: int,
    fft_length: int | None = None,
    power: float | None = 1.0,
    center: bool = True,
    pad_mode: str = "reflect",
    onesided: bool = True,
    dither: float = 0.0,
    preemphasis: float | None = None,
    mel_filters: Array | None = None,
    mel_floor: float = 1e-10,
    log_mel: str | None = None,
    reference: float = 1.0,
    min_value: float = 1e-10,
    db_range: float | None = None,
    remove_dc_offset: bool | None = None,
    dtype: Any = np.float32,
) -> list[Array]:
    """[`spectrogram`] of several waveforms, which may differ in length; one array each.

    The samples are rounded to `dtype` first, as they always were here: with the default, float64 waveforms give
    what [`spectrogram`] gives within 1e-4 on a logarithmic scale, float32 waveforms exactly that.
    """
    transform, scale = _settings(locals())
    framed = [transform.frames(_rounded(waveform, dtype)) for waveform in waveform_list]
    noise: list[Array | None] = [None] * len(framed)
    if dither != 0.0 and framed:
        # Drawn frame by frame across the batch: the same seed gives what it always gave.
        noise_TBN = np.random.randn(max(map(len, framed)), len(framed), frame_length)
        noise = [noise_TBN[: len(frames_TN), item] for item, frames_TN in enumerate(framed)]
    return [scale(transform(frames_TN, noise_TN).T) for frames_TN, noise_TN in zip(framed, noise, strict=True)]


def _rounded(waveform: Array, dtype: Any) -> Array:
    return waveform if np.iscomplexobj(waveform) else waveform.astype(dtype)


def _settings(given: dict[str, Any]) -> tuple[_Transform, _Scale]:
    given = dict(given, remove_dc_offset=bool(given["remove_dc_offset"]))
    if given["fft_length"] is None:
        given["fft_length"] = given["frame_length"]
    transform = _Transform(**{name: given[name] for name in _Transform.__dataclass_fields__})
    scale = _Scale(**{name: given[name] for name in _Scale.__dataclass_fields__})
    transform.check()
    scale.check()
    return transform, scale
