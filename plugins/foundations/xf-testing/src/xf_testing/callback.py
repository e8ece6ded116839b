"""What every training callback must do: bear every event, in any order that a training run has."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, ClassVar

from .base import Conformance

# A short run: two epochs of two steps, with a log, an evaluation, a checkpoint and a prediction.
_EVENTS = (
    "on_init_end on_train_begin on_epoch_begin on_step_begin on_substep_end on_pre_optimizer_step on_optimizer_step "
    "on_step_end on_log on_step_begin on_step_end on_prediction_step on_evaluate on_log on_save on_epoch_end "
    "on_epoch_begin on_step_begin on_step_end on_epoch_end on_predict on_train_end"
).split()


class CallbackConformance(Conformance):
    """Subclass and set `name` (of the entry point), or return the callback from `make_callback`.

    Hooks: `make_args` for the training arguments. steers: it sets switches of the run (early stopping and the like).
    """

    contract: ClassVar[str] = "callback"
    name: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {}
    steers: ClassVar[bool] = False

    def make_callback(self) -> Any:
        from xf.plugins import registry

        return registry("callback").get(self.name)(**self.settings)

    def make_args(self, tmp_path: Any) -> Any:
        """Training arguments, as far as callbacks look at them."""
        values = {
            "output_dir": str(tmp_path), "logging_dir": str(tmp_path / "runs"), "run_name": "check", "report_to": [],
            "eval_strategy": "no", "save_strategy": "no", "logging_strategy": "steps", "logging_first_step": False,
            "metric_for_best_model": "loss", "greater_is_better": False, "load_best_model_at_end": True,
            "disable_tqdm": True, "eval_delay": 0, "to_sanitized_dict": lambda: {"learning_rate": 1e-3},
            "to_json_string": lambda: "{}", "to_dict": lambda: {"learning_rate": 1e-3}, "should_log": True,
        }  # fmt: skip
        return SimpleNamespace(**values)

    def run(self, callback: Any, tmp_path: Any, *, main: bool = True) -> tuple[Any, Any]:
        """All events of a short run, through the handler of the training loop."""
        from xf_training.callback import CallbackHandler, TrainerControl, TrainerState

        args, control = self.make_args(tmp_path), TrainerControl()
        state = TrainerState(max_steps=3, is_local_process_zero=main, is_world_process_zero=main, num_train_epochs=2)
        state.epoch = 0.0
        model = SimpleNamespace(config=SimpleNamespace(to_json_string=lambda: "{}", to_dict=dict))
        handler = CallbackHandler([callback], model, None, None, None)
        extra: dict[str, tuple[Any, ...]] = {
            "on_evaluate": ({"eval_loss": 0.5},),
            "on_predict": ({"test_loss": 0.4},),
            "on_log": ({"loss": 0.7, "learning_rate": 1e-3, "note": "text"},),
        }
        for event in _EVENTS:
            if event == "on_step_end":
                state.global_step += 1
            control = getattr(handler, event)(args, state, control, *extra.get(event, ()))
        return state, control

    def test_it_is_a_callback(self) -> None:
        from xf_training.callback import TrainerCallback

        assert isinstance(self.make_callback(), TrainerCallback)

    def test_it_bears_every_event(self, tmp_path: Any) -> None:
        self.run(self.make_callback(), tmp_path)

    def test_it_bears_every_event_on_another_process(self, tmp_path: Any) -> None:
        self.run(self.make_callback(), tmp_path, main=False)

    def test_it_can_be_used_for_two_runs(self, tmp_path: Any) -> None:
        callback = self.make_callback()
        self.run(callback, tmp_path / "one")
        self.run(callback, tmp_path / "two")

    def test_it_leaves_the_run_alone(self, tmp_path: Any) -> None:
        if self.steers:
            self.not_claimed("leaving the run alone")
        from xf_training.callback import TrainerControl

        _, control = self.run(self.make_callback(), tmp_path)
        clean = TrainerControl()
        assert control.should_training_stop == clean.should_training_stop
        assert control.should_save == clean.should_save and control.should_evaluate == clean.should_evaluate

    def test_logs_are_not_changed(self, tmp_path: Any) -> None:
        from xf_training.callback import TrainerControl, TrainerState

        logs: dict[str, Any] = {"loss": 0.7, "note": "text"}
        before, callback = copy.deepcopy(logs), self.make_callback()
        args, state, control = self.make_args(tmp_path), TrainerState(max_steps=1), TrainerControl()
        callback.on_train_begin(args, state, control, model=None)
        callback.on_log(args, state, control, logs=logs, model=None)
        callback.on_train_end(args, state, control, model=None)
        assert logs == before
