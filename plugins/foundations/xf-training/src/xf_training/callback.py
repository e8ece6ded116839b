"""Callbacks of the training loop: the documented events, the state and the switches they see (spec: callback.md).

A third party's callback is an entry point in `xf.v1.callback` whose name is what `TrainingArguments.report_to` names.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from xf import logging

logger = logging.get_logger(__name__)

S = TypeVar("S", bound="ExportableState")


class ExportableState:
    """Something whose state is saved with a checkpoint and comes back with it.

    `state()` gives {"args": arguments of the constructor, "attributes": what is set afterwards}.
    """

    def state(self) -> dict[str, Any]:
        """The state to save."""
        raise NotImplementedError(f"{type(self).__name__} must define state() to be saved.")

    @classmethod
    def from_state(cls: type[S], state: dict[str, Any]) -> S:
        """An object with that state."""
        found = cls(**state["args"])
        for name, value in state["attributes"].items():
            setattr(found, name, value)
        return found


@dataclass
class TrainerState:
    """What is known of a training run; saved with every checkpoint as trainer_state.json.

    Args:
        epoch: epochs done, the fraction being part of the present one.
        global_step: updates of the weights done; max_steps: how many there will be.
        logging_steps, eval_steps, save_steps: log, evaluate, save every so many updates.
        train_batch_size: rows per device; num_train_epochs: epochs to run.
        num_input_tokens_seen: tokens seen; counted only where the arguments ask for it.
        total_flos: floating-point operations done, stored as a float for its range.
        log_history: everything that was logged.
        best_metric, best_global_step, best_model_checkpoint: the best evaluation, its update and its folder.
        is_local_process_zero, is_world_process_zero: whether this is the main process of its machine, of all.
        is_hyper_param_search, trial_name, trial_params: the trial of a hyper-parameter search.
        stateful_callbacks: callbacks whose state is to be saved; kept as their states, by class name.
    """

    epoch: float | None = None
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[dict[str, float]] = None  # type: ignore[assignment]
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, str | float | int | bool] | None = None
    stateful_callbacks: Any = None

    def __post_init__(self) -> None:
        self.log_history = [] if self.log_history is None else self.log_history
        if not isinstance(self.stateful_callbacks, dict):
            self.stateful_callbacks = _states(self.stateful_callbacks or ())

    def save_to_json(self, json_path: str | os.PathLike[str]) -> None:
        """Write the state; the file is replaced whole."""
        from xf.checkpoint.atomic import write_json_atomic

        write_json_atomic(json_path, dataclasses.asdict(self))

    @classmethod
    def load_from_json(cls, json_path: str | os.PathLike[str]) -> TrainerState:
        """Read a state. Entries that this version does not know are left out, with a warning.

        Raises: ValueError where the file is not the JSON of a state.
        """
        with open(json_path, encoding="utf-8") as file:
            text = file.read()
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{json_path} is not valid JSON: {error}. Resume from another checkpoint.") from error
        if not isinstance(data, dict):
            raise ValueError(f"{json_path} holds a {type(data).__name__}, not the state of a training run.")
        unknown = sorted(set(data) - {field.name for field in fields(cls)})
        if unknown:
            logger.warning(f"{json_path}: unknown entries are left out: {', '.join(unknown)}.")
        return cls(**{name: value for name, value in data.items() if name not in unknown})

    def compute_steps(self, args: Any, max_steps: int) -> None:
        """Take logging_steps, eval_steps and save_steps of the arguments; a value below 1 is a part of `max_steps`."""
        for kind in ("logging", "eval", "save"):
            steps = getattr(args, f"{kind}_steps")
            if steps is not None:
                setattr(self, f"{kind}_steps", math.ceil(max_steps * steps) if steps < 1 else steps)

    def init_training_references(self, trainer: Any, max_steps: int, num_train_epochs: int, trial: Any) -> None:
        """Take what the trainer knows at the start of a run."""
        if trainer.hp_name is not None and trainer._trial is not None:
            self.trial_name = trainer.hp_name(trainer._trial)
        self.trial_params = getattr(trial, "params", trial)  # of optuna, or the plain dict of others
        self.max_steps, self.num_train_epochs = max_steps, num_train_epochs
        self.is_local_process_zero = trainer.is_local_process_zero()
        self.is_world_process_zero = trainer.is_world_process_zero()


def _states(callbacks: Iterable[Any]) -> dict[str, Any]:
    """States by class name; several of one class in a list."""
    found: dict[str, Any] = {}
    for callback in callbacks:
        if not isinstance(callback, ExportableState):
            raise TypeError(f"Only an ExportableState can be saved with the state, not a {type(callback).__name__}.")
        name, state = type(callback).__name__, callback.state()
        if name not in found:
            found[name] = state
        else:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), state]
    return found


@dataclass
class TrainerControl(ExportableState):
    """The switches that callbacks set. Those of a step are reset when the next step begins.

    Args:
        should_training_stop: end the training.
        should_epoch_stop: end this epoch.
        should_save, should_evaluate, should_log: do so at this step.
    """

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def state(self) -> dict[str, Any]:
        return {"args": dataclasses.asdict(self), "attributes": {}}

    def _new_training(self) -> None:
        self.should_training_stop = False

    def _new_epoch(self) -> None:
        self.should_epoch_stop = False

    def _new_step(self) -> None:
        self.should_save = self.should_evaluate = self.should_log = False


class TrainerCallback:
    """Sees the events of a training loop; override those you need.

    Each gets the arguments, the state and the control, and as keywords `model`, `processing_class`, `optimizer`,
    `lr_scheduler`, `train_dataloader`, `eval_dataloader`, and `metrics` or `logs` where there are any. It may change
    the control, and return it; nothing else of the loop is to be changed.
    """

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The trainer is built."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Training begins."""

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Training is over."""

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An epoch begins."""

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An epoch is over."""

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A step begins: one update of the weights, of as many batches as gradients are accumulated."""

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The gradients are clipped; the optimizer's step comes next."""

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The optimizer has stepped; the gradients are not yet zeroed."""

    def on_substep_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A batch is done whose gradients are only accumulated."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A step is over."""

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An evaluation is over; `metrics` holds its results."""

    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any) -> Any:
        """A prediction is over."""

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A checkpoint is saved."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Something was logged: `logs`."""

    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A batch of an evaluation or prediction is done."""


class CallbackHandler(TrainerCallback):
    """Calls a list of callbacks in order, and then the hook `xf_train_event` of installed plugins.

    Every event returns the control: the one that the last callback returned, where one did.
    """

    def __init__(
        self, callbacks: Sequence[Any], model: Any, processing_class: Any, optimizer: Any, lr_scheduler: Any
    ) -> None:
        self.callbacks: list[TrainerCallback] = []
        for callback in callbacks:
            self.add_callback(callback)
        self.model, self.processing_class = model, processing_class
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.train_dataloader: Any = None
        self.eval_dataloader: Any = None
        if not any(isinstance(callback, DefaultFlowCallback) for callback in self.callbacks):
            logger.warning(
                "Without DefaultFlowCallback nothing logs, evaluates, saves or stops: add it with "
                f"trainer.add_callback(DefaultFlowCallback). There are: {self.callback_list}"
            )

    def add_callback(self, callback: Any) -> None:
        """Add a callback, given as an object or as a class."""
        new = callback() if isinstance(callback, type) else callback
        if type(new) in [type(old) for old in self.callbacks]:
            logger.warning(
                f"There is already a {type(new).__name__}; now there are two. There are: {self.callback_list}"
            )
        self.callbacks.append(new)

    def pop_callback(self, callback: Any) -> TrainerCallback | None:
        """Remove a callback, given as an object or as a class, and return it; None where there is none such."""
        for found in self.callbacks:
            if type(found) is callback if isinstance(callback, type) else found == callback:
                self.callbacks.remove(found)
                return found
        return None

    def remove_callback(self, callback: Any) -> None:
        """Remove a callback, given as an object or as a class."""
        if self.pop_callback(callback) is None and not isinstance(callback, type):
            raise ValueError(f"{callback!r} is none of the callbacks: {self.callback_list}")

    @property
    def callback_list(self) -> str:
        """The names of the callbacks, a line each."""
        return "\n".join(type(callback).__name__ for callback in self.callbacks)

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        return self.call_event("on_init_end", args, state, control)

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        control.should_training_stop = False
        return self.call_event("on_train_begin", args, state, control)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        return self.call_event("on_train_end", args, state, control)

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        control.should_epoch_stop = False
        return self.call_event("on_epoch_begin", args, state, control)

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        return self.call_event("on_epoch_end", args, state, control)

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        control._new_step()
        return self.call_event("on_step_begin", args, state, control)

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        return self.call_event("on_pre_optimizer_step", args, state, control)

    def on_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        return self.call_event("on_optimizer_step", args, state, control)

    def on_substep_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        return self.call_event("on_substep_end", args, state, control)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        return self.call_event("on_step_end", args, state, control)

    def on_evaluate(  # type: ignore[override]
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any
    ) -> TrainerControl:
        control.should_evaluate = False
        return self.call_event("on_evaluate", args, state, control, metrics=metrics)

    def on_predict(  # type: ignore[override]
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any
    ) -> TrainerControl:
        return self.call_event("on_predict", args, state, control, metrics=metrics)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        control.should_save = False
        return self.call_event("on_save", args, state, control)

    def on_log(  # type: ignore[override]
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Any
    ) -> TrainerControl:
        control.should_log = False
        return self.call_event("on_log", args, state, control, logs=logs)

    def on_prediction_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        return self.call_event("on_prediction_step", args, state, control)

    def call_event(
        self, event: str, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Call every callback's method of that name."""
        from xf.plugins.hooks import hooks

        for callback in self.callbacks:
            returned = getattr(callback, event)(
                args,
                state,
                control,
                model=self.model,
                processing_class=self.processing_class,
                optimizer=self.optimizer,
                lr_scheduler=self.lr_scheduler,
                train_dataloader=self.train_dataloader,
                eval_dataloader=self.eval_dataloader,
                **kwargs,
            )
            control = control if returned is None else returned
        hooks().xf_train_event(event=event, args=args, state=state, control=control)
        return control


class DefaultFlowCallback(TrainerCallback):
    """Logs, evaluates, saves and stops as the training arguments say."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        step = state.global_step
        if (
            step == 1
            and args.logging_first_step
            or args.logging_strategy == "steps"
            and _due(step, state.logging_steps)
        ):
            control.should_log = True
        if args.eval_strategy == "steps" and _due(step, state.eval_steps) and args.eval_delay <= step:
            control.should_evaluate = True
        if args.save_strategy == "steps" and state.save_steps > 0 and _due(step, state.save_steps):
            control.should_save = True
        if step >= state.max_steps:
            control.should_training_stop = True
            if args.save_strategy == "steps":  # the last step is saved whether or not it is its turn
                control.should_save = True
        return control

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        if args.logging_strategy == "epoch":
            control.should_log = True
        if args.eval_strategy == "epoch" and args.eval_delay <= (state.epoch or 0):
            control.should_evaluate = True
        if args.save_strategy == "epoch":
            control.should_save = True
        return control


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class ProgressCallback(TrainerCallback):
    """Shows bars for training and evaluation, and the logs above them.

    Args:
        max_str_len: longest text of a log entry that is shown.
    """

    def __init__(self, max_str_len: int = 100) -> None:
        self.max_str_len = max_str_len
        self.training_bar: Any = None
        self.prediction_bar: Any = None
        self.current_step = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.training_bar = logging.tqdm(total=state.max_steps, dynamic_ncols=True)
        self.current_step = 0

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero and self.training_bar is not None:
            self.training_bar.update(state.global_step - self.current_step)
            self.current_step = state.global_step

    def on_prediction_step(
        self, args: Any, state: TrainerState, control: TrainerControl, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero or not hasattr(eval_dataloader, "__len__"):
            return
        if self.prediction_bar is None:
            below = self.training_bar is None
            self.prediction_bar = logging.tqdm(total=len(eval_dataloader), leave=below, dynamic_ncols=True)
        self.prediction_bar.update(1)

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.prediction_bar is not None:
            self.prediction_bar.close()
        self.prediction_bar = None

    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any) -> None:
        self.on_evaluate(args, state, control)

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero and self.training_bar is not None and logs is not None:
            shown = {name: self._short(value) for name, value in logs.items() if name != "total_flos"}
            self.training_bar.write(str(shown))

    def _short(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > self.max_str_len:
            return f"(a text of {len(value)} characters; max_str_len shows more)"
        return value

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.training_bar is not None:
            self.training_bar.close()
        self.training_bar = None


class PrinterCallback(TrainerCallback):
    """Prints the logs."""

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if logs is not None and state.is_local_process_zero:
            print({name: value for name, value in logs.items() if name != "total_flos"})  # noqa: T201


class EarlyStoppingCallback(TrainerCallback, ExportableState):
    """Stops when `metric_for_best_model` has not improved for `early_stopping_patience` evaluations.

    Args:
        early_stopping_patience: evaluations without improvement that are allowed.
        early_stopping_threshold: how much better a value must be to count as an improvement.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float | None = 0.0) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        self.early_stopping_patience_counter = 0

    def check_metric_value(self, args: Any, state: TrainerState, control: TrainerControl, metric_value: Any) -> None:
        """Count an evaluation without improvement, or start counting anew."""
        better = state.best_metric is None
        if state.best_metric is not None:
            gain = float(metric_value - state.best_metric)
            gain = gain if args.greater_is_better else -gain
            better = gain > 0 and gain > (self.early_stopping_threshold or 0.0)
        self.early_stopping_patience_counter = 0 if better else self.early_stopping_patience_counter + 1

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not args.load_best_model_at_end:
            logger.warning(
                "Early stopping without load_best_model_at_end=True: the last weights are kept, not the best."
            )
        if args.metric_for_best_model is None:
            raise ValueError("Early stopping needs metric_for_best_model in the training arguments.")
        if args.eval_strategy == "no":
            raise ValueError("Early stopping needs evaluations: set eval_strategy to 'steps' or 'epoch'.")

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        name = args.metric_for_best_model
        name = name if name.startswith("eval_") else f"eval_{name}"
        value = (metrics or {}).get(name)
        if value is None:
            logger.warning(f"Early stopping needs {name}, which this evaluation did not give; it is not counted.")
            return
        self.check_metric_value(args, state, control, value)
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        return {
            "args": {
                "early_stopping_patience": self.early_stopping_patience,
                "early_stopping_threshold": self.early_stopping_threshold,
            },
            "attributes": {"early_stopping_patience_counter": self.early_stopping_patience_counter},
        }
