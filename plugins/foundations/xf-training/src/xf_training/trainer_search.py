"""Search of hyper-parameters: a back end tries settings, each in a training of its own (spec: trainer.md)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from xf import logging

from .evaluation import BestRun

logger = logging.get_logger(__name__)


def default_compute_objective(metrics: dict[str, float]) -> float:
    """What a search makes best: the sum of the metrics, or the loss where there are no others."""
    metrics = copy.deepcopy(metrics)
    loss = metrics.pop("eval_loss", None)
    ignored = ("epoch", "eval_model_preparation_time")
    others = {
        name: value
        for name, value in metrics.items()
        if name not in ignored and not name.endswith(("_runtime", "_per_second", "_compilation_time"))
    }
    if not others:
        if loss is None:
            raise ValueError(f"No metric to search by: the evaluation gave {sorted(metrics)}.")
        return loss
    return sum(others.values())


class TrainerSearch:
    """The part of `Trainer` that searches.

    A back end is an entry point in `xf.v1.search` (xf-plugin-search-optuna): a function of the trainer, the number of
    trials, the direction and its own options that calls `trainer.train(trial=...)` for each trial and returns a
    `BestRun`. It may set `trainer.report_trial`, called with trial, objective and update after each
    evaluation, and may raise to end a trial.
    """

    args: Any
    model_init: Any
    hp_name: Any
    hp_space: Any
    compute_objective: Any
    objective: Any
    evaluate: Any
    _trial: Any
    report_trial: Callable[[Any, Any, int], None] | None = None  # set by the back end

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "minimize",
        backend: str | None = None,
        hp_name: Callable[[Any], str] | None = None,
        **kwargs: Any,
    ) -> BestRun | list[BestRun]:
        """The best of `n_trials` trainings.

        hp_space: of a trial, the arguments to set. compute_objective: of an evaluation's metrics, the number to make
        best. backend: the name of an installed back end; the first where it is None. kwargs: the back end's own.
        Raises: ValueError without `model_init` or without a back end.
        """
        from xf.plugins import registry

        if self.model_init is None:
            raise ValueError("A search trains many models: pass model_init to the trainer, in place of model.")
        if hp_space is None:
            raise ValueError("hp_space is needed: a function of a trial that returns the training arguments to set.")
        backends = registry("search")
        name = backend or next(iter(backends.names()), None)
        if name is None:
            raise ValueError("No back end for searches is installed. Run: pip install xf-plugin-search-optuna")
        self.hp_space, self.hp_name = hp_space, hp_name
        self.compute_objective = compute_objective or default_compute_objective
        found: BestRun | list[BestRun] = backends.get(name)(self, n_trials, direction, **kwargs)
        self.hp_name = self._trial = None
        return found

    def _hp_search_setup(self, trial: Any) -> None:
        """Set the arguments of a trial."""
        self._trial = trial
        if trial is None:
            return
        for name, value in self.hp_space(trial).items():
            if not hasattr(self.args, name):
                raise ValueError(f"hp_space sets {name!r}, which is no training argument.")
            old = getattr(self.args, name)
            setattr(self.args, name, type(old)(value) if old is not None else value)

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        """Tell the back end how a trial goes; it may end a hopeless one by raising."""
        if trial is None:
            return
        self.objective = self.compute_objective(metrics)
        if self.report_trial is not None:
            self.report_trial(trial, self.objective, step)
