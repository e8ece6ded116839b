"""Processors and their parts, under the names that documented modules have them.

What all deployments with images or audio need is here; processors themselves, and feature extractors for sequences, are
in xf-processing, which model plugins with a processor require.
"""

from __future__ import annotations

from typing import Any

from .batch_feature import BatchFeature
from .feature_extraction import FeatureExtractionMixin, ImageProcessingMixin, PreprocessorMixin

__all__ = ["BatchFeature", "FeatureExtractionMixin", "ImageProcessingMixin", "PreprocessorMixin"]


def __getattr__(name: str) -> Any:
    from xf.plugins.registry import find_attribute, load_attribute

    if name.startswith("_") or (find_attribute(name) is None and not name.endswith(("Mixin", "Extractor", "Kwargs"))):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    return load_attribute(name)
