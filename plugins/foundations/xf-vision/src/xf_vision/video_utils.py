"""Videos as arrays: what counts as one, bringing inputs into lists, layout, colours, padding.

A video is (T, C, H, W) or (T, H, W, C): T frames; a batch has one axis more. A list of frames is a video, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from xf_vision.image_layout import get_channel_dimension_axis, get_image_size, infer_channel_dimension_format
from xf_vision.image_transforms import PaddingMode
from xf_vision.image_transforms import pad as pad_images
from xf_vision.image_types import ChannelDimension, is_pil_image, is_torch_tensor, to_numpy_array
from xf_vision.video_loading import VideoMetadata, default_sample_indices_fn, get_uniform_frame_indices, load_video

if TYPE_CHECKING:
    import PIL.Image
    import torch

__all__ = [
    "VideoInput",
    "VideoMetadata",
    "convert_pil_frames_to_video",
    "convert_to_rgb",
    "default_sample_indices_fn",
    "get_uniform_frame_indices",
    "get_video_size",
    "group_videos_by_shape",
    "is_batched_video",
    "is_scaled_video",
    "is_valid_video",
    "is_valid_video_frame",
    "load_video",
    "make_batched_videos",
    "pad",
    "reorder_videos",
    "valid_videos",
]

VideoInput: TypeAlias = Union[
    list["PIL.Image.Image"],
    np.ndarray,
    "torch.Tensor",
    list[np.ndarray],
    list["torch.Tensor"],
    list[list["PIL.Image.Image"]],
    list[list[np.ndarray]],
    list[list["torch.Tensor"]],
]


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_torch_tensor(value)


def is_valid_video_frame(frame: Any) -> bool:
    """A PIL image or an array of three axes."""
    return is_pil_image(frame) or (_is_array(frame) and frame.ndim == 3)


def is_valid_video(video: Any) -> bool:
    """A list of frames or an array of four axes."""
    if isinstance(video, (list, tuple)):
        return all(is_valid_video_frame(frame) for frame in video)
    return _is_array(video) and video.ndim == 4


def valid_videos(videos: Any) -> bool:
    """A video, or a list of videos."""
    if isinstance(videos, (list, tuple)):
        return all(is_valid_video_frame(video) or is_valid_video(video) for video in videos)
    return is_valid_video(videos)


def is_batched_video(videos: Any) -> bool:
    """A list whose first entry is a video, or an array of five axes."""
    if isinstance(videos, (list, tuple)):
        return is_valid_video(videos[0])
    return _is_array(videos) and videos.ndim == 5


def is_scaled_video(video: np.ndarray) -> bool:
    """Whether values lie in 0..1."""
    return bool(np.min(video) >= 0 and np.max(video) <= 1)


def convert_pil_frames_to_video(videos: list[Any]) -> list[Any]:
    """Lists of frames as arrays (T, ...); arrays are kept."""
    if isinstance(videos[0], (list, tuple)):
        return [np.stack([to_numpy_array(frame) for frame in video]) for video in videos]
    return videos


def make_batched_videos(videos: Any) -> list[Any]:
    """A list of videos, each an array (T, ...), from a video, a frame, a list of either, or a batch array.

    ValueError for anything else.
    """
    if isinstance(videos, (list, tuple)) and len(videos) == 0:
        raise ValueError("There are no videos: the list is empty.")
    if is_batched_video(videos):
        return convert_pil_frames_to_video(list(videos))
    if is_valid_video(videos):
        return convert_pil_frames_to_video([videos])
    if is_valid_video_frame(videos):
        return [to_numpy_array(videos)[None]]
    shape = f" of shape {tuple(videos.shape)}" if _is_array(videos) else ""
    raise ValueError(
        f"Not a video: {type(videos).__name__}{shape}. Pass an array of 4 axes (frames, height, width, channels), 5 "
        "for a batch, a list of frames, or lists of those; load files with load_video()."
    )


def get_video_size(video: Any, channel_dim: ChannelDimension | str | None = None) -> tuple[int, int]:
    """(height, width) in pixels."""
    return get_image_size(video, channel_dim or infer_channel_dimension_format(video, num_channels=(1, 3, 4)))


def convert_to_rgb(
    video: np.ndarray,
    data_format: ChannelDimension | str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """Three channels from one (repeated) or four (laid on white by its alpha); the result is channels first.

    Unsigned 8-bit values in, floats out where alpha was blended.
    """
    if not isinstance(video, np.ndarray):
        raise ValueError(f"The video must be a NumPy array, got {type(video).__name__}.")
    layout = ChannelDimension(input_data_format or infer_channel_dimension_format(video, num_channels=(1, 3, 4)))
    video_TCHW = video if layout == ChannelDimension.FIRST else np.moveaxis(video, -1, -3)
    channels = video_TCHW.shape[-3]
    if channels == 1:
        video_TCHW = np.repeat(video_TCHW, 3, axis=-3)
    elif channels == 4:
        alpha = video_TCHW[..., 3:, :, :] / 255.0
        if not (alpha < 1).any():
            video_TCHW = video_TCHW[..., :3, :, :]
        else:
            video_TCHW = (1 - alpha) * 255 + alpha * video_TCHW[..., :3, :, :]
    last = data_format is not None and ChannelDimension(data_format) == ChannelDimension.LAST
    return np.moveaxis(video_TCHW, -3, -1) if last else video_TCHW


def pad(
    video: np.ndarray,
    padding: int | tuple[int, int] | Iterable[tuple[int, int]],
    mode: PaddingMode | str = PaddingMode.CONSTANT,
    constant_values: float | Iterable[float] = 0.0,
    data_format: ChannelDimension | str | None = None,
    input_data_format: ChannelDimension | str | None = None,
) -> np.ndarray:
    """Pad the height and width of all frames; see `xf.image_transforms.pad`."""
    if not isinstance(video, np.ndarray) or video.ndim != 4:
        raise ValueError("The video must be a NumPy array of 4 axes.")
    get_channel_dimension_axis(video, input_data_format)
    return pad_images(video, padding, mode, constant_values, data_format, input_data_format)


def group_videos_by_shape(
    videos: list[torch.Tensor],
) -> tuple[dict[tuple[int, ...], torch.Tensor], dict[int, tuple[tuple[int, ...], int]]]:
    """Stack videos (T, C, H, W) of one shape: the stacks by shape and, per index, (shape, place in the stack)."""
    import torch

    groups: dict[tuple[int, ...], list[torch.Tensor]] = {}
    places: dict[int, tuple[tuple[int, ...], int]] = {}
    for index, video in enumerate(videos):
        shape = (video.shape[0], *video.shape[-2:])
        group = groups.setdefault(shape, [])
        places[index] = (shape, len(group))
        group.append(video)
    return {shape: torch.stack(group, dim=0) for shape, group in groups.items()}, places


def reorder_videos(
    processed_videos: dict[tuple[int, ...], torch.Tensor],
    grouped_videos_index: dict[int, tuple[tuple[int, ...], int]],
) -> list[torch.Tensor]:
    """The inverse of `group_videos_by_shape`."""
    return [
        processed_videos[shape][place]
        for shape, place in (grouped_videos_index[index] for index in range(len(grouped_videos_index)))
    ]
