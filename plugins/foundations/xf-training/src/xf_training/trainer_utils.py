"""Utilities of the trainer under the documented module path (spec: trainer_utils.md)."""

from __future__ import annotations

from .enums import HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType
from .evaluation import BestRun, EvalLoopOutput, EvalPrediction, PredictionOutput, TrainOutput
from .seeds import enable_full_determinism, set_seed
from .trainer_checkpoints import PREFIX as PREFIX_CHECKPOINT_DIR
from .trainer_checkpoints import get_last_checkpoint
from .trainer_data import RemoveColumns as RemoveColumnsCollator
from .trainer_reports import speed_metrics
from .trainer_search import default_compute_objective

__all__ = [
    "PREFIX_CHECKPOINT_DIR",
    "BestRun",
    "EvalLoopOutput",
    "EvalPrediction",
    "HubStrategy",
    "IntervalStrategy",
    "PredictionOutput",
    "RemoveColumnsCollator",
    "SaveStrategy",
    "SchedulerType",
    "TrainOutput",
    "default_compute_objective",
    "enable_full_determinism",
    "get_last_checkpoint",
    "set_seed",
    "speed_metrics",
]
