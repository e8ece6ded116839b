"""Processors, and what prepares images and sounds: the parts that multimodal plugins share."""

from .batch_feature import BatchFeature
from .feature_extraction import FeatureExtractionMixin, ImageProcessingMixin, PreprocessorMixin
from .processor import ProcessorMixin
from .sequence import SequenceFeatureExtractor

__all__ = [
    "BatchFeature",
    "FeatureExtractionMixin",
    "ImageProcessingMixin",
    "PreprocessorMixin",
    "ProcessorMixin",
    "SequenceFeatureExtractor",
]
