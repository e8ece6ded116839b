"""Calls of feature extractors and of the sorting of arguments; used by the recording script and by the tests."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

Case = tuple[dict[str, Any], Any, dict[str, Any]]


def pad_calls(seed: int, count: int) -> list[Case]:
    """(settings, features, keyword arguments) of calls of `SequenceFeatureExtractor.pad`."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        size = rng.choice([1, 1, 3])
        settings = {
            "feature_size": size, "sampling_rate": 16000, "padding_value": rng.choice([0.0, -1.0]),
            "padding_side": rng.choice(["left", "right"]), "return_attention_mask": rng.choice([True, False]),
        }  # fmt: skip
        lengths = [rng.choice([1, 3, 5, 8]) for _ in range(rng.choice([1, 2, 4]))]
        kind = rng.choice([np.float32, np.float64])
        values: list[Any] = [np.arange(n * size, dtype=kind).reshape((n, size) if size > 1 else (n,)) for n in lengths]
        if rng.random() < 0.3:
            values = [value.tolist() for value in values]
        features: Any = {"input_values": values}
        if rng.random() < 0.3:
            features["attention_mask"] = [[1] * n for n in lengths]
        if rng.random() < 0.3:
            features = [{key: value[i] for key, value in features.items()} for i in range(len(lengths))]
        choices: dict[str, list[Any]] = {
            "max_length": [1, 4, 10], "truncation": [True, False], "pad_to_multiple_of": [2, 3],
            "return_attention_mask": [True, False], "return_tensors": ["np"],
        }  # fmt: skip
        keywords = {key: rng.choice(values) for key, values in choices.items() if rng.random() < 0.4}
        made.append((settings, features, {"padding": rng.choice([True, False, "max_length"]), **keywords}))
    return made


def outcome(make: Any, case: Case) -> Any:
    """What a call returns as JSON could hold it, or "error"."""
    settings, features, keywords = case

    def plain(value: Any) -> Any:
        if hasattr(value, "items"):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, np.ndarray):
            inner = [plain(row) for row in value] if value.dtype == object else value.tolist()
            return [str(value.dtype), list(value.shape), inner]
        return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    try:
        return plain(make(**settings).pad(features, **keywords))
    except Exception:
        return "error"


MERGES: list[dict[str, Any]] = [
    {"padding": "max_length", "max_length": 7, "return_tensors": "pt", "size": {"height": 1}},
    {"text_kwargs": {"padding": True}, "common_kwargs": {"return_tensors": "np"}, "audio_kwargs": {"other": 1}},
    {"text_kwargs": {"padding": True}, "padding": False},
    {"padding_side": "right", "stride": 4, "sampling_rate": 3, "do_rescale": False},
    {},
]
