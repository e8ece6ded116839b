"""Searches: the best trial is found, hopeless ones end early, and what cannot work is refused."""

import contextlib
import io
import json

import optuna
import pytest

from xf import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

optuna.logging.set_verbosity(optuna.logging.ERROR)
ROWS = [{"input_ids": [2, 3 + i % 20, 5, 7], "labels": i % 2} for i in range(16)]
SIZES = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def trainer(folder, **more):
    options = {"max_steps": 2, "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "no", "disable_tqdm": True}
    args = TrainingArguments(str(folder), report_to="none", use_cpu=True, **{**options, **more})
    init = lambda: BertForSequenceClassification(BertConfig(**SIZES))  # noqa: E731
    return Trainer(args=args, model_init=init, train_dataset=ROWS, eval_dataset=ROWS)


def space(trial):
    return {"learning_rate": trial.suggest_categorical("learning_rate", [1e-4, 1e-3, 1e-2])}


def searched(run, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
        return run.hyperparameter_search(*args, **kwargs)


def test_the_best_trial_and_its_arguments(tmp_path):
    seen = []

    def objective(metrics):
        seen.append(metrics["eval_loss"])
        return metrics["eval_loss"]

    sampler = optuna.samplers.GridSampler({"learning_rate": [1e-4, 1e-3, 1e-2]}, seed=0)
    best = searched(trainer(tmp_path), space, objective, n_trials=3, backend="optuna", sampler=sampler)
    assert len(seen) == 6, "an objective per evaluation"
    assert best.objective == min(seen[1::2]) and len(set(seen[1::2])) == 3, "each trial had a rate of its own"
    again = trainer(tmp_path, learning_rate=best.hyperparameters["learning_rate"])
    with contextlib.redirect_stdout(io.StringIO()):
        again.train()
    assert again.state.log_history[-2]["eval_loss"] == pytest.approx(best.objective, abs=1e-6)


def test_checkpoints_of_trials_lie_apart(tmp_path):
    run = trainer(tmp_path, save_strategy="steps", save_steps=2)
    searched(run, space, n_trials=2, hp_name=lambda trial: f"trial-{trial.number}")
    state = json.loads((tmp_path / "trial-1" / "checkpoint-2" / "trainer_state.json").read_text())
    assert state["trial_name"] == "trial-1" and set(state["trial_params"]) == {"learning_rate"}


def test_a_pruner_ends_hopeless_trials(tmp_path):
    class Always(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number > 0

    steps = []
    searched(trainer(tmp_path), space, lambda m: steps.append(1) or 1.0, n_trials=3, pruner=Always())
    assert len(steps) == 2 + 1 + 1


def test_what_cannot_be_searched(tmp_path):
    run = trainer(tmp_path)
    with pytest.raises(ValueError, match="hp_space is needed"):
        searched(run)
    with pytest.raises(ValueError, match="'nonsense', which is no training argument"):
        searched(run, lambda trial: {"nonsense": 1}, n_trials=1)
    with pytest.raises(ValueError, match="n_jobs"):
        searched(run, space, n_trials=1, n_jobs=2)
    plain = Trainer(BertForSequenceClassification(BertConfig(**SIZES)), run.args)
    with pytest.raises(ValueError, match="model_init"):
        searched(plain, space)
