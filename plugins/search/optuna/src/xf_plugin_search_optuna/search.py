"""The back end `optuna` of `Trainer.hyperparameter_search` (spec: trainer.md)."""

from __future__ import annotations

import gc
from typing import Any

import optuna

from xf_training.evaluation import BestRun


def search(trainer: Any, n_trials: int, direction: str | list[str], **kwargs: Any) -> BestRun | list[BestRun]:
    """Train once per trial and return the best; with several directions, all trials that no other is better than.

    kwargs: `timeout` (seconds), `n_jobs` and `gc_after_trial` of `Study.optimize`; all others of `optuna.create_study`,
    such as storage, study_name, sampler and pruner. A trial that its pruner finds hopeless ends there.
    """
    running = {name: kwargs.pop(name) for name in ("timeout", "gc_after_trial") if name in kwargs}
    if kwargs.pop("n_jobs", 1) != 1:
        raise ValueError("n_jobs other than 1 would train several models in one trainer: start more processes instead.")

    def objective(trial: optuna.Trial) -> Any:
        trainer.objective = None
        trainer.train(trial=trial)
        if trainer.objective is None:  # nothing was evaluated while training
            trainer.objective = trainer.compute_objective(trainer.evaluate())
        gc.collect()
        return trainer.objective

    def report(trial: optuna.Trial, value: Any, step: int) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    several = isinstance(direction, (list, tuple))
    trainer.report_trial = None if several else report  # Optuna does not prune by several objectives
    study = optuna.create_study(**{"directions" if several else "direction": direction}, **kwargs)
    study.optimize(objective, n_trials=n_trials, **running)
    if several:
        return [BestRun(str(trial.number), list(trial.values), trial.params) for trial in study.best_trials]
    best = study.best_trial
    return BestRun(str(best.number), float(best.value or 0.0), best.params)
