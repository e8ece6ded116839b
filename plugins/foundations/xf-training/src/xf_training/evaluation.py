"""What evaluation gives to metrics and returns (spec: trainer_utils.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Arrays = np.ndarray | tuple[np.ndarray, ...]


class EvalPrediction:
    """What `compute_metrics` gets.

    Args:
        predictions: the model's outputs, one array or a tuple of them.
        label_ids: the labels they are held against.
        inputs, losses: the inputs, and the loss of each row; there where `include_for_metrics` asks for them.
    It unpacks and indexes as a tuple of what is there.
    """

    def __init__(self, predictions: Any, label_ids: Any, inputs: Any | None = None, losses: Any | None = None) -> None:
        self.predictions = predictions
        self.label_ids = label_ids
        self.inputs = inputs
        self.losses = losses
        self.elements: tuple[Any, ...] = (predictions, label_ids)
        self.elements += tuple(extra for extra in (inputs, losses) if extra is not None)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.elements)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self.elements):
            raise IndexError(f"EvalPrediction has the elements 0 to {len(self.elements) - 1}, not {index}.")
        return self.elements[index]


class EvalLoopOutput(NamedTuple):
    """What one pass over an evaluation set gave."""

    predictions: Any
    label_ids: Any | None
    metrics: dict[str, float] | None
    num_samples: int | None


class PredictionOutput(NamedTuple):
    """What `Trainer.predict` returns."""

    predictions: Any
    label_ids: Any | None
    metrics: dict[str, float] | None


class TrainOutput(NamedTuple):
    """What `Trainer.train` returns: updates done, their mean loss, and the run's metrics."""

    global_step: int
    training_loss: float
    metrics: dict[str, float]


class BestRun(NamedTuple):
    """The best trial of a hyper-parameter search."""

    run_id: str
    objective: float | list[float]
    hyperparameters: dict[str, Any]
    run_summary: Any | None = None
