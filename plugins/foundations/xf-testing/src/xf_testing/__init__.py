"""Conformance checks for every contract of xf, tiny checkpoints, and comparison with the reference.

A plugin's test file subclasses the class of its contract::

    from xf_testing import AttentionConformance

    class TestMyAttention(AttentionConformance):
        name = "my_attention"

`pytest --xf-conformance` in a package runs the checks of all its entry points without any test file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Conformance": "base",
    "ConformanceError": "base",
    "AttentionConformance": "attention",
    "MaskFunctionConformance": "mask",
    "MaskConformance": "mask",
    "CacheConformance": "cache",
    "LogitsProcessorConformance": "logits",
    "QuantizerConformance": "quantizer",
    "CallbackConformance": "callback",
    "CheckpointFormatConformance": "checkpoint_format",
    "CheckpointSourceConformance": "checkpoint_source",
    "CommandConformance": "command",
    "ModelConformance": "model",
    "PipelineConformance": "pipeline",
    "TokenizerConformance": "tokenizer",
    "ImageProcessorConformance": "processor",
    "FeatureExtractorConformance": "processor",
    "NetworkUseError": "network",
    "no_network": "network",
    "write_distribution": "distributions",
    "fill_weights": "tiny",
    "shrink": "tiny",
    "tiny_checkpoint": "tiny",
    "tiny_floats": "tiny",
    "tiny_ids": "tiny",
    "assert_same_outputs": "reference",
    "answer_case": "reference",
    "flatten_outputs": "reference",
    "load_golden": "reference",
    "record": "reference",
    "reference_python": "reference",
    "run_case": "reference",
    "run_reference": "reference",
}
__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attention import AttentionConformance
    from .base import Conformance, ConformanceError
    from .cache import CacheConformance
    from .callback import CallbackConformance
    from .checkpoint_format import CheckpointFormatConformance
    from .checkpoint_source import CheckpointSourceConformance
    from .command import CommandConformance
    from .distributions import write_distribution
    from .logits import LogitsProcessorConformance
    from .mask import MaskConformance, MaskFunctionConformance
    from .model import ModelConformance
    from .network import NetworkUseError, no_network
    from .pipeline import PipelineConformance
    from .processor import FeatureExtractorConformance, ImageProcessorConformance
    from .quantizer import QuantizerConformance
    from .reference import (
        answer_case,
        assert_same_outputs,
        flatten_outputs,
        load_golden,
        record,
        reference_python,
        run_case,
        run_reference,
    )
    from .tiny import fill_weights, shrink, tiny_checkpoint, tiny_floats, tiny_ids
    from .tokenizer import TokenizerConformance


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'xf_testing' has no attribute {name!r}")
    return getattr(import_module(f"xf_testing.{_EXPORTS[name]}"), name)
