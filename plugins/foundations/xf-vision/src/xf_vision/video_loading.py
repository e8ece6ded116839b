"""Reading videos from files and URLs, and choosing which frames to keep.

Decoding needs an optional library, PyAV: `pip install "xf-vision[video]"`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xf_vision.image_types import is_valid_image, is_valid_list_of_images
from xf_vision.loading import MAX_VIDEO_BYTES, download, is_url

SampleIndices = Callable[..., Any]


@dataclass
class VideoMetadata:
    """What a file says of its video: number of frames, frames per second, seconds, and who decoded it."""

    total_num_frames: int
    fps: float
    duration: float
    video_backend: str

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def get_uniform_frame_indices(total_num_frames: int, num_frames: int | None = None) -> np.ndarray:
    """`num_frames` indices, evenly spread and rounded down; all frames if None."""
    if num_frames is None:
        return np.arange(0, total_num_frames).astype(int)
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}.")
    # arange may end with one index too many where the step is no binary fraction
    return np.arange(0, total_num_frames, total_num_frames / num_frames).astype(int)[:num_frames]


def default_sample_indices_fn(
    metadata: VideoMetadata, num_frames: int | None = None, fps: float | None = None, **kwargs: Any
) -> np.ndarray:
    """Indices of `num_frames` frames, or of `fps` frames a second, at a whole step; of all frames if neither is given.

    ValueError if more frames are asked for than there are.
    """
    total = metadata.total_num_frames
    if num_frames is None and fps is not None:
        if metadata.fps <= 0:
            raise ValueError(f"The video states {metadata.fps} frames per second; ask for num_frames instead of fps.")
        num_frames = int(total / metadata.fps * fps)
        if num_frames > total:
            raise ValueError(f"fps={fps} asks for {num_frames} frames, but the video has {total}. Lower fps.")
    if num_frames is None:
        return np.arange(0, total, dtype=int)
    if not 1 <= num_frames <= max(total, 1):
        raise ValueError(f"Cannot take {num_frames} frames from a video of {total}.")
    # The step is cut to a whole number, so the end of the video is left out; published results depend on it.
    return np.arange(num_frames, dtype=int) * int(total / num_frames)


def _decode_pyav(source: Any) -> tuple[VideoMetadata, Iterator[Callable[[], np.ndarray]]]:
    import av

    container = av.open(source)
    if not container.streams.video:
        raise ValueError("the file has no video stream")
    stream = container.streams.video[0]
    total = stream.frames
    if not total:  # some containers do not say; count packets without decoding them
        total = sum(1 for packet in container.demux(stream) if packet.size)
        container.seek(0)
    fps = float(stream.average_rate or stream.base_rate or 0)
    metadata = VideoMetadata(int(total), fps, total / fps if fps else 0.0, "pyav")

    def frames() -> Iterator[Callable[[], np.ndarray]]:
        with container:
            for frame in container.decode(stream):
                yield lambda frame=frame: frame.to_ndarray(format="rgb24")  # type: ignore[misc]

    return metadata, frames()


# By name: the package that must be installed, and a function from a path or file object to (metadata, frames). A frame
# is a function that converts it to (H, W, 3) uint8 RGB, so that frames which are not kept are not converted.
VIDEO_DECODERS: dict[str, tuple[str, Callable[[Any], Any]]] = {"pyav": ("av", _decode_pyav)}


def load_video(
    video: Any,
    num_frames: int | None = None,
    fps: float | None = None,
    backend: str = "pyav",
    sample_indices_fn: SampleIndices | None = None,
    **kwargs: Any,
) -> tuple[Any, VideoMetadata | None]:
    """Decode a video: (frames (T, H, W, 3) uint8 RGB, what the file says of it).

    `video`: a path or an http(s) URL; one that is decoded already (an array, a list of images) is returned as it is,
    with None. Which frames are kept: `num_frames` evenly spread, or `fps` of them a second, or what
    `sample_indices_fn(metadata=..., **kwargs)` returns; all by default. `backend`: a name in `VIDEO_DECODERS`.
    ValueError for a source that is missing, empty, no video or too large; ImportError if the backend is not installed.
    """
    if sum(option is not None for option in (num_frames, fps, sample_indices_fn)) > 1:
        raise ValueError("Give only one of num_frames, fps and sample_indices_fn.")
    if is_valid_image(video) or (isinstance(video, (list, tuple)) and is_valid_list_of_images(video)):
        return video, None
    if backend not in VIDEO_DECODERS:
        raise ValueError(f"Unknown video backend {backend!r}; choose {' or '.join(VIDEO_DECODERS)}.")
    name, source = _open_source(video)
    if sample_indices_fn is None:

        def sample_indices_fn(metadata: VideoMetadata, **options: Any) -> np.ndarray:
            return default_sample_indices_fn(metadata, num_frames=num_frames, fps=fps, **options)

    package, decode = VIDEO_DECODERS[backend]
    try:
        metadata, frames = decode(source)
        indices = np.asarray(sample_indices_fn(metadata=metadata, **kwargs)).astype(int)
        return _collect(frames, indices, name), metadata
    except ModuleNotFoundError as error:
        raise ImportError(f"Reading {name} needs {package}: pip install {package}") from error
    except (OSError, ValueError, EOFError) as error:  # PyAV's errors are OSErrors and ValueErrors
        raise ValueError(f"Cannot read {name} as a video: {error}") from error


def _open_source(video: Any) -> tuple[str, Any]:
    """The name and what the decoder opens: a path, or the downloaded bytes."""
    if isinstance(video, os.PathLike):
        video = os.fspath(video)
    if not isinstance(video, str):
        raise TypeError(
            f"Cannot load a video from {type(video).__name__}; pass a path, an http(s) URL or decoded frames."
        )
    if is_url(video):
        return video, io.BytesIO(download(video, max_bytes=MAX_VIDEO_BYTES))
    if not os.path.isfile(video):
        raise ValueError(f"{video!r} is no existing file and no http(s) address.")
    if os.path.getsize(video) == 0:
        raise ValueError(f"{video} is empty (0 bytes); a video file was expected.")
    return video, video


def _collect(frames: Iterator[Callable[[], np.ndarray]], indices: np.ndarray, name: str) -> np.ndarray:
    """The frames of the wanted indices, in the order and number asked for; decoding stops after the last of them."""
    if indices.size == 0:
        raise ValueError(f"{name} has no frames to take.")
    wanted, found, last = set(indices.tolist()), {}, int(indices.max())
    for number, convert in enumerate(frames):
        if number in wanted:
            found[number] = convert()
        if number >= last:
            break
    missing = sorted(wanted - found.keys())
    if missing:
        raise ValueError(f"{name} ended before frame {missing[0]}: it is cut short, or states too many frames.")
    return np.stack([found[index] for index in indices.tolist()])
