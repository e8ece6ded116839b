"""Inputs on which xf-plugin-sam and the published package must agree; used by the recorder and by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import torch

TINY = {
    "vision_config": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 4,
        "mlp_dim": 24, "output_channels": 32, "window_size": 3, "global_attn_indexes": [1], "num_pos_feats": 16,
        "initializer_range": 0.02,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 32, "patch_size": 4, "mask_input_channels": 16},
    "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 4, "mlp_dim": 40, "iou_head_hidden_dim": 16},
}  # fmt: skip
SIZES = {
    "size": {"longest_edge": 32},
    "pad_size": {"height": 32, "width": 32},
    "mask_size": {"longest_edge": 12},
    "mask_pad_size": {"height": 12, "width": 12},
}
Case = tuple[str, Callable[[], Any]]


def fill(model: Any) -> None:
    """Weights that make every part matter, the same in every library."""
    state = model.state_dict()
    for i, name in enumerate(sorted(state)):
        rng = np.random.default_rng(i)
        values = rng.standard_normal(tuple(state[name].shape)).astype(np.float32)
        scale = 1.0 if "positional" in name else 0.2
        values = 1 + scale * values if "norm" in name and name.endswith("weight") else scale * values
        state[name].copy_(torch.from_numpy(values))
    shared = "shared_image_embedding.positional_embedding"
    state["prompt_encoder.shared_embedding.positional_embedding"].copy_(state[shared])


def prompts() -> dict[str, dict[str, torch.Tensor]]:
    rng = np.random.default_rng(7)

    def tensor(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(rng.random(shape).astype(np.float32) * scale)

    points = tensor(2, 2, 3, 2, scale=32)
    labels = torch.tensor([[[1, 0, -10], [1, -1, 1]], [[0, 0, 1], [1, 1, -10]]])
    corner = tensor(2, 2, 2, scale=16)
    boxes = torch.cat([corner, corner + tensor(2, 2, 2, scale=16)], dim=-1)
    mask = tensor(2, 1, 32, 32, scale=4) - 2
    return {
        "points": {"input_points": points, "input_labels": labels},
        "unlabelled": {"input_points": points},
        "boxes": {"input_boxes": boxes},
        "both": {"input_points": points, "input_labels": labels, "input_boxes": boxes},
        "mask": {"input_masks": mask},
        "points and mask": {"input_points": points, "input_labels": labels, "input_masks": mask},
        "nothing": {},
        "similar": {"input_boxes": boxes, "attention_similarity": tensor(4, 1, 1, 64)},
        "target": {"input_boxes": boxes, "target_embedding": tensor(2, 1, 1, 32)},
    }


def pixels() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((2, 3, 32, 32)).astype(np.float32))


def thinned(output: Any) -> dict[str, Any]:
    """An output with every third row and column of its masks: enough to compare, and small in a file."""
    return {name: value[..., ::3, ::3] if name == "pred_masks" else value for name, value in output.items()}


def model_outputs(model: Any, states: bool) -> dict[str, dict[str, Any]]:
    """Outputs for every kind of prompt, hidden states and attention weights, gradients, and the embeddings."""
    results: dict[str, Any] = {}
    with torch.no_grad():
        for name, prompt in prompts().items():
            results[name] = thinned(model(pixels(), **prompt))
        results["single"] = thinned(model(pixels(), multimask_output=False, **prompts()["boxes"]))
        if states:
            out = model(pixels(), **prompts()["boxes"], output_hidden_states=True, output_attentions=True)
            names = ("vision_hidden_states", "vision_attentions", "mask_decoder_attentions")
            results["states"] = {name: out[name] for name in names}
        embeddings = model.get_image_embeddings(pixels())
        results["embeddings"] = {
            "image": embeddings,
            "positions": model.get_image_wide_positional_embeddings(),
            "reused": thinned(model(image_embeddings=embeddings, **prompts()["points"])),
        }
        for name in ("points", "both", "mask"):
            results[f"prompt {name}"] = {"sparse and dense": model.get_prompt_embeddings(**prompts()[name])}
    inputs = pixels().requires_grad_()
    out = model(inputs, **prompts()["both"])
    (out.pred_masks.square().mean() + out.iou_scores.sum()).backward()
    results["gradients"] = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    results["gradients"]["pixels"] = inputs.grad
    return results


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin((x + 3 * c) / 3.0) * np.cos((y + c) / 4.0) for c in range(channels)]
    return (np.stack(waves, axis=-1) + rng.integers(-30, 31, (height, width, channels))).clip(0, 255).astype(np.uint8)


def image_cases(library: Any) -> Iterator[Case]:
    arrays = [picture(18, 24), picture(40, 25, seed=1)]
    images = [PIL.Image.fromarray(array) for array in arrays]
    alpha = PIL.Image.fromarray(np.concatenate([arrays[0], arrays[0][..., :1]], axis=-1))
    maps = [(array[..., 0] // 50).astype(np.uint8) for array in arrays]
    options: list[dict[str, Any]] = [{}, {"do_rescale": False}, {"do_normalize": False}, {"do_pad": False}]
    options += [{"size": {"longest_edge": 20}}, {"resample": 3}, {"image_mean": [0.1, 0.2, 0.3]}, {"pad_size": 33}]
    slow = library.SamImageProcessor(**SIZES)
    for option in options:
        yield f"slow {option}", lambda o=option: slow(images, **o)
        # The published tensor processor gives the original sizes as the reshaped ones, so only its pixels are compared.
        yield f"fast {option}", lambda o=option: library.SamImageProcessorFast(**SIZES)(images, **o)["pixel_values"]
    for kind in ("L", "P", "CMYK", "LA", "1"):
        yield f"slow {kind}", partial(slow, images[0].convert(kind))
    yield "slow alpha", lambda: slow(alpha)
    yield "slow last", lambda: slow(images, data_format="channels_last")
    yield "slow maps", lambda: slow(images, segmentation_maps=maps)["labels"]
    yield "slow maps whole", lambda: slow(images, segmentation_maps=maps, do_resize=False, do_pad=False)["labels"]
    yield "slow settings", lambda: slow.to_json_string()
    yield "slow defaults", lambda: library.SamImageProcessor(pad_size=50).to_json_string()
    yield "fast defaults", lambda: library.SamImageProcessorFast().to_json_string()


def processor_cases(library: Any) -> Iterator[Case]:
    processor = library.SamProcessor(library.SamImageProcessor(**SIZES))
    one, two = (
        PIL.Image.fromarray(picture(18, 24)),
        [PIL.Image.fromarray(picture(18, 24)), PIL.Image.fromarray(picture(40, 25))],
    )
    calls: list[tuple[Any, dict[str, Any]]] = [
        (one, {"input_points": [[[10, 20]]]}),
        (one, {"input_points": [[[10, 20], [3, 4]]], "input_labels": [[1, 0]]}),
        (one, {"input_points": [[[[10, 20]], [[3, 4]]]], "input_labels": [[[1], [0]]]}),
        (one, {"input_points": torch.tensor([[[1.5, 2.0]]])}),
        (one, {"input_boxes": [[[1, 2, 23, 17.5]]]}),
        (one, {"input_boxes": [[[[1, 2, 23, 17]]]]}),
        (one, {"input_points": [[[1, 2]]], "input_boxes": [[[1, 2, 3, 4]]], "input_labels": [[1]]}),
        (one, {"input_labels": [[1]]}),
        (two, {"input_points": [[[1, 2]], [[3, 4]]]}),
        (two, {"input_points": [[[1, 2]], [[3, 4], [5, 6]]], "input_labels": [[1], [0, 1]]}),
        (two, {"input_points": [[[1, 2]], [[3, 4], [5, 6]]], "input_labels": [[1], [0, 1]], "point_pad_value": -3}),
        (two, {"input_boxes": [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]}),
        (one, {"size": {"longest_edge": 16}, "input_points": [[[10, 20]]]}),
        (one, {"input_points": 3}),
        (one, {"input_boxes": [[1, 2, 3, 4]]}),
        (one, {"input_points": [[[10, 20]]], "input_labels": [1]}),
    ]
    for i, (images, prompt) in enumerate(calls):
        for tensors in ("pt", "np"):
            yield f"processor {i} {tensors}", partial(without_pixels, processor, images, prompt, tensors)
    yield "processor names", lambda: processor.model_input_names


def without_pixels(processor: Any, images: Any, prompt: dict[str, Any], tensors: str) -> dict[str, Any]:
    out = processor(images, return_tensors=tensors, **prompt)
    return {name: value for name, value in out.items() if name != "pixel_values"}


def filtered(processor: Any, logits: Any, scores: Any, size: Any, box: list[int], options: dict[str, float]) -> Any:
    found = processor.filter_masks(logits, scores, size, box, **options)
    return [found, processor.post_process_for_mask_generation(*found, 0.5)]


def mask_cases(library: Any) -> Iterator[Case]:
    processor = library.SamImageProcessor(**SIZES)
    rng = np.random.default_rng(5)
    low = [torch.from_numpy(rng.standard_normal((2, 3, 8, 8)).astype(np.float32)) for _ in range(2)]
    originals, reshaped = [(18, 24), (40, 25)], [(24, 32), (32, 20)]
    for options in ({}, {"binarize": False}, {"mask_threshold": 0.5}, {"pad_size": {"height": 40, "width": 40}}):
        yield f"post_process {options}", lambda o=options: processor.post_process_masks(low, originals, reshaped, **o)
    coarse = torch.from_numpy(rng.standard_normal((5, 3, 4, 4)).astype(np.float32)) * 10
    logits = torch.nn.functional.interpolate(coarse, size=(60, 80), mode="bicubic")
    logits[0, 0] = -5.0
    scores = torch.from_numpy(rng.random((5, 3)).astype(np.float32))
    for box, size in (([0, 0, 80, 60], (60, 80)), ([10, 5, 90, 65], (100, 120)), ([40, 40, 120, 100], (100, 120))):
        for options in (
            {},
            {"pred_iou_thresh": 0.3, "stability_score_thresh": 0.3},
            {"pred_iou_thresh": -1, "stability_score_thresh": 0},
        ):
            yield f"filter {box} {options}", partial(filtered, processor, logits, scores, size, box, options)
    image = PIL.Image.fromarray(picture(300, 400))
    for options in ({}, {"points_per_crop": 5}):
        yield f"crops {options}", lambda o=options: processor.generate_crop_boxes(image, 64, **o)[::3]
    yield "crop boxes", lambda: processor.generate_crop_boxes(image, 64, crop_n_layers=2, overlap_ratio=0.2)[0]


def cases(library: Any) -> Iterator[Case]:
    for group in (image_cases, processor_cases, mask_cases):
        yield from group(library)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A result as arrays (under names) and plain values: what a golden holds."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if hasattr(value, "items"):
        return {k: v for key in sorted(value) for k, v in flatten(value[key], f"{prefix}.{key}").items()}
    if isinstance(value, (list, tuple)) and not all(isinstance(item, int) for item in value):
        return {k: v for i, item in enumerate(value) for k, v in flatten(item, f"{prefix}.{i}").items()}
    if isinstance(value, (list, tuple)):
        value = np.array(value, dtype=np.int64)
    return {prefix: value}


def run(library: Any) -> dict[str, dict[str, Any]]:
    """Every case's flattened result; {"raises": True} for an error."""
    results = {}
    for name, function in cases(library):
        try:
            results[name] = flatten(function())
        except (ValueError, TypeError):
            results[name] = {"raises": True}
    return results
