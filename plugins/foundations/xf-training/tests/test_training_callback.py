"""Callbacks, state and control, against what record_callbacks.py recorded of the reference."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf import (
    CallbackHandler,
    DefaultFlowCallback,
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from xf_training.callback import ExportableState
from xf_training.integrations import find_callbacks

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "callbacks.json").read_text())
EVENTS = [name for name in vars(TrainerCallback) if name.startswith("on_")]


# --- equal to the reference


@pytest.mark.parametrize("strategy, first, delay, step, after_step, after_epoch", GOLDEN["flow"])
def test_the_default_flow_sets_the_same_switches(strategy, first, delay, step, after_step, after_epoch):
    arguments = SimpleNamespace(
        logging_strategy=strategy,
        eval_strategy=strategy,
        save_strategy=strategy,
        logging_first_step=first,
        eval_delay=delay,
    )
    state = TrainerState(global_step=step, max_steps=10, logging_steps=2, eval_steps=3, save_steps=4, epoch=step)
    assert vars(DefaultFlowCallback().on_step_end(arguments, state, TrainerControl())) == after_step
    assert vars(DefaultFlowCallback().on_epoch_end(arguments, state, TrainerControl())) == after_epoch


@pytest.mark.parametrize("greater, patience, threshold, values, expected", GOLDEN["stopping"])
def test_early_stopping_stops_at_the_same_evaluation(greater, patience, threshold, values, expected):
    callback, state, seen = EarlyStoppingCallback(patience, threshold), TrainerState(), []
    arguments = SimpleNamespace(metric_for_best_model="loss", greater_is_better=greater)
    for value in values:
        control = TrainerControl()
        callback.on_evaluate(arguments, state, control, metrics={"eval_loss": value})
        seen.append([callback.early_stopping_patience_counter, control.should_training_stop])
        better = state.best_metric is None or (value > state.best_metric) == greater
        state.best_metric = value if better else state.best_metric
    assert seen == expected


def test_the_file_of_the_state_is_the_same(tmp_path):
    state = TrainerState(
        epoch=0.5, global_step=3, max_steps=10, log_history=[{"loss": 1.5, "step": 1}], best_metric=0.25,
        best_global_step=2, best_model_checkpoint="checkpoint-2", trial_name="t", trial_params={"lr": 0.1},
        stateful_callbacks=[EarlyStoppingCallback(2, 0.1), TrainerControl(should_save=True)],
    )  # fmt: skip
    state.save_to_json(tmp_path / "trainer_state.json")
    assert (tmp_path / "trainer_state.json").read_text() == GOLDEN["state"]
    assert TrainerState.load_from_json(tmp_path / "trainer_state.json") == state


@pytest.mark.parametrize("event", EVENTS)
def test_events_reset_the_same_switches(event):
    handler = CallbackHandler([DefaultFlowCallback()], None, None, None, None)
    handler.callbacks = []
    extra = ({},) if event in ("on_evaluate", "on_predict", "on_log") else ()
    control = getattr(handler, event)(None, TrainerState(), TrainerControl(*[True] * 5), *extra)
    assert vars(control) == GOLDEN["resets"][event]
    assert set(GOLDEN["resets"]) == set(EVENTS)


@pytest.mark.parametrize("part, logging_steps, eval_steps, save_steps", GOLDEN["steps"])
def test_steps_below_one_are_a_part_of_all(part, logging_steps, eval_steps, save_steps):
    state = TrainerState()
    state.compute_steps(SimpleNamespace(logging_steps=part, eval_steps=None, save_steps=part), 101)
    assert (state.logging_steps, state.eval_steps, state.save_steps) == (logging_steps, eval_steps, save_steps)


# --- the handler


class Recorder(TrainerCallback):
    def __init__(self):
        self.seen = []


for _event in EVENTS:
    setattr(
        Recorder,
        _event,
        lambda self, args, state, control, _event=_event, **kwargs: self.seen.append((_event, sorted(kwargs))),
    )


def test_every_callback_sees_every_event_with_what_the_trainer_knows():
    recorder = Recorder()
    handler = CallbackHandler([DefaultFlowCallback, recorder], "model", "tokenizer", "optimizer", "scheduler")
    handler.callbacks.remove(handler.callbacks[0])
    for event in EVENTS:
        extra = ({"loss": 1},) if event in ("on_evaluate", "on_predict", "on_log") else ()
        getattr(handler, event)(None, TrainerState(), TrainerControl(), *extra)
    assert [event for event, _ in recorder.seen] == EVENTS
    known = ["eval_dataloader", "lr_scheduler", "model", "optimizer", "processing_class", "train_dataloader"]
    extras = {"on_evaluate": ["metrics"], "on_predict": ["metrics"], "on_log": ["logs"]}
    assert all(names == sorted(known + extras.get(event, [])) for event, names in recorder.seen)


def test_a_control_that_a_callback_returns_takes_the_place_of_the_old_one():
    class Stops(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            return TrainerControl(should_training_stop=True)

    recorder = Recorder()
    handler = CallbackHandler([Stops(), recorder], None, None, None, None)
    assert handler.on_step_end(None, TrainerState(), TrainerControl()).should_training_stop


def test_callbacks_are_added_and_removed_by_class_and_by_object():
    first = Recorder()
    handler = CallbackHandler([DefaultFlowCallback, first], None, None, None, None)
    assert handler.callback_list == "DefaultFlowCallback\nRecorder"
    handler.add_callback(PrinterCallback)
    assert handler.pop_callback(first) is first and handler.pop_callback(Recorder) is None
    handler.remove_callback(PrinterCallback)
    assert handler.callback_list == "DefaultFlowCallback"
    with pytest.raises(ValueError, match="none of the callbacks"):
        handler.remove_callback(first)


def test_hooks_of_plugins_see_train_events(monkeypatch):
    from xf.plugins import hooks

    monkeypatch.setattr(hooks, "_manager", None)
    monkeypatch.setattr(hooks, "_loaded", {})
    seen = []

    class Plugin:
        @hooks.hookimpl
        def xf_train_event(self, event, state):
            seen.append((event, state.global_step))

    hooks.register(Plugin, "mine")
    handler = CallbackHandler([DefaultFlowCallback], None, None, None, None)
    handler.on_train_begin(None, TrainerState(global_step=7), TrainerControl())
    assert seen == [("on_train_begin", 7)]


def test_callbacks_of_plugins_are_found_by_name_and_all_of_them_where_nobody_names_any(tmp_plugin, no_plugins):
    source = "from xf import TrainerCallback\nclass AcmeCallback(TrainerCallback): pass\n"
    tmp_plugin(
        "acme", {"xf.v1.callback": {"acme": "acme_cb:AcmeCallback", "broken": "acme_no:X"}}, {"acme_cb.py": source}
    )
    assert [found.__name__ for found in find_callbacks()] == ["AcmeCallback"]
    assert [found.__name__ for found in find_callbacks(["acme"])] == ["AcmeCallback"]
    with pytest.raises(ImportError):
        find_callbacks(["broken"])


# --- state and control

plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epoch": st.floats(0, 100),
            "global_step": st.integers(0, 10**9),
            "best_metric": st.floats(-1e9, 1e9),
            "log_history": st.lists(st.dictionaries(st.text(max_size=8), plain, max_size=3), max_size=3),
            "trial_params": st.dictionaries(st.text(max_size=8), plain, max_size=3),
            "trial_name": st.text(max_size=9),
        },
    )  # fmt: skip
)
def test_a_state_comes_back_from_its_file(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("state") / "s.json"
    state = TrainerState(**values)
    state.save_to_json(path)
    assert TrainerState.load_from_json(path) == state


@pytest.mark.parametrize("text, message", [("{", "not valid JSON"), ("[1]", "holds a list"), ("", "not valid JSON")])
def test_a_broken_state_is_an_error_that_names_the_file(tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match=f"s.json.*{message}"):
        TrainerState.load_from_json(tmp_path / "s.json")


def test_unknown_entries_of_a_state_are_left_out(tmp_path):
    (tmp_path / "s.json").write_text('{"global_step": 3, "new_thing": 1}')
    assert TrainerState.load_from_json(tmp_path / "s.json").global_step == 3


def test_states_of_callbacks_are_kept_by_class_also_of_two_of_one_class():
    two = TrainerState(stateful_callbacks=[EarlyStoppingCallback(1), EarlyStoppingCallback(2)])
    kept = two.stateful_callbacks["EarlyStoppingCallback"]
    assert [state["args"]["early_stopping_patience"] for state in kept] == [1, 2]
    back = EarlyStoppingCallback.from_state({**kept[1], "attributes": {"early_stopping_patience_counter": 5}})
    assert (back.early_stopping_patience, back.early_stopping_patience_counter) == (2, 5)
    assert TrainerControl.from_state(TrainerControl(should_log=True).state()) == TrainerControl(should_log=True)
    with pytest.raises(TypeError, match="Only an ExportableState"):
        TrainerState(stateful_callbacks=[TrainerCallback()])
    with pytest.raises(NotImplementedError):
        ExportableState().state()
    assert [field.name for field in fields(TrainerControl)] == [
        "should_training_stop", "should_epoch_stop", "should_save", "should_evaluate", "should_log",
    ]  # fmt: skip


def test_the_state_takes_what_the_trainer_knows():
    trainer = SimpleNamespace(
        hp_name=lambda trial: f"trial {trial}",
        _trial=3,
        is_local_process_zero=lambda: True,
        is_world_process_zero=lambda: False,
    )
    state = TrainerState()
    state.init_training_references(trainer, 100, 2, SimpleNamespace(params={"lr": 1}))
    assert (state.trial_name, state.trial_params, state.max_steps, state.num_train_epochs) == (
        "trial 3",
        {"lr": 1},
        100,
        2,
    )
    assert state.is_local_process_zero and not state.is_world_process_zero


# --- what users see


@pytest.mark.parametrize(
    "change, message",
    [({"metric_for_best_model": None}, "metric_for_best_model"), ({"eval_strategy": "no"}, "eval_strategy")],
)
def test_early_stopping_says_what_it_needs(change, message):
    arguments = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "eval_strategy": "steps", **change}
    with pytest.raises(ValueError, match=message):
        EarlyStoppingCallback().on_train_begin(SimpleNamespace(**arguments), TrainerState(), TrainerControl())


def test_an_evaluation_without_the_metric_is_not_counted():
    callback = EarlyStoppingCallback()
    arguments = SimpleNamespace(metric_for_best_model="eval_f1", greater_is_better=True)
    callback.on_evaluate(arguments, TrainerState(best_metric=1.0), TrainerControl(), metrics={"eval_loss": 1})
    assert callback.early_stopping_patience_counter == 0


def test_the_printer_prints_logs_without_the_operations(capsys):
    PrinterCallback().on_log(None, TrainerState(), None, logs={"loss": 1, "total_flos": 3})
    PrinterCallback().on_log(None, TrainerState(is_local_process_zero=False), None, logs={"loss": 2})
    assert capsys.readouterr().out == "{'loss': 1}\n"


def test_the_progress_bar_follows_the_steps(capfd):
    callback, state = ProgressCallback(max_str_len=5), TrainerState(max_steps=4)
    callback.on_train_begin(None, state, None)
    for state.global_step in (1, 3):
        callback.on_step_end(None, state, None)
    callback.on_log(None, state, None, logs={"loss": 0.5, "long": "x" * 9, "total_flos": 1})
    callback.on_prediction_step(None, state, None, eval_dataloader=[1, 2])
    callback.on_evaluate(None, state, None)
    callback.on_prediction_step(None, state, None, eval_dataloader=iter([1]))
    callback.on_predict(None, state, None, metrics={})
    callback.on_train_end(None, state, None)
    shown = capfd.readouterr()
    assert (
        "3/4" in shown.err and "{'loss': 0.5, 'long': '(a text of 9 characters; max_str_len shows more)'}" in shown.out
    )
    assert callback.training_bar is None and callback.prediction_bar is None
