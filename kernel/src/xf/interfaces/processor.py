"""Processors: tokenizers, image processors and feature extractors of one model as one object."""

from __future__ import annotations

from .batch_feature import BatchFeature
from .feature_extraction import (
    FeatureExtractionMixin,
    ImageProcessingMixin,
    PreprocessorMixin,
    SequenceFeatureExtractor,
)

__all__ = [
    "BatchFeature", "FeatureExtractionMixin", "ImageProcessingMixin", "PreprocessorMixin", "SequenceFeatureExtractor",
]  # fmt: skip
