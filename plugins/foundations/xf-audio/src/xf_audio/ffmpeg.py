"""Decoding and recording with the `ffmpeg` program, where it is installed."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from xf_audio.arrays import Array

_SAMPLE_FORMATS = {"s16le": (np.int16, 2), "f32le": (np.float32, 4)}


def ffmpeg_path() -> str | None:
    """Where the `ffmpeg` program is, or None."""
    return shutil.which("ffmpeg")


def ffmpeg_read(bpayload: bytes, sampling_rate: int) -> Array:
    """Decode the bytes of any audio file that ffmpeg knows to mono float32 (length,) at `sampling_rate` Hz.

    Raises:
        ValueError: ffmpeg is not installed, or finds no audio in the bytes.
    """
    return decode_with_ffmpeg(bpayload, sampling_rate, "The audio data", max_seconds=None)


def decode_with_ffmpeg(data: bytes, sampling_rate: int, label: str, max_seconds: float | None) -> Array:
    """[`ffmpeg_read`] with a name for messages and a limit on the length.

    Raises:
        AudioError: see [`ffmpeg_read`], and a recording longer than `max_seconds`.
    """
    from xf_audio.files import AudioError

    program = _need_ffmpeg(f"decode {label}")
    # The input is a pipe, so that a playlist in the data cannot make ffmpeg open files or addresses.
    command = [program, "-hide_banner", "-loglevel", "error", "-protocol_whitelist", "pipe", "-i", "pipe:0"]
    limit = [] if max_seconds is None else ["-t", str(max_seconds + 1)]
    command += ["-vn", *limit, "-ac", "1", "-ar", str(sampling_rate), "-f", "f32le", "pipe:1"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    samples = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], np.float32)
    if samples.size == 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no audio stream"]
        raise AudioError(f"{label} is not audio that ffmpeg can decode ({said[0]}). Check the file.")
    if max_seconds is not None and samples.size > max_seconds * sampling_rate:
        raise AudioError(f"{label} is longer than the limit of {max_seconds:.0f} s. Cut it into parts.")
    return samples.copy()


def ffmpeg_microphone(
    sampling_rate: int,
    chunk_length_s: float,
    format_for_conversion: str = "f32le",
    ffmpeg_input_device: str | None = None,
    ffmpeg_additional_args: list[str] | None = None,
) -> Iterator[bytes]:
    """Record from a microphone with ffmpeg: raw chunks of `chunk_length_s` seconds.

    Args:
        sampling_rate: in Hz, best that of the model.
        chunk_length_s: seconds of a chunk.
        format_for_conversion: "f32le" or "s16le".
        ffmpeg_input_device: ffmpeg's `-i`; None is the default device.
        ffmpeg_additional_args: further arguments, such as ["-nostdin"].

    Raises:
        ValueError: an unknown sample format, or no ffmpeg.
    """
    _, width = _sample_format(format_for_conversion)
    system = platform.system()
    source = {"Darwin": ("avfoundation", ":default"), "Windows": ("dshow", None)}.get(system, ("alsa", "default"))
    device = ffmpeg_input_device or source[1]
    if device is None:
        raise ValueError(
            'On Windows pass ffmpeg_input_device="audio=NAME"; '
            '"ffmpeg -list_devices true -f dshow -i dummy" prints the names.'
        )
    command = [_need_ffmpeg("record from a microphone"), "-f", source[0], "-i", device, "-ac", "1"]
    command += ["-ar", str(sampling_rate), "-f", format_for_conversion, "-fflags", "nobuffer", "-hide_banner"]
    command += ["-loglevel", "quiet", *(ffmpeg_additional_args or []), "pipe:1"]
    chunk_bytes = int(round(sampling_rate * chunk_length_s)) * width
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=2**24) as process:
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(chunk_bytes):
                yield chunk
        finally:
            process.terminate()


def ffmpeg_microphone_live(
    sampling_rate: int,
    chunk_length_s: float,
    stream_chunk_s: float | None = None,
    stride_length_s: tuple[float, float] | float | None = None,
    format_for_conversion: str = "f32le",
    ffmpeg_input_device: str | None = None,
    ffmpeg_additional_args: list[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Record from a microphone as input of a speech pipeline: overlapping chunks, with partial ones on the way.

    Args:
        sampling_rate, format_for_conversion, ffmpeg_input_device, ffmpeg_additional_args: see [`ffmpeg_microphone`].
        chunk_length_s: longest chunk, its strides included.
        stream_chunk_s: shortest piece that is given out before a chunk is full; None gives whole chunks only.
        stride_length_s: context on both sides (or left, right); a sixth of the chunk when None.

    Yields:
        {"raw": samples, "sampling_rate", "partial", "stride": (left, right)} in samples. Chunks that are more than
        ten times a chunk late are dropped, so that a slow consumer does not fall further behind.
    """
    dtype, width = _sample_format(format_for_conversion)
    piece_s = stream_chunk_s if stream_chunk_s is not None else chunk_length_s
    microphone = ffmpeg_microphone(
        sampling_rate, piece_s, format_for_conversion, ffmpeg_input_device, ffmpeg_additional_args
    )
    if stride_length_s is None:
        stride_length_s = chunk_length_s / 6
    left_s, right_s = (
        (stride_length_s, stride_length_s) if isinstance(stride_length_s, (int, float)) else stride_length_s
    )
    stride = (int(round(sampling_rate * left_s)) * width, int(round(sampling_rate * right_s)) * width)
    chunk_bytes = int(round(sampling_rate * chunk_length_s)) * width
    audio_time, step = datetime.now(), timedelta(seconds=piece_s)
    for item in chunk_bytes_iter(microphone, chunk_bytes, stride=stride, stream=stream_chunk_s is not None):
        item["raw"] = np.frombuffer(item["raw"], dtype=dtype)
        item["stride"] = (item["stride"][0] // width, item["stride"][1] // width)
        item["sampling_rate"] = sampling_rate
        audio_time += step
        if datetime.now() > audio_time + 10 * step:
            continue
        yield item


def chunk_bytes_iter(
    iterator: Iterable[bytes], chunk_len: int, stride: tuple[int, int], stream: bool = False
) -> Iterator[dict[str, Any]]:
    """Regroup a stream of bytes into chunks of `chunk_len` that overlap by left + right `stride`.

    Yields:
        {"raw": bytes, "stride": (left, right)}, and with `stream` also "partial": whether a longer chunk replaces it.

    Raises:
        ValueError: the strides leave nothing of a chunk.
    """
    left, right = stride
    if left + right >= chunk_len:
        raise ValueError(f"Strides of {left} + {right} leave nothing of a chunk of {chunk_len}: make them shorter.")
    held, seen_left = b"", 0
    for raw in iterator:
        held += raw
        if stream and len(held) < chunk_len:
            yield {"raw": held, "stride": (seen_left, 0), "partial": True}
            continue
        while len(held) >= chunk_len:
            item: dict[str, Any] = {"raw": held[:chunk_len], "stride": (seen_left, right)}
            if stream:
                item["partial"] = False
            yield item
            seen_left = left
            held = held[chunk_len - left - right :]
    if len(held) > seen_left:
        item = {"raw": held, "stride": (seen_left, 0)}
        if stream:
            item["partial"] = False
        yield item


def _sample_format(name: str) -> tuple[Any, int]:
    if name not in _SAMPLE_FORMATS:
        raise ValueError(f"Unhandled sample format {name!r}: use one of {sorted(_SAMPLE_FORMATS)}.")
    return _SAMPLE_FORMATS[name]


def _need_ffmpeg(purpose: str) -> str:
    program = ffmpeg_path()
    if program is None:
        raise ValueError(f"The ffmpeg program was not found but is needed to {purpose}. Install it and try again.")
    return program
