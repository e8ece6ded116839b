"""Records training runs of the reference: python record_training_runs.py, in an environment with transformers 4.55.4.

goldens/training_runs.json holds, per run, the model, the rows, the arguments, and what was logged, saved and predicted;
goldens/training_models.safetensors the weights that the runs begin with.
"""

import contextlib
import io
import json
import os
import random
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent / "goldens"
SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
BERT = dict(SIZES, max_position_embeddings=16, num_labels=3)
STILL = dict(BERT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
T5 = {"vocab_size": 30, "d_model": 16, "d_kv": 8, "num_layers": 2, "num_heads": 2, "d_ff": 32, "dropout_rate": 0.0}
MODELS = {
    "sequence": ("BertForSequenceClassification", "BertConfig", STILL),
    "dropout": ("BertForSequenceClassification", "BertConfig", BERT),
    "token": ("BertForTokenClassification", "BertConfig", STILL),
    "causal": ("LlamaForCausalLM", "LlamaConfig", dict(SIZES, max_position_embeddings=16)),
    "seq2seq": ("T5ForConditionalGeneration", "T5Config", dict(T5, decoder_start_token_id=0)),
}
RUNS = {
    "plain": {"max_steps": 30},
    "part_of_an_epoch": {"num_train_epochs": 2.5},
    "accumulated": {"gradient_accumulation_steps": 4, "num_train_epochs": 3, "rows": 44},
    "accumulated_causal": {"model": "causal", "gradient_accumulation_steps": 4, "num_train_epochs": 2, "rows": 44},
    "causal": {"model": "causal", "max_steps": 12},
    "token": {"model": "token", "max_steps": 12},
    "seq2seq": {"model": "seq2seq", "max_steps": 12},
    "smoothed": {"label_smoothing_factor": 0.1, "max_steps": 12},
    "smoothed_causal": {"model": "causal", "label_smoothing_factor": 0.1, "max_steps": 12},
    "clipped": {"max_grad_norm": 0.05, "max_steps": 12},
    "not_clipped": {"max_grad_norm": 0.0, "max_steps": 8},
    "cosine_decayed": {"lr_scheduler_type": "cosine", "warmup_ratio": 0.2, "weight_decay": 0.1, "max_steps": 15},
    "sgd": {"optim": "sgd", "max_steps": 12, "learning_rate": 0.1},
    "rmsprop": {"optim": "rmsprop", "max_steps": 8},
    "evaluated": {"evaluate": True, "eval_strategy": "steps", "eval_steps": 5, "max_steps": 15},
    "best_by_epoch": {
        "evaluate": True,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "num_train_epochs": 3,
        "load_best_model_at_end": True,
        "logging_strategy": "epoch",
    },
    "best_of_few": {
        "evaluate": True,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_steps": 4,
        "save_total_limit": 2,
        "max_steps": 16,
        "load_best_model_at_end": True,
        "metric_for_best_model": "accuracy",
    },
    "plateau": {
        "evaluate": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"patience": 0, "threshold": 0.5},
        "max_steps": 12,
    },
    "grouped_by_length": {"group_by_length": True, "max_steps": 12},
    "data_seed": {"data_seed": 7, "max_steps": 8},
    "dropout": {"model": "dropout", "max_steps": 12},
    "resumed": {"model": "dropout", "resume": 7, "max_steps": 14, "save_steps": 7},
    "resumed_between_epochs": {"resume": 10, "num_train_epochs": 2, "save_steps": 10},
    "tokens_counted": {"model": "causal", "include_num_input_tokens_seen": True, "max_steps": 4},
    "parts_of_the_run": {
        "evaluate": True,
        "logging_steps": 0.1,
        "eval_steps": 0.25,
        "eval_strategy": "steps",
        "max_steps": 20,
    },
    "evaluated_first": {
        "evaluate": True,
        "eval_strategy": "steps",
        "eval_steps": 5,
        "eval_on_start": True,
        "max_steps": 5,
    },
    "recomputed": {"gradient_checkpointing": True, "max_steps": 6},
    "noisy_embeddings": {"neftune_noise_alpha": 5, "max_steps": 6},
    "bfloat16": {"bf16": True, "max_steps": 6},
}


def rows(kind, count, seed):
    """Rows whose label follows from their ids, so that there is something to learn."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        ids = [draw.randrange(2, 30) for _ in range(8)]
        labels = {
            "token": [i % 3 if draw.random() < 0.6 else -100 for i in ids],
            "causal": [i if draw.random() < 0.8 else -100 for i in ids],
            "seq2seq": [i if draw.random() < 0.8 else -100 for i in ids[:5]],
        }.get(kind, sum(ids) % 3)
        found.append({"input_ids": ids, "attention_mask": [1] * 8, "labels": labels})
    return found


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def steady(metrics):
    """Without what depends on the machine."""
    return {k: v for k, v in metrics.items() if not k.endswith(("_runtime", "_per_second", "_preparation_time"))}


class StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_training_stop or state.global_step == self.step


def train(name, models, folder):
    options = dict(RUNS[name])
    kind, resume, evaluate = (options.pop(k, d) for k, d in (("model", "sequence"), ("resume", 0), ("evaluate", False)))
    data = {"train": rows(kind, options.pop("rows", 40), 1), "eval": rows(kind, 19, 2) if evaluate else None}
    arguments = {"logging_steps": 1, "learning_rate": 1e-3, "per_device_train_batch_size": 4} | options

    def trainer():
        args = transformers.TrainingArguments(folder, report_to="none", use_cpu=True, disable_tqdm=True, **arguments)
        metrics = accuracy if evaluate else None
        sets = {"train_dataset": data["train"], "eval_dataset": data["eval"]}
        return transformers.Trainer(models[kind](), args, compute_metrics=metrics, **sets)

    first = trainer()
    if resume:
        first.add_callback(StopAt(resume))
    result = first.train()
    if resume:
        first = trainer()
        result = first.train(resume_from_checkpoint=f"{folder}/checkpoint-{resume}")
    answer = {
        "log": [steady(entry) for entry in first.state.log_history],
        "loss": result.training_loss,
        "weights": float(sum(p.detach().double().abs().sum() for p in first.model.parameters())),
        "checkpoints": sorted(p for p in os.listdir(folder) if p.startswith("checkpoint")),
    }
    if evaluate:
        answer["evaluation"] = steady(first.evaluate())
        answer["prediction"] = first.predict(rows(kind, 3, 3)).predictions.tolist()
    return {"model": kind, "arguments": arguments, "resume": resume, "data": data, "answer": answer}


def main():
    torch.set_num_threads(1)
    weights, models, configs = {}, {}, {}
    for name, (cls, config, options) in MODELS.items():
        torch.manual_seed(0)
        made = getattr(transformers, cls)(getattr(transformers, config)(**options))
        state = {k: v.clone() for k, v in made.state_dict().items()}
        weights |= {f"{name}.{key}": value.contiguous() for key, value in state.items()}
        configs[name] = {"class": cls, "config": made.config.to_dict()}

        def fresh(made=made, state=state):
            model = type(made)(made.config)
            model.load_state_dict(state)
            return model

        models[name] = fresh
    found = {}
    for name in RUNS:
        print(name)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            found[name] = train(name, models, folder)
        os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
    save_file(weights, HERE / "training_models.safetensors")
    (HERE / "training_runs.json").write_text(json.dumps({"models": configs, "runs": found}), encoding="utf-8")


if __name__ == "__main__":
    main()
