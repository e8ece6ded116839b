"""Inputs on which xf-vision and the published package must agree; used by the recorder and by the tests.

Each function of `GROUPS` yields (name, function without arguments). `library` has modules by their documented names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
Case = tuple[str, Callable[[], Any]]


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A smooth picture with noise, uint8: resizing filters differ on it as on photographs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin((x + 3 * c) / 3.0) * np.cos((y + c) / 4.0) for c in range(channels)]
    noisy = np.stack(waves, axis=-1) + rng.integers(-30, 31, (height, width, channels))
    return noisy.clip(0, 255).astype(np.uint8)


def arrays() -> dict[str, np.ndarray]:
    image = picture(13, 17)
    return {
        "u8": image,
        "u8_first": image.transpose(2, 0, 1),
        "float01": (image / 255).astype(np.float32),
        "double01": image / 255,
        "whole_floats": image.astype(np.float32),
        "int64": image.astype(np.int64),
        "grey": image[..., :1],
    }


def pil_images() -> dict[str, PIL.Image.Image]:
    rgb = PIL.Image.fromarray(picture(11, 15))
    alpha = np.concatenate([picture(11, 15), picture(11, 15, 1, seed=1)], axis=-1)
    return {
        "RGB": rgb,
        "RGBA": PIL.Image.fromarray(alpha),
        "L": rgb.convert("L"),
        "LA": rgb.convert("LA"),
        "P": rgb.convert("P"),
        "CMYK": rgb.convert("CMYK"),
        "1": rgb.convert("1"),
        "F": rgb.convert("F"),
        "I": rgb.convert("I"),
        "I;16": PIL.Image.fromarray(picture(11, 15, 1)[..., 0].astype(np.uint16) * 257),
    }


def transform_cases(library: Any) -> Iterator[Case]:
    t, u = library.image_transforms, library.image_utils
    for name, a in arrays().items():
        for layout in (None, "channels_first") if name != "u8_first" else ("channels_last",):
            key = f"{name} {layout}"
            yield f"rescale {key}", lambda a=a, f=layout: t.rescale(a, 1 / 255, f)
            yield f"flip {key}", lambda a=a, f=layout: t.flip_channel_order(a, f)
            yield f"normalize {key}", lambda a=a, f=layout: t.normalize(a, MEAN, STD, f)
            yield f"normalize one {key}", lambda a=a, f=layout: t.normalize(a, 0.5, 0.25, f)
            for size in ((6, 5), (20, 9), (5, 30), (18, 19)) if name in ("u8", "u8_first", "float01") else ((6, 5),):
                yield f"center_crop {key} {size}", lambda a=a, f=layout, s=size: t.center_crop(a, s, f)
            for size, resample in (((6, 5), None), ((20, 22), 3), ((9, 11), 1), ((4, 4), 0), ((5, 7), 4), ((8, 9), 5)):
                yield (
                    f"resize {key} {size} {resample}",
                    lambda a=a, f=layout, s=size, r=resample: t.resize(a, s, resample=r, data_format=f),
                )
        for mode in t.PaddingMode if name in ("u8", "u8_first", "float01") else ():
            for padding in (2, (1, 3), ((1, 2), (0, 3))):
                yield f"pad {name} {mode.name} {padding}", lambda a=a, m=mode, p=padding: t.pad(a, p, m)
        yield f"pad value {name}", lambda a=a: t.pad(a, ((1, 2), (0, 3)), constant_values=((1, 2), (3, 4)))
        yield f"to_pil {name}", lambda a=a: t.to_pil_image(a)
        yield f"scaled {name}", lambda a=a: u.is_scaled_image(a)
    for mode, image in pil_images().items():
        yield f"convert_to_rgb {mode}", lambda i=image: t.convert_to_rgb(i)
        yield f"load {mode}", lambda i=image: u.load_image(i)
        yield f"to_numpy {mode}", lambda i=image: u.to_numpy_array(i)
    boxes = np.random.default_rng(0).random((6, 4))
    yield "to corners", lambda: t.center_to_corners_format(boxes)
    yield "to center", lambda: t.corners_to_center_format(boxes.astype(np.float32))
    yield "rgb_to_id", lambda: t.rgb_to_id(picture(4, 5))
    yield "rgb_to_id one", lambda: t.rgb_to_id([1, 2, 3])
    yield "id_to_rgb", lambda: t.id_to_rgb(np.array([[5, 70000], [256, 16777215]]))


def size_cases(library: Any) -> Iterator[Case]:
    t, u, p = library.image_transforms, library.image_utils, library.image_processing_utils
    rng = np.random.default_rng(1)
    for i in range(60):
        height, width, size, longest = (int(v) for v in rng.integers(1, 900, 4))
        key = f"{i} {height}x{width} {size} {longest}"
        blank = np.zeros((height, width, 3), np.uint8)
        yield f"aspect {key}", lambda h=height, w=width, s=size, m=longest: t.get_size_with_aspect_ratio((h, w), s, m)
        yield (
            f"output {key}",
            lambda b=blank, s=size, m=longest: t.get_resize_output_image_size(
                b, s, False, m, input_data_format="channels_last"
            ),
        )
        yield (
            f"fit {key}",
            lambda h=height, w=width, s=size, m=longest: u.get_image_size_for_max_height_width((h, w), s, m),
        )
        grids = [(int(a), int(b)) for a, b in rng.integers(1, 900, (4, 2))]
        yield f"best {key}", lambda h=height, w=width, g=grids: p.select_best_resolution((h, w), g)
    sizes: list[Any] = [None, 5, (3, 4), [3], {"height": 2, "width": 3}, {"shortest_edge": 4}, {"longest_edge": 3}]
    sizes += [{"shortest_edge": 3, "longest_edge": 5}, {"max_height": 2, "max_width": 3}, {"h": 3}, {}, (3, 4, 5)]
    for size in sizes:
        for longest in (None, 10):
            for square in (True, False):
                yield (
                    f"size_dict {size} {longest} {square}",
                    lambda s=size, m=longest, q=square: p.get_size_dict(s, max_size=m, default_to_square=q),
                )


def processor_classes(library: Any) -> dict[str, Any]:
    base = library.image_processing_utils_fast.BaseImageProcessorFast

    class Square(base):
        resample, image_mean, image_std, size = 3, MEAN, STD, {"height": 10, "width": 12}
        do_resize = do_rescale = do_normalize = do_convert_rgb = True

    class Edge(Square):
        size, default_to_square, resample = {"shortest_edge": 9}, False, 2
        crop_size, do_center_crop = {"height": 8, "width": 11}, True

    class Box(Square):
        size, do_normalize = {"max_height": 9, "max_width": 14}, False

    return {"Square": Square, "Edge": Edge, "Box": Box}


def processor_cases(library: Any) -> Iterator[Case]:
    import torch

    images = [picture(13, 17), picture(21, 12, seed=2)]
    kinds = {
        "pil": [PIL.Image.fromarray(image) for image in images],
        "arrays": images,
        "tensors": [torch.tensor(image).permute(2, 0, 1) for image in images],
        "floats": [torch.tensor(image).permute(2, 0, 1).float() for image in images],
    }
    options: list[dict[str, Any]] = [{}, {"do_rescale": False}, {"do_normalize": False}, {"do_resize": False}]
    options += [
        {"size": 7},
        {"resample": 0},
        {"do_center_crop": True, "crop_size": 25},
        {"image_mean": 0.5, "image_std": 0.5},
    ]
    for name, processor in processor_classes(library).items():
        for kind, inputs in kinds.items():
            for option in options if kind in ("pil", "floats") else options[:1]:
                yield f"fast {name} {kind} {option}", lambda c=processor, i=inputs, o=option: c()(i, **o)
        yield f"fast {name} settings", lambda c=processor: c(size=8, do_resize=None, extra=3).to_json_string()


def video_classes(library: Any) -> dict[str, Any]:
    base = library.video_processing_utils.BaseVideoProcessor

    class Plain(base):
        size, resample, image_mean, image_std = {"height": 9, "width": 10}, 3, MEAN, STD
        do_resize = do_rescale = do_normalize = do_convert_rgb = True
        model_input_names = ["pixel_values_videos"]

    class Sampled(Plain):
        size, default_to_square, resample = {"shortest_edge": 9}, False, 2
        do_center_crop, crop_size, do_sample_frames, num_frames = True, {"height": 7, "width": 8}, True, 3

    return {"Plain": Plain, "Sampled": Sampled}


def video_cases(library: Any) -> Iterator[Case]:
    u = library.video_utils
    frames = np.stack([picture(12, 14, seed=i) for i in range(4)])
    inputs = {
        "array": frames,
        "first": frames.transpose(0, 3, 1, 2),
        "frames": list(frames),
        "pil": [PIL.Image.fromarray(frame) for frame in frames],
        "two": [frames, frames[:3]],
        "grey": frames[..., :1],
    }
    metadata = u.VideoMetadata(total_num_frames=100, fps=25.0, duration=4.0, video_backend="pyav")
    for count in (1, 4, 8, 25, 100):
        yield f"indices {count}", lambda n=count: u.default_sample_indices_fn(metadata, num_frames=n)
        yield f"uniform {count}", lambda n=count: u.get_uniform_frame_indices(100, n)
    for fps in (0.5, 2, 25):
        yield f"indices fps {fps}", lambda f=fps: u.default_sample_indices_fn(metadata, fps=f)
    for name, processor in video_classes(library).items():
        for kind, video in inputs.items():
            for option in (
                ({"do_sample_frames": True, "num_frames": 2}, {"do_resize": False}) if kind == "pil" else ({},)
            ):
                yield f"video {name} {kind} {option}", lambda c=processor, v=video, o=option: c()(v, **o)
        yield f"video {name} settings", lambda c=processor: c(fps=3).to_json_string()
    for kind, video in inputs.items():
        yield f"batched {kind}", lambda v=video: list(u.make_batched_videos(v))


def mixin_cases(library: Any) -> Iterator[Case]:
    m = library.image_utils.ImageFeatureExtractionMixin()
    inputs: dict[str, Any] = {"pil": PIL.Image.fromarray(picture(9, 11))}
    inputs |= {name: array for name, array in arrays().items() if name in ("u8", "u8_first", "float01")}
    for name, image in inputs.items():
        yield f"mixin pil {name}", lambda i=image: m.to_pil_image(i)
        yield f"mixin numpy {name}", lambda i=image: m.to_numpy_array(i)
        yield f"mixin flip {name}", lambda i=image: m.flip_channel_order(i)
        yield f"mixin normalize {name}", lambda i=image: m.normalize(i, MEAN, STD, rescale=True)
        yield f"mixin rotate {name}", lambda i=image: m.rotate(i, 30)
        yield f"mixin expand {name}", lambda i=image: m.expand_dims(i)
        for size in (5, (6, 4), [7]):
            for square in (True, False):
                yield (
                    f"mixin resize {name} {size} {square}",
                    lambda i=image, s=size, q=square: m.resize(i, s, default_to_square=q),
                )


def backbone_cases(library: Any) -> Iterator[Case]:
    align = library.backbone_utils.get_aligned_output_features_output_indices
    stages = ["stem", "s1", "s2", "s3"]
    features: list[Any] = [None, [], ["s1"], ["s1", "s3"], ["s3", "s1"], ["s1", "s1"], ("s1",), ["x"], stages]
    indices: list[Any] = [None, [], [1], (1,), [1, 3], [3, 1], [-1], [0, -1], [1, 1], [3, -1], [4], [0, 1, 2, 3]]
    for names in features:
        for places in indices:
            yield f"align {names} {places}", lambda n=names, p=places: align(n, p, stages)


GROUPS = {
    "transforms": (transform_cases, size_cases, backbone_cases),
    "processors": (processor_cases, video_cases, mixin_cases),
}


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A result as arrays (under names) and plain values: what a golden holds."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, PIL.Image.Image):
        return {f"{prefix}.mode": value.mode, f"{prefix}.pixels": np.array(value)}
    if hasattr(value, "items"):
        value = dict(value)
        return {k: v for key, item in sorted(value.items()) for k, v in flatten(item, f"{prefix}.{key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for i, item in enumerate(value) for k, v in flatten(item, f"{prefix}.{i}").items()} | {
            f"{prefix}.length": len(value)
        }
    if isinstance(value, np.generic):
        value = value.item()
    return {prefix: value}


def run(group: str, library: Any) -> dict[str, dict[str, Any]]:
    """The flattened result of every case of a group; {"raises": True} for an error."""
    results = {}
    for name, function in (case for cases in GROUPS[group] for case in cases(library)):
        try:
            results[name] = flatten(function())
        except (ValueError, TypeError, KeyError, IndexError):
            results[name] = {"raises": True}
    return results
