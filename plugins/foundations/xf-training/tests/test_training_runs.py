"""Training runs equal the reference: losses, rates, norms, evaluations, checkpoints, and what resuming gives."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import xf
from xf import Trainer, TrainerCallback, TrainingArguments

HERE = Path(__file__).parent / "goldens"
GOLDEN = json.loads((HERE / "training_runs.json").read_text(encoding="utf-8"))
WEIGHTS = load_file(HERE / "training_models.safetensors")


def fresh_model(kind):
    made = GOLDEN["models"][kind]
    cls = getattr(xf, made["class"])
    model = cls(cls.config_class.from_dict(made["config"]))
    weights = {name.removeprefix(f"{kind}."): t for name, t in WEIGHTS.items() if name.startswith(f"{kind}.")}
    missing = model.load_state_dict(weights, strict=False).missing_keys
    model.tie_weights()
    assert set(missing) <= set(model.active_ties())
    return model


def accuracy(prediction):
    return {"accuracy": (prediction.predictions.argmax(-1) == prediction.label_ids).mean()}


def steady(metrics):
    return {k: v for k, v in metrics.items() if not k.endswith(("_runtime", "_per_second", "_preparation_time"))}


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_training_stop or state.global_step == self.step


def trainer(case, folder):
    args = TrainingArguments(folder, report_to="none", use_cpu=True, disable_tqdm=True, **case["arguments"])
    data = case["data"]
    metrics = accuracy if data["eval"] else None
    model = fresh_model(case["model"])
    return Trainer(model, args, train_dataset=data["train"], eval_dataset=data["eval"], compute_metrics=metrics)


@pytest.mark.parametrize("name", GOLDEN["runs"])
def test_a_run_equals_the_reference(name, tmp_path):
    case = GOLDEN["runs"][name]
    answer, folder = case["answer"], str(tmp_path / "run")
    run = trainer(case, folder)
    with contextlib.redirect_stdout(io.StringIO()):
        if case["resume"]:
            run.add_callback(StopAt(case["resume"]))
            run.train()
            run = trainer(case, folder)
            result = run.train(resume_from_checkpoint=True)
        else:
            result = run.train()
        assert [steady(entry) for entry in run.state.log_history] == [
            pytest.approx(entry, rel=1e-5, abs=1e-5) for entry in answer["log"]
        ]
        assert result.training_loss == pytest.approx(answer["loss"], rel=1e-5)
        weights = float(sum(p.detach().double().abs().sum() for p in run.model.parameters()))
        assert weights == pytest.approx(answer["weights"], rel=1e-5)
        assert sorted(p.name for p in Path(folder).glob("*")) == answer["checkpoints"]
        if "evaluation" in answer:
            assert steady(run.evaluate()) == pytest.approx(answer["evaluation"], rel=1e-5)
            draw = case["data"]["eval"][:3]
            assert run.predict(draw).predictions.shape == (3, 3)
    state = json.loads((Path(folder) / answer["checkpoints"][-1] / "trainer_state.json").read_text())
    assert state["global_step"] == int(answer["checkpoints"][-1].partition("-")[2])


@pytest.mark.parametrize("kind", ["token", "causal", "seq2seq", "sequence"])
def test_accumulated_batches_equal_one_batch_as_large(kind, tmp_path):
    """Also where parts of the batch have different numbers of labels that count."""
    rows = GOLDEN["runs"]["token" if kind == "token" else kind if kind != "sequence" else "plain"]["data"]["train"]
    logs, weights = [], []
    for size, parts in ((16, 1), (4, 4), (2, 8)):
        args = TrainingArguments(
            str(tmp_path / str(size)), report_to="none", use_cpu=True, disable_tqdm=True, max_steps=3, logging_steps=1,
            per_device_train_batch_size=size, gradient_accumulation_steps=parts, save_strategy="no", learning_rate=0.1,
            optim="sgd", max_grad_norm=0,
        )  # fmt: skip
        run = Trainer(fresh_model(kind), args, train_dataset=rows[:32])
        with contextlib.redirect_stdout(io.StringIO()):
            run.train()
        logs.append([entry["loss"] for entry in run.state.log_history[:-1]])
        weights.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    for log, weight in zip(logs[1:], weights[1:], strict=True):
        assert log == pytest.approx(logs[0], abs=1.01e-4)  # logs are rounded to 4 digits
        torch.testing.assert_close(weight, weights[0], atol=1e-6, rtol=1e-5)
