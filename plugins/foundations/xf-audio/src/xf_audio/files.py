"""Audio from files, bytes and addresses: decoding, downmixing, resampling.

libsndfile (the `soundfile` package) decodes WAV, FLAC, OGG/Opus, MP3, AIFF and others; the `ffmpeg` program, where it
is installed, decodes the rest. `soxr` resamples at its high-quality setting.
"""

from __future__ import annotations

import base64
import io
import math
import os
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xf_audio.arrays import Array, is_valid_audio

# A day of sound. A forged header can promise any length; raise it with the argument `max_seconds`.
MAX_SECONDS = 24 * 3600.0
# Bytes that a download may have: a day of 16 kHz mono in 16 bit is 2.6 GiB.
MAX_DOWNLOAD_BYTES = 4 * 2**30
_HIGHEST_RATE = 768_000  # Hz; above every recorder, so a header that says more is damaged


class AudioError(ValueError):
    """An audio input that cannot be used; the message says why and what to do."""


def read_audio(
    source: str | os.PathLike[str] | bytes,
    sampling_rate: int | None = None,
    *,
    mono: bool = True,
    max_seconds: float | None = MAX_SECONDS,
    timeout: float | None = None,
) -> tuple[Array, int]:
    """Decode a file, the bytes of one, or an http(s) address.

    Args:
        source: path, address, or the content of an audio file.
        sampling_rate: resample to this rate in Hz; None keeps that of the file.
        mono: average the channels to (samples,); otherwise (samples, channels).
        max_seconds: refuse longer recordings before reading their samples; None allows any length.
        timeout: of a download, in seconds.

    Returns:
        float32 samples in [-1, 1] and their rate in Hz.

    Raises:
        AudioError: the input is empty, is not audio, is damaged, has no samples, is too long, is not finite, or offline
            mode forbids the download.
        ImportError: `soundfile` (or `soxr`, for resampling) is not installed; the message has the command.
        FileNotFoundError: no such file.
    """
    data, label = _read_source(source, timeout)
    if len(data) == 0:
        raise AudioError(f"{label} is empty: there is no audio to decode.")
    samples, rate = _decode(data, label, sampling_rate, max_seconds)
    if samples.size == 0:
        raise AudioError(f"{label} holds no samples. Check the recording.")
    if not np.isfinite(samples).all():
        raise AudioError(f"{label} holds samples that are NaN or infinite. Clean the recording first.")
    if mono and samples.ndim == 2:
        samples = samples.mean(axis=1, dtype=np.float32)
    if sampling_rate is not None and rate != sampling_rate:
        samples, rate = resample(samples, rate, sampling_rate), sampling_rate
    return samples, rate


def load_audio(
    audio: str | os.PathLike[str] | Array, sampling_rate: int = 16000, timeout: float | None = None
) -> Array:
    """Samples (length,) in float32 at `sampling_rate` Hz from a path or address; an array is given back as it is.

    Raises:
        AudioError, ImportError, FileNotFoundError: see [`read_audio`].
        TypeError: `audio` is something else.
    """
    if is_valid_audio(audio):
        return audio  # type: ignore[return-value]
    if isinstance(audio, (str, os.PathLike)):
        return read_audio(audio, sampling_rate, timeout=timeout)[0]
    raise TypeError(f"audio must be a path, an address or an array of samples, not {type(audio).__name__}.")


def load_audio_as(
    audio: str,
    return_format: str,
    timeout: int | None = None,
    force_mono: bool = False,
    sampling_rate: int | None = None,
) -> str | dict[str, Any] | io.BytesIO:
    """A path or address as 16-bit WAV data: "base64" text, a "dict" with `data` and `format`, or a "buffer".

    Raises:
        ValueError: another `return_format`; and the errors of [`read_audio`].
    """
    if return_format not in ("base64", "dict", "buffer"):
        raise ValueError(f'return_format must be "base64", "dict" or "buffer", not {return_format!r}.')
    samples, rate = read_audio(audio, sampling_rate, mono=force_mono, timeout=timeout)
    buffer = io.BytesIO()
    _soundfile().write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    buffer.seek(0)
    if return_format == "buffer":
        return buffer
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return text if return_format == "base64" else {"data": text, "format": "wav"}


def resample(samples: Array, from_rate: int, to_rate: int) -> Array:
    """Resample (length,) or (length, channels) from one rate in Hz to another, with soxr at high quality (HQ).

    Raises:
        AudioError: a rate that is not a positive whole number.
        ImportError: `soxr` is not installed.
    """
    for rate in (from_rate, to_rate):
        if int(rate) != rate or not 0 < rate <= _HIGHEST_RATE:
            raise AudioError(f"A sampling rate must be a whole number of Hz from 1 to {_HIGHEST_RATE}, not {rate}.")
    if from_rate == to_rate:
        return samples
    soxr = _require("soxr", f"resample from {from_rate} to {to_rate} Hz")
    resampled: Array = soxr.resample(samples, int(from_rate), int(to_rate), quality="HQ")
    # ceil(length * ratio) samples, as resamplers of the field give: soxr rounds to the nearest.
    length = math.ceil(len(samples) * to_rate / from_rate)
    missing = length - len(resampled)
    if missing > 0:
        resampled = np.pad(resampled, [(0, missing)] + [(0, 0)] * (resampled.ndim - 1))
    return resampled[:length]


def is_address(text: object) -> bool:
    """Whether `text` is an http or https address."""
    return isinstance(text, str) and text.startswith(("http://", "https://"))


def fetch(address: str, timeout: float | None = None, max_bytes: int = MAX_DOWNLOAD_BYTES) -> bytes:
    """Download an http(s) address.

    Raises:
        AudioError: offline mode is on, the server does not answer, or the answer is longer than `max_bytes`.
    """
    from xf.hub import is_offline

    if is_offline():
        raise AudioError(
            f"Offline mode is on (XF_OFFLINE or HF_HUB_OFFLINE), so {address} is not fetched. "
            "Pass the path of a local file."
        )
    request = urllib.request.Request(address, headers={"User-Agent": "xf-audio"})
    try:
        with urllib.request.urlopen(request, timeout=60.0 if timeout is None else timeout) as answer:
            data: bytes = answer.read(max_bytes + 1)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise AudioError(f"{address} could not be fetched: {error}. Check the address and the connection.") from error
    if len(data) > max_bytes:
        raise AudioError(f"{address} is longer than {max_bytes} bytes. Download it and cut it into parts.")
    return data


def _read_source(source: str | os.PathLike[str] | bytes, timeout: float | None) -> tuple[bytes, str]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "The audio data"
    if is_address(source):
        return fetch(str(source), timeout), str(source)
    path = Path(source)
    if path.is_dir():
        raise AudioError(f"{path} is a folder. Pass the path of an audio file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no audio file {path}. Check the path.")
    return path.read_bytes(), str(path)


def _decode(data: bytes, label: str, sampling_rate: int | None, max_seconds: float | None) -> tuple[Array, int]:
    """Samples (frames,) or (frames, channels) in float32, and their rate."""
    soundfile = _soundfile()
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            _check_length(label, frames, rate, int(file.channels), max_seconds, len(data))
            return file.read(dtype="float32"), rate
    except soundfile.LibsndfileError as error:
        from xf_audio.ffmpeg import decode_with_ffmpeg, ffmpeg_path

        if ffmpeg_path() is None:
            raise AudioError(
                f"{label} is not audio that libsndfile can decode ({error.error_string}). It reads WAV, FLAC, OGG, MP3 "
                "and AIFF; install the ffmpeg program for other formats, or convert the file."
            ) from error
        # 16 kHz is the rate of speech models; what they do not fit is resampled by the caller.
        rate = sampling_rate or 16000
        return decode_with_ffmpeg(data, rate, label, max_seconds), rate


def _check_length(label: str, frames: int, rate: int, channels: int, max_seconds: float | None, size: int) -> None:
    if not 0 < rate <= _HIGHEST_RATE:
        raise AudioError(f"{label} states a sampling rate of {rate} Hz: the file is damaged.")
    if max_seconds is not None and frames > max_seconds * rate:
        raise AudioError(
            f"{label} has (or claims) {frames / rate:.0f} s of audio, more than the limit of {max_seconds:.0f} s. "
            "Cut it into parts, or pass max_seconds to xf.audio_utils.read_audio."
        )
    # The best lossless and lossy coders stay far below 4000 samples to a byte; a forged header does not.
    if frames * channels > 4000 * max(size, 1):
        raise AudioError(f"{label} claims {frames} samples in {size} bytes: the file is damaged.")


def _soundfile() -> ModuleType:
    return _require("soundfile", "decode audio files")


def _require(name: str, purpose: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"To {purpose} the package {name!r} is needed: pip install 'xf-audio[files]'. "
            "Or pass an array of samples at the rate of the model."
        ) from error
