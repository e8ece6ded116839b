"""Reading videos: which frames come back, and what is said of files that are none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from xf_vision.video_utils import load_video

FRAMES, FPS = 20, 10


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds in which frame i is a grey of 10 * i."""
    file = tmp_path_factory.mktemp("video") / "grey.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(FRAMES):
            image = np.full((48, 64, 3), 10 * i, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file


def shades(video: np.ndarray) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in video]


@pytest.mark.parametrize(
    ("options", "indices"),
    [
        ({}, list(range(20))),
        ({"num_frames": 4}, [0, 5, 10, 15]),
        ({"fps": 2}, [0, 5, 10, 15]),
        ({"num_frames": 1}, [0]),
        ({"sample_indices_fn": lambda metadata: [19, 3, 3]}, [19, 3, 3]),
    ],
)
def test_the_frames_asked_for_come_back_in_rgb(path: Path, options: dict[str, Any], indices: list[int]) -> None:
    video, metadata = load_video(str(path), **options)
    assert video.shape == (len(indices), 48, 64, 3) and video.dtype == np.uint8
    assert shades(video) == indices
    assert (metadata.total_num_frames, metadata.fps, metadata.duration) == (FRAMES, FPS, 2.0)


def test_what_is_decoded_already_is_returned_as_it_is() -> None:
    frames = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    video, metadata = load_video(frames)
    assert video is frames and metadata is None


def test_bad_files(tmp_path: Path, path: Path) -> None:
    for content, said in ((b"", "empty"), (b"no video", "as a video"), (path.read_bytes()[:400], "as a video")):
        (tmp_path / "clip.mp4").write_bytes(content)
        with pytest.raises(ValueError, match=said) as caught:
            load_video(str(tmp_path / "clip.mp4"))
        assert "clip.mp4" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"num_frames": 21}, ValueError, "21 frames from a video of 20"),
        ({"num_frames": 0}, ValueError, "0 frames"),
        ({"fps": 30}, ValueError, "Lower fps"),
        ({"num_frames": 2, "fps": 3}, ValueError, "only one"),
        ({"backend": "vhs"}, ValueError, "choose pyav"),
        ({"sample_indices_fn": lambda metadata: [99]}, ValueError, "ended before frame 99"),
    ],
)
def test_bad_options(path: Path, options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        load_video(str(path), **options)


def test_sources_that_are_none() -> None:
    with pytest.raises(ValueError, match="no existing file"):
        load_video("missing.mp4")
    with pytest.raises(TypeError, match="int"):
        load_video(3)


def test_a_missing_decoder_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        load_video(str(path))
