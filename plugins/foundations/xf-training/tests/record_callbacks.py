"""Record what the reference does to the control, for test_training_callback.py; runs in the reference environment.

python record_callbacks.py goldens/callbacks.json
"""

import json
import sys
from types import SimpleNamespace

from transformers import trainer_callback as callbacks
from transformers.trainer_callback import TrainerControl, TrainerState

STRATEGIES = ("no", "steps", "epoch")


def flow() -> list:
    rows = []
    for strategy in STRATEGIES:
        for first in (False, True):
            for delay in (0, 5):
                arguments = SimpleNamespace(
                    logging_strategy=strategy, eval_strategy=strategy, save_strategy=strategy, logging_first_step=first,
                    eval_delay=delay,
                )  # fmt: skip
                for step in (1, 2, 3, 4, 6, 9, 10, 11):
                    state = TrainerState(
                        global_step=step, max_steps=10, logging_steps=2, eval_steps=3, save_steps=4, epoch=step
                    )
                    after = TrainerControl(), TrainerControl()
                    callbacks.DefaultFlowCallback().on_step_end(arguments, state, after[0])
                    callbacks.DefaultFlowCallback().on_epoch_end(arguments, state, after[1])
                    rows.append([strategy, first, delay, step, *(vars(control) for control in after)])
    return rows


def stopping() -> list:
    rows = []
    series = [[1.0, 0.9, 0.95, 0.96, 0.5], [0.1, 0.2, 0.2, 0.2], [1.0, 1.05, 1.2, 1.1], [3.0, 2.9999, 2.9998, 2.9]]
    for greater in (False, True):
        for patience in (1, 2):
            for threshold in (0.0, 0.1):
                for values in series:
                    callback = callbacks.EarlyStoppingCallback(patience, threshold)
                    arguments = SimpleNamespace(metric_for_best_model="loss", greater_is_better=greater)
                    state, seen = TrainerState(), []
                    for value in values:
                        control = TrainerControl()
                        callback.on_evaluate(arguments, state, control, metrics={"eval_loss": value})
                        seen.append([callback.early_stopping_patience_counter, control.should_training_stop])
                        better = state.best_metric is None or (value > state.best_metric) == greater
                        state.best_metric = value if better else state.best_metric
                    rows.append([greater, patience, threshold, values, seen])
    return rows


def state_json() -> str:
    state = TrainerState(
        epoch=0.5, global_step=3, max_steps=10, log_history=[{"loss": 1.5, "step": 1}], best_metric=0.25,
        best_global_step=2, best_model_checkpoint="checkpoint-2", trial_name="t", trial_params={"lr": 0.1},
        stateful_callbacks=[callbacks.EarlyStoppingCallback(2, 0.1), TrainerControl(should_save=True)],
    )  # fmt: skip
    import tempfile

    with tempfile.NamedTemporaryFile("r") as file:
        state.save_to_json(file.name)
        return file.read()


def resets() -> dict:
    found = {}
    handler = callbacks.CallbackHandler([callbacks.DefaultFlowCallback()], None, None, None, None)
    handler.callbacks = []
    for event in [name for name in vars(callbacks.TrainerCallback) if name.startswith("on_")]:
        control = TrainerControl(*[True] * 5)
        extra = {"on_evaluate": ({},), "on_predict": ({},), "on_log": ({},)}.get(event, ())
        found[event] = vars(getattr(handler, event)(None, TrainerState(), control, *extra))
    return found


def main() -> None:
    steps = []
    for part in (0.1, 0.5, 0.999, 1, 7):
        state = TrainerState()
        state.compute_steps(SimpleNamespace(logging_steps=part, eval_steps=None, save_steps=part), 101)
        steps.append([part, state.logging_steps, state.eval_steps, state.save_steps])
    data = {"flow": flow(), "stopping": stopping(), "state": state_json(), "resets": resets(), "steps": steps}
    with open(sys.argv[1], "w") as file:
        json.dump(data, file)


if __name__ == "__main__":
    main()
