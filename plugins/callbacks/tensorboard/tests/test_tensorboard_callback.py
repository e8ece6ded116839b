"""What a run logs can be read back from the files."""

from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xf.integrations import TensorBoardCallback
from xf_plugin_callback_tensorboard.callback import tag
from xf_testing import CallbackConformance, no_network
from xf_training.callback import TrainerControl, TrainerState


class TestContract(CallbackConformance):
    name = "tensorboard"


def arguments(folder):
    return SimpleNamespace(logging_dir=str(folder), to_json_string=lambda: '{"learning_rate": 0.001}')


def run(folder, logs, *, main=True, callback=None, trial=None):
    """A run that logs each of `logs` after one more step."""
    callback = callback or TensorBoardCallback()
    state = TrainerState(is_world_process_zero=main, is_hyper_param_search=trial is not None, trial_name=trial)
    control, model = TrainerControl(), SimpleNamespace(config=SimpleNamespace(to_json_string=lambda: '{"layers": 2}'))
    callback.on_train_begin(arguments(folder), state, control, model=model)
    for entry in logs:
        state.global_step += 1
        callback.on_log(arguments(folder), state, control, logs=entry)
    callback.on_train_end(arguments(folder), state, control)
    return callback


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def text(events, name):
    return events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode()


def test_numbers_are_scalars_at_their_step(tmp_path):
    run(tmp_path, [{"loss": 2.0, "epoch": 0.5}, {"loss": 1.0}, {"eval_loss": 1.5, "test_accuracy": 1}])
    events = read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 2.0), (2, 1.0)]
    assert [(e.step, e.value) for e in events.Scalars("eval/loss")] == [(3, 1.5)]
    assert [(e.step, e.value) for e in events.Scalars("test/accuracy")] == [(3, 1.0)]


def test_arguments_and_config_are_kept(tmp_path):
    run(tmp_path, [])
    events = read(tmp_path)
    assert "0.001" in text(events, "args") and '"layers": 2' in text(events, "model_config")


def test_text_is_text(tmp_path):
    run(tmp_path, [{"note": "all is well"}])
    assert text(read(tmp_path), "train/note") == "all is well"


def test_what_cannot_be_shown_is_left_out(tmp_path):
    run(tmp_path, [{"loss": 1.0, "histogram": [1, 2], "nothing": None}])
    assert read(tmp_path).Tags()["scalars"] == ["train/loss"]


@pytest.mark.parametrize(("name", "where"), [
    ("loss", "train/loss"), ("eval_loss", "eval/loss"), ("test_f1", "test/f1"), ("train_loss", "train/train_loss"),
    ("evaluation", "train/evaluation"),
])  # fmt: skip
def test_names(name, where):
    assert tag(name) == where


def test_other_processes_write_nothing(tmp_path):
    run(tmp_path, [{"loss": 1.0}], main=False)
    assert not list(tmp_path.iterdir())


def test_trials_have_folders_of_their_own(tmp_path):
    run(tmp_path, [{"loss": 1.0}], trial="trial-3")
    assert read(tmp_path / "trial-3").Scalars("train/loss")


def test_an_evaluation_alone_is_logged(tmp_path):
    callback = TensorBoardCallback()
    callback.on_log(arguments(tmp_path), TrainerState(), TrainerControl(), logs={"eval_loss": 1.0})
    callback.on_train_end(arguments(tmp_path), TrainerState(), TrainerControl())
    assert read(tmp_path).Scalars("eval/loss")


def test_a_given_writer_is_used_and_closed(tmp_path):
    calls = []

    class Writer:
        def __getattr__(self, name):
            return lambda *values: calls.append((name, values))

    run(tmp_path, [{"loss": 1.0}], callback=TensorBoardCallback(Writer()))
    assert [name for name, _ in calls] == ["add_text", "add_text", "add_scalar", "flush", "close"]
    assert not list(tmp_path.iterdir())


def test_nothing_is_sent_anywhere(tmp_path):
    with no_network():
        run(tmp_path, [{"loss": 1.0}])
