"""xf-vision gives what the published package (4.55.4) gives, case by case; see vision_cases.py and record_vision.py."""

from __future__ import annotations

import importlib.util
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xf_vision import (
    backbone_utils,
    image_processing_utils,
    image_processing_utils_fast,
    image_transforms,
    image_utils,
    video_processing_utils,
    video_utils,
)

HERE = Path(__file__).parent


def load_cases() -> Any:
    spec = importlib.util.spec_from_file_location("vision_cases", HERE / "vision_cases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cases = load_cases()
LIBRARY = types.SimpleNamespace(
    backbone_utils=backbone_utils,
    image_processing_utils=image_processing_utils,
    image_processing_utils_fast=image_processing_utils_fast,
    image_transforms=image_transforms,
    image_utils=image_utils,
    video_processing_utils=video_processing_utils,
    video_utils=video_utils,
)


@pytest.mark.parametrize("group", cases.GROUPS)
def test_results_equal_the_published_ones(group: str) -> None:
    plain = json.loads((HERE / "goldens" / f"{group}.json").read_text())
    arrays = dict(np.load(HERE / "goldens" / f"{group}.npz"))
    results = cases.run(group, LIBRARY)
    assert results.keys() == plain.keys()
    wrong = []
    for name, result in results.items():
        expected = dict(plain[name])
        expected |= {key.partition("|")[2]: value for key, value in arrays.items() if key.partition("|")[0] == name}
        if result.keys() != expected.keys():
            wrong.append(f"{name}: has {sorted(result)}, not {sorted(expected)}")
            continue
        wrong += [f"{name} {key}: {why}" for key in expected if (why := difference(result[key], expected[key]))]
    assert not wrong, f"{len(wrong)} of {len(results)} differ:\n" + "\n".join(wrong[:20])


def difference(ours: Any, expected: Any) -> str | None:
    """What differs. Bytes and whole numbers must be equal; floats within a rounding error of the last operation."""
    if not isinstance(expected, np.ndarray):
        return None if ours == expected else f"{ours!r} instead of {expected!r}"
    if ours.shape != expected.shape or ours.dtype != expected.dtype:
        return f"{ours.dtype} {ours.shape} instead of {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        return None if np.array_equal(ours, expected) else f"{np.sum(ours != expected)} values differ"
    tolerance = 1e-6 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    furthest = float(np.abs(ours - expected).max(initial=0.0))
    return None if furthest <= tolerance else f"off by {furthest}"
