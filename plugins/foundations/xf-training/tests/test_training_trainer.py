"""The trainer as its users meet it: what it refuses, what it saves, how it stops and goes on."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xf import (
    BertConfig,
    BertForSequenceClassification,
    EarlyStoppingCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    logging,
    set_seed,
)
from xf.trainer_utils import get_last_checkpoint

ROWS = [{"input_ids": [2, 3 + i % 20, 5, 7], "labels": i % 2} for i in range(24)]


@pytest.fixture(autouse=True)
def told():
    """Warnings reach `caplog`."""
    logging.enable_propagation()
    yield
    logging.disable_propagation()


def model(dropout=0.1):
    set_seed(1)
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    sizes = {"vocab_size": 30, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(num_hidden_layers=1, max_position_embeddings=8, **sizes, **rates))


def arguments(folder, **more):
    plain = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "per_device_train_batch_size": 4}
    return TrainingArguments(str(folder), **{**plain, "logging_steps": 1, "save_strategy": "no", **more})


def trainer(folder, rows=ROWS, callbacks=(), the_model=None, **more):
    parts = {k: more.pop(k) for k in ("eval_dataset", "compute_metrics", "compute_loss_func") if k in more}
    args = arguments(folder, **more)
    return Trainer(the_model or model(), args, train_dataset=rows, callbacks=list(callbacks), **parts)


def quietly(function, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args, **kwargs)


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


# --- interruption


class Kill(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("step", [2, 5, 6])
def test_sigterm_saves_and_resuming_is_bit_for_bit(step, tmp_path):
    """With dropout, in the middle and at the end of an epoch of 6 updates."""
    whole = trainer(tmp_path / "whole", max_steps=14)
    quietly(whole.train)
    first = trainer(tmp_path / "run", [*ROWS], [Kill(step - 1)], max_steps=14)
    before = signal.getsignal(signal.SIGTERM)
    quietly(first.train)
    assert first.state.global_step == step and signal.getsignal(signal.SIGTERM) is before
    second = trainer(tmp_path / "run", max_steps=14)
    quietly(second.train, resume_from_checkpoint=True)
    assert torch.equal(weights(second), weights(whole))
    assert second.state.log_history[:-1] == whole.state.log_history[:-1]


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path, caplog):
    run = trainer(tmp_path, max_steps=6, save_strategy="steps", save_steps=2)
    quietly(run.train)
    newest = tmp_path / "checkpoint-6"
    data = (newest / "model.safetensors").read_bytes()
    (newest / "model.safetensors").write_bytes(data[: len(data) // 2])
    (tmp_path / ".checkpoint-8-writing").mkdir()
    assert get_last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")
    again = trainer(tmp_path, max_steps=6, save_strategy="steps", save_steps=2)
    quietly(again.train, resume_from_checkpoint=True)
    assert torch.equal(weights(again), weights(run))
    (newest / "optimizer.pt").write_bytes(b"\x80\x04broken")
    with pytest.raises(ValueError, match=r"optimizer\.pt cannot be read"):
        quietly(trainer(tmp_path, max_steps=8).train, resume_from_checkpoint=str(newest))


def test_nothing_pickled_is_run_when_resuming(tmp_path):
    run = trainer(tmp_path, max_steps=2, save_strategy="steps", save_steps=2)
    quietly(run.train)

    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    torch.save(Bomb(), tmp_path / "checkpoint-2" / "rng_state.pth")
    with pytest.raises(ValueError, match="rng_state"):
        quietly(trainer(tmp_path, max_steps=4).train, resume_from_checkpoint=True)
    assert not (tmp_path / "exploded").exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    run = trainer(tmp_path, max_steps=4, save_strategy="steps", save_steps=2)
    real = torch.save

    def full(value, path, *args, **kwargs):
        if run.state.global_step == 4:
            raise OSError(28, "No space left on device")
        real(value, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        quietly(run.train)
    assert get_last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


def test_resuming_needs_a_checkpoint_and_tells_of_other_arguments(tmp_path, caplog):
    with pytest.raises(ValueError, match="no complete checkpoint"):
        trainer(tmp_path).train(resume_from_checkpoint=True)
    with pytest.raises(ValueError, match="is no folder"):
        trainer(tmp_path).train(resume_from_checkpoint=str(tmp_path / "nothing"))
    quietly(trainer(tmp_path, max_steps=2, save_strategy="steps", save_steps=2).train)
    other = trainer(tmp_path, max_steps=4, per_device_train_batch_size=8, logging_steps=3)
    quietly(other.train, resume_from_checkpoint=True)
    assert "logging_steps: 3 (was 1)" in caplog.text and "8 (was 4)" in caplog.text


def test_rotation_keeps_the_best_and_the_newest(tmp_path):
    scores = iter([0.9, 0.1, 0.2, 0.3])
    run = trainer(
        tmp_path, max_steps=4, save_strategy="steps", save_steps=1, eval_strategy="steps", eval_steps=1,
        eval_dataset=ROWS,
        save_total_limit=1, metric_for_best_model="score", load_best_model_at_end=True,
        compute_metrics=lambda prediction: {"score": next(scores)},
    )  # fmt: skip
    quietly(run.train)
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-4"]
    assert run.state.best_model_checkpoint == str(tmp_path / "checkpoint-1")


# --- bad input


def test_a_data_set_without_labels(tmp_path):
    with pytest.raises(ValueError, match="returned no loss.*labels"):
        quietly(trainer(tmp_path, [{"input_ids": [2, 3]}] * 4).train)
    with pytest.raises(ValueError, match="no column is an argument"):
        quietly(trainer(tmp_path, [{"text": [2, 3]}] * 4).train)
    with pytest.raises(ValueError, match="empty"):
        trainer(tmp_path, []).train()
    with pytest.raises(ValueError, match="no train_dataset"):
        trainer(tmp_path, None).train()
    with pytest.raises(ValueError, match="no eval_dataset"):
        trainer(tmp_path).evaluate()


def test_dropped_columns_are_named(tmp_path, caplog):
    quietly(trainer(tmp_path, [row | {"text": "t", "idx": 1} for row in ROWS], max_steps=1).train)
    assert "left out: idx, text" in caplog.text


def test_a_loss_that_is_no_number_is_named_and_stops_on_request(tmp_path):
    broken = model()
    with torch.no_grad():
        broken.bert.encoder.layer[0].output.dense.weight.fill_(float("inf"))
    run = trainer(tmp_path, the_model=broken, max_steps=1, debug="underflow_overflow")
    with pytest.raises(ValueError, match="inf or nan in batch 0, in bert.encoder.layer.0.output.dense"):
        quietly(run.train)
    assert not broken._forward_hooks
    run = trainer(tmp_path, the_model=broken, max_steps=1, logging_nan_inf_filter=False)
    quietly(run.train)
    assert np.isnan(run.state.log_history[0]["loss"])


class Breaks(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        raise RuntimeError("the tracker is down")


def test_a_callback_that_raises_is_seen_and_leaves_the_trainer_usable(tmp_path):
    run = trainer(tmp_path, callbacks=[Breaks], max_steps=3, eval_dataset=ROWS)
    with pytest.raises(RuntimeError, match="the tracker is down"):
        quietly(run.train)
    run.remove_callback(Breaks)
    quietly(run.train)
    assert run.state.global_step == 3 and "eval_loss" in quietly(run.evaluate)


def test_metrics_may_be_tensors_and_arrays(tmp_path):
    answer = {"t": torch.tensor(0.5), "a": np.float32(0.25), "v": torch.tensor([1, 2])}
    run = trainer(tmp_path, eval_dataset=ROWS, compute_metrics=lambda prediction: dict(answer))
    metrics = quietly(run.evaluate)
    assert metrics["eval_t"] == 0.5 and metrics["eval_a"] == 0.25 and metrics["eval_v"] == [1, 2]
    json.dumps(metrics)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"eval_strategy": "sometimes"}, "sometimes"),
        ({"load_best_model_at_end": True, "save_strategy": "steps"}, "make them the same"),
        ({"fp16": True}, "bf16"),
        ({"fp16": True, "bf16": True}, "contradict"),
        ({"warmup_ratio": 2}, "between 0 and 1"),
        ({"deepspeed": {"stage": 2}}, "engine plugin"),
        ({"fsdp": "full_shard"}, "engine plugin"),
        ({"tpu_num_cores": 8}, "TPU"),
        ({"logging_steps": 2.5}, "whole number"),
        ({"dataloader_prefetch_factor": 2}, "dataloader_num_workers"),
        ({"per_device_train_batch_size": 0}, "at least 1"),
        ({"save_safetensors": False}, "safetensors"),
        ({"lr_scheduler_kwargs": "{broken"}, "neither a JSON object"),
        ({"optim": "nothing"}, "nothing"),
    ],
)
def test_arguments_that_cannot_be_honoured_are_errors(more, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        arguments(tmp_path, **more)


def test_an_optimizer_that_is_not_there_names_the_way(tmp_path):
    with pytest.raises(ValueError, match=r"lomo.*xf\.v1\.optimizer.*adamw_torch"):
        quietly(trainer(tmp_path, optim="lomo", max_steps=1).train)
    with pytest.raises(ValueError, match="SGD has no 'nonsense'"):
        quietly(trainer(tmp_path, optim="sgd", optim_args="nonsense=1", max_steps=1).train)


def test_a_model_class_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="from_pretrained"):
        Trainer(BertForSequenceClassification, arguments(tmp_path))
    with pytest.raises(ValueError, match="none of them"):
        Trainer(args=arguments(tmp_path))


# --- what users write


def test_any_module_and_a_loss_of_ones_own(tmp_path):
    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(1, 1)

        def forward(self, x, labels=None):
            return {"logits": self.line(x)}

    def squared(outputs, labels, num_items_in_batch=None):
        total = ((outputs["logits"][:, 0] - labels) ** 2).sum()
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    rows = [{"x": [float(i)], "labels": 2.0 * i + 1} for i in range(8)]
    options = {"learning_rate": 0.05, "max_steps": 400, "optim": "adamw_torch", "max_grad_norm": 0}
    run = trainer(tmp_path, rows, the_model=Line(), compute_loss_func=squared, gradient_accumulation_steps=2, **options)
    quietly(run.train)
    assert run.state.log_history[-2]["loss"] < 0.05 < run.state.log_history[0]["loss"]
    run.save_model()
    assert (tmp_path / "model.safetensors").exists()


def test_several_evaluation_sets_and_stopping_early(tmp_path):
    run = trainer(
        tmp_path, callbacks=[EarlyStoppingCallback(early_stopping_patience=1)], max_steps=6, learning_rate=0.0,
        eval_dataset={"one": ROWS[:5], "two": ROWS[5:]}, eval_strategy="steps", eval_steps=1, save_strategy="steps",
        save_steps=1, load_best_model_at_end=True, metric_for_best_model="one_loss",
    )  # fmt: skip
    quietly(run.train)
    assert run.state.global_step == 2
    assert {"eval_one_loss", "eval_two_loss"} <= set(quietly(run.evaluate))


def test_predictions_are_the_models(tmp_path):
    run = trainer(tmp_path, eval_dataset=ROWS)
    found = quietly(run.predict, ROWS[:10])
    with torch.no_grad():
        expected = run.model.eval()(torch.tensor([row["input_ids"] for row in ROWS[:10]])).logits
    np.testing.assert_allclose(found.predictions, expected.numpy(), atol=1e-6)
    assert found.label_ids.tolist() == [row["labels"] for row in ROWS[:10]]
    unlabelled = quietly(run.predict, [{"input_ids": row["input_ids"]} for row in ROWS[:3]])
    assert unlabelled.label_ids is None and "test_loss" not in unlabelled.metrics


def test_reports_and_the_saved_model(tmp_path, capsys):
    run = trainer(tmp_path, max_steps=2)
    result = quietly(run.train)
    run.log_metrics("train", result.metrics)
    assert "train_loss" in capsys.readouterr().out
    run.save_metrics("train", {"a": 1})
    run.save_metrics("eval", {"b": 2})
    assert json.loads((tmp_path / "all_results.json").read_text()) == {"a": 1, "b": 2}
    run.create_model_card(language="en", dataset="rows")
    assert "generated_from_trainer" in (tmp_path / "README.md").read_text()
    run.save_model()
    assert torch.equal(
        torch.cat([p.flatten() for p in BertForSequenceClassification.from_pretrained(tmp_path).parameters()]),
        weights(run),
    )


def test_generation_while_evaluating(tmp_path):
    set_seed(0)
    sizes = {"vocab_size": 30, "d_model": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2, "d_ff": 32}
    writer = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).eval()
    rows = [{"input_ids": [3 + i, 5, 1], "attention_mask": [1, 1, 1], "labels": [7, 8, 1]} for i in range(5)]
    options = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "per_device_eval_batch_size": 2}
    args = Seq2SeqTrainingArguments(str(tmp_path), predict_with_generate=True, generation_max_length=6, **options)
    run = Seq2SeqTrainer(writer, args, eval_dataset=rows, compute_metrics=lambda p: {"width": p.predictions.shape[1]})
    metrics = quietly(run.evaluate)
    assert metrics["eval_width"] == 6 and metrics["eval_loss"] > 0
    found = quietly(run.predict, rows, max_length=4, num_beams=2).predictions
    expected = writer.generate(torch.tensor([row["input_ids"] for row in rows]), max_length=4, num_beams=2)
    assert found[:, : expected.shape[1]].tolist() == expected.tolist()


# --- several processes

SCRIPT = """
import sys, torch
from xf import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed
torch.set_num_threads(1)
set_seed(1)
sizes = dict(vocab_size=30, hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=1)
model = BertForSequenceClassification(BertConfig(max_position_embeddings=8, hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0, **sizes))
rows = [{"input_ids": [2, 3 + i % 20, 5, 7], "labels": i % 2} for i in range(24)]
args = TrainingArguments(sys.argv[1], report_to="none", use_cpu=True, disable_tqdm=True, max_steps=4, optim="sgd",
    learning_rate=0.1, per_device_train_batch_size=int(sys.argv[2]), save_steps=2, logging_steps=1)
trainer = Trainer(model, args, train_dataset=rows, eval_dataset=rows[:9])
if len(sys.argv) > 3 and trainer.args.process_index == 1:
    import os, signal
    from xf import TrainerCallback
    class Die(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
    trainer.add_callback(Die)
trainer.train()
metrics, found = trainer.evaluate(), trainer.predict(rows[:9])
if trainer.is_world_process_zero():
    total = float(sum(p.detach().double().abs().sum() for p in model.parameters()))
    print("RESULT", total, metrics["eval_loss"], found.predictions.shape, float(found.predictions.sum()))
"""


def launch(script, *arguments, processes=1):
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.run([*command, script, *map(str, arguments)], capture_output=True, text=True, timeout=240)


def test_two_processes_give_what_one_gives(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    alone = launch(script, tmp_path / "alone", 4)
    both = launch(script, tmp_path / "both", 2, processes=2)
    results = []
    for done in (alone, both):
        assert done.returncode == 0, done.stderr[-2000:]
        line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
        results.append(line.replace("(", "").replace(")", "").replace(",", "").split()[1:])
    assert [float(x) for x in results[1]] == pytest.approx([float(x) for x in results[0]], rel=1e-5)
    assert sorted(p.name for p in (tmp_path / "both").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    killed = launch(script, tmp_path / "killed", 2, "die", processes=2)
    assert killed.returncode != 0
    assert get_last_checkpoint(tmp_path / "killed") == str(Path(tmp_path / "killed" / "checkpoint-2"))
