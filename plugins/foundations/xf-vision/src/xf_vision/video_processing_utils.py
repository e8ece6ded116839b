"""The base of video processors: like fast image processors, on all frames of a video at once."""

from __future__ import annotations

import os
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch
from torch import Tensor

from xf import logging
from xf_processing import BatchFeature
from xf_vision import torch_transforms as transforms
from xf_vision.argument_checks import validate_kwargs
from xf_vision.image_layout import infer_channel_dimension_format
from xf_vision.image_processing_utils_fast import BaseImageProcessorFast, stack_images
from xf_vision.image_types import ChannelDimension, SizeDict
from xf_vision.video_loading import VideoMetadata, load_video
from xf_vision.video_utils import group_videos_by_shape, make_batched_videos, reorder_videos

logger = logging.get_logger(__name__)

__all__ = ["BaseVideoProcessor", "DefaultVideoProcessorKwargs"]


class DefaultVideoProcessorKwargs(TypedDict, total=False):
    """Settings of every video processor. A subclass may add its own."""

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
    data_format: ChannelDimension | None
    input_data_format: str | ChannelDimension | None
    device: Any
    do_sample_frames: bool | None
    video_metadata: Any
    fps: float | None
    num_frames: int | None


class BaseVideoProcessor(BaseImageProcessorFast):
    """Base class of video processors: choose frames, RGB, resize, centre crop, rescale, normalize, stack.

    Each setting is a class attribute (its default), an argument of the constructor, and an argument of a call. Saved as
    `video_preprocessor_config.json`; a checkpoint without that file is read from `preprocessor_config.json`.
    """

    config_names = ("video_preprocessor_config.json", "preprocessor_config.json")
    type_key = "video_processor_type"
    processor_key = "video_processor"
    size_divisor: int | None = None
    do_pad: bool | None = None
    do_sample_frames: bool | None = None
    fps: float | None = None
    num_frames: int | None = None
    video_metadata: Any = None
    valid_kwargs: ClassVar[Any] = DefaultVideoProcessorKwargs
    model_input_names: list[str] = ["pixel_values_videos"]

    @classmethod
    def _setting_names(cls) -> list[str]:
        return list(dict.fromkeys([*DefaultVideoProcessorKwargs.__annotations__, *cls.valid_kwargs.__annotations__]))

    def __call__(self, videos: Any, *args: Any, **kwargs: Any) -> BatchFeature:  # type: ignore[override]
        """Preprocess one video or a batch; see `preprocess`."""
        return self.preprocess(videos, *args, **kwargs)

    @classmethod
    def get_video_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings that a checkpoint holds, and the arguments that do not say where it is."""
        return cls._read_dict(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoVideoProcessor") -> None:
        super().register_for_auto_class(auto_class)

    def fetch_videos(self, video_url_or_urls: Any) -> Any:
        """The decoded video of a path or URL and its metadata, or a list of them."""
        if isinstance(video_url_or_urls, list):
            return [self.fetch_videos(item) for item in video_url_or_urls]
        return load_video(video_url_or_urls)

    def convert_to_rgb(self, video: Tensor) -> Tensor:
        """(..., C, H, W) with one channel repeated, or four laid on white by the last of them; three are kept."""
        channels = video.shape[-3]
        if channels == 1:
            return video.expand(*video.shape[:-3], 3, *video.shape[-2:])
        if channels != 4:
            return video
        alpha, colours = video[..., 3:, :, :], video[..., :3, :, :]
        if not bool((alpha < 255).any()):
            return colours
        alpha = alpha / 255.0
        return (1 - alpha) * 255 + alpha * colours

    def sample_frames(
        self,
        video: Tensor,
        metadata: VideoMetadata | dict[str, Any] | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
    ) -> Tensor:
        """Frames at even distances of (T, C, H, W): `num_frames` of them, or `fps` a second (needs `metadata`)."""
        if fps is not None and num_frames is not None:
            raise ValueError("Give only one of num_frames and fps.")
        num_frames = num_frames if num_frames is not None else None if fps is not None else self.num_frames
        fps = fps if fps is not None else None if num_frames is not None else self.fps
        total = video.shape[0]
        if num_frames is None and fps is None:
            return video
        if num_frames is None:
            assert fps is not None
            source_fps = _entry(metadata, "fps")
            if not source_fps or source_fps <= 0:
                raise ValueError(
                    f"fps={fps} needs video_metadata with the video's own fps; pass it, or num_frames instead of fps."
                )
            num_frames = int(total / source_fps * fps)
        if not 1 <= num_frames <= total:
            raise ValueError(f"Cannot take {num_frames} frames from a video of {total}.")
        return video[torch.arange(0, total, total / num_frames).int()[:num_frames]].contiguous()

    def _prepare_input_videos(
        self, videos: Any, video_metadata: Any = None, input_data_format: str | ChannelDimension | None = None
    ) -> list[Tensor]:
        """The videos as tensors (T, C, H, W)."""
        prepared = []
        for video in make_batched_videos(videos):
            tensor = torch.from_numpy(np.ascontiguousarray(video)) if isinstance(video, np.ndarray) else video
            if tensor.ndim == 3:
                tensor = tensor.unsqueeze(-1)  # grey frames
            layout = input_data_format or infer_channel_dimension_format(tensor, num_channels=(1, 3, 4))
            if ChannelDimension(layout) == ChannelDimension.LAST:
                tensor = tensor.movedim(-1, -3).contiguous()
            prepared.append(tensor)
        return prepared

    def preprocess(self, videos: Any, **kwargs: Any) -> BatchFeature:  # type: ignore[override]
        """Videos to the inputs of a model.

        `videos`: one or a batch, see `xf.video_utils.make_batched_videos`, with values in 0..255. Every setting of the
        class may be given for this call; `video_metadata` is one per video. Returns `pixel_values_videos`: a list of
        (T, C, H, W), or one tensor (B, T, C, H, W) with `return_tensors="pt"`.
        """
        names = self._setting_names()
        validate_kwargs(valid_processor_keys=[*names, "return_tensors"], captured_kwargs=list(kwargs))
        for name in names:
            kwargs.setdefault(name, getattr(self, name, None))
        kwargs.setdefault("return_tensors", None)
        layout, device, metadata = (kwargs.pop(name) for name in ("input_data_format", "device", "video_metadata"))
        tensors = self._prepare_input_videos(videos, metadata, layout)
        kwargs = self._further_process_kwargs(**kwargs)
        self._validate_preprocess_kwargs(**kwargs)
        kwargs["interpolation"] = transforms.interpolation_mode(kwargs.pop("resample"))
        kwargs.pop("default_to_square")
        kwargs.pop("data_format")
        return self._preprocess(videos=tensors, video_metadata=metadata, device=device, **kwargs)

    def _chosen_frames(
        self, videos: list[Tensor], video_metadata: Any, num_frames: int | None, fps: float | None
    ) -> list[Tensor]:
        entries = video_metadata if isinstance(video_metadata, (list, tuple)) else [video_metadata] * len(videos)
        if len(entries) != len(videos):
            raise ValueError(f"There are {len(videos)} videos, but {len(entries)} entries of video_metadata.")
        return [
            self.sample_frames(video, metadata=entry, num_frames=num_frames, fps=fps)
            for video, entry in zip(videos, entries, strict=True)
        ]

    def _preprocess(  # type: ignore[override]
        self,
        videos: list[Tensor],
        video_metadata: Any,
        do_convert_rgb: bool | None,
        do_resize: bool | None,
        size: SizeDict,
        size_divisor: int | None,
        interpolation: Any,
        do_center_crop: bool | None,
        crop_size: SizeDict,
        do_rescale: bool | None,
        do_pad: bool | None,
        rescale_factor: float,
        do_normalize: bool | None,
        image_mean: Any,
        image_std: Any,
        do_sample_frames: bool | None = None,
        fps: float | None = None,
        num_frames: int | None = None,
        return_tensors: Any = None,
        device: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """The steps, on stacks of videos of one shape. `do_pad` and `size_divisor` are for subclasses that pad."""
        if do_sample_frames:
            videos = self._chosen_frames(videos, video_metadata, num_frames, fps)
        if device is not None:
            videos = [video.to(device) for video in videos]
        groups, places = group_videos_by_shape(videos)
        for key, stack in groups.items():
            if do_convert_rgb:
                stack = self.convert_to_rgb(stack)
            groups[key] = self.resize(stack, size, interpolation) if do_resize else stack
        groups, places = group_videos_by_shape(reorder_videos(groups, places))
        for key, stack in groups.items():
            if do_center_crop:
                stack = self.center_crop(stack, crop_size)
            groups[key] = self.rescale_and_normalize(
                stack, do_rescale, rescale_factor, do_normalize, image_mean, image_std
            )
        frames: Any = reorder_videos(groups, places)
        if return_tensors is not None:
            frames = stack_images(frames, "videos")
        return BatchFeature({"pixel_values_videos": frames}, tensor_type=return_tensors)


def _entry(metadata: VideoMetadata | dict[str, Any] | None, name: str) -> Any:
    """An entry of metadata in either form."""
    return metadata.get(name) if isinstance(metadata, dict) else getattr(metadata, name, None)
