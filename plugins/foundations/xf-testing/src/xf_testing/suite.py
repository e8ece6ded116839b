"""The conformance checks of one distribution, made from its entry points; collected by `pytest --xf-conformance`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from xf_testing import plugin

# registry -> (module, class) of the checks
_CONTRACTS = {
    "attention": ("attention", "AttentionConformance"),
    "mask": ("mask", "MaskConformance"),
    "cache": ("cache", "CacheConformance"),
    "logits": ("logits", "LogitsProcessorConformance"),
    "quantizer": ("quantizer", "QuantizerConformance"),
    "callback": ("callback", "CallbackConformance"),
    "task": ("pipeline", "PipelineConformance"),
    "tokenizer": ("tokenizer", "TokenizerConformance"),
    "config": ("model", "ModelConformance"),
    "image_processor": ("processor", "ImageProcessorConformance"),
    "feature_extractor": ("processor", "FeatureExtractorConformance"),
    "command": ("command", "CommandConformance"),
    "checkpoint_source": ("checkpoint_source", "CheckpointSourceConformance"),
    "checkpoint_format": ("checkpoint_format", "CheckpointFormatConformance"),
}


def classes(distribution: str) -> Iterator[tuple[str, type]]:
    """(class name, conformance class) for each entry point of `distribution` whose registry has a contract."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import distribution as installed

    try:
        points = [p for p in installed(distribution).entry_points if p.group.startswith("xf.v1.")]
    except PackageNotFoundError:
        raise LookupError(f"{distribution} is not installed: install it first, e.g. pip install -e .") from None
    if not points:
        raise LookupError(f"{distribution} declares no entry points of xf.v1: there is nothing to check")
    for point in points:
        registry = point.group.removeprefix("xf.v1.")
        if registry in _CONTRACTS:
            module, base = _CONTRACTS[registry]
            standard = getattr(import_module(f"xf_testing.{module}"), base)
            label = "".join(part.capitalize() for part in point.name.replace("-", "_").split("_"))
            settings: dict[str, Any] = {"name": point.name, "__module__": __name__ + "_generated"}
            yield f"Test{label}{base}", type(f"Test{label}{base}", (standard,), settings)


if plugin.CONFORMANCE_OF:
    globals().update(dict(classes(plugin.CONFORMANCE_OF)))
