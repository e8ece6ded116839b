"""What the trainer tells: metrics for people and in files, the model card, and the Hub."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from xf import logging
from xf.checkpoint.atomic import write_atomic, write_json_atomic

logger = logging.get_logger(__name__)


def speed_metrics(
    split: str,
    start_time: float,
    num_samples: int | None = None,
    num_steps: int | None = None,
    num_tokens: int | None = None,
) -> dict[str, float]:
    """Runtime in seconds, and rows, steps and tokens per second, each name beginning with `split`."""
    runtime = time.time() - start_time
    found = {f"{split}_runtime": round(runtime, 4)}
    if runtime == 0:
        return found
    for name, count, digits in (("samples", num_samples, 3), ("steps", num_steps, 3), ("tokens", num_tokens, 3)):
        if count is not None:
            found[f"{split}_{name}_per_second"] = round(count / runtime, digits)
    return found


class TrainerReports:
    """The part of `Trainer` that writes reports."""

    args: Any
    state: Any
    model: Any
    processing_class: Any
    save_model: Any
    is_world_process_zero: Any

    def metrics_format(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The metrics as people read them: times as hours, bytes as megabytes, operations as billions."""
        shown: dict[str, Any] = {}
        for name, value in metrics.items():
            if "_mem_" in name:
                shown[name] = f"{int(value) >> 20}MB"
            elif "_runtime" in name:
                text = str(timedelta(seconds=value))
                shown[name] = text[:-4] if "." in text else text
            elif name == "total_flos":
                shown[name] = f"{int(value) >> 30}GF"
            else:
                shown[name] = round(value, 4) if isinstance(value, float) else value
        return shown

    def log_metrics(self, split: str, metrics: dict[str, float]) -> None:
        """Print the metrics of "train", "eval", "test" or "all" as a table."""
        if not self.is_world_process_zero():
            return
        shown = self.metrics_format(metrics)
        names = max((len(name) for name in shown), default=0)
        values = max((len(str(value)) for value in shown.values()), default=0)
        print(f"***** {split} metrics *****")  # noqa: T201
        for name in sorted(shown):
            print(f"  {name: <{names}} = {shown[name]!s:>{values}}")  # noqa: T201

    def save_metrics(self, split: str, metrics: dict[str, float], combined: bool = True) -> None:
        """Write the metrics to SPLIT_results.json in the output folder; combined: also add them to all_results.json."""
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(folder / f"{split}_results.json", metrics)
        if combined:
            path = folder / "all_results.json"
            old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            write_json_atomic(path, old | metrics)

    def save_state(self) -> None:
        """Write the state to trainer_state.json in the output folder."""
        if self.is_world_process_zero():
            Path(self.args.output_dir).mkdir(parents=True, exist_ok=True)
            self.state.save_to_json(Path(self.args.output_dir) / "trainer_state.json")

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Write README.md to the output folder: what was trained on what, with which settings and results.

        A README.md that was not written by this method is left as it is.
        """
        if not self.is_world_process_zero():
            return
        path = Path(self.args.output_dir) / "README.md"
        if path.exists() and MARK not in path.read_text(encoding="utf-8"):
            logger.warning(f"{path} was not written by the trainer: it is left as it is.")
            return
        base = finetuned_from or getattr(getattr(self.model, "config", None), "_name_or_path", "") or None
        head = {
            "library_name": "xf",
            "language": language,
            "license": license,
            "base_model": base,
            "tags": [*_listed(tags), "generated_from_trainer"],
            "datasets": _listed(dataset_tags) or None,
            "pipeline_tag": (_listed(tasks) or [None])[0],
        }
        name = model_name or Path(self.args.output_dir).resolve().name
        data = ", ".join(_listed(dataset) or _listed(dataset_tags)) or "an unnamed data set"
        write_atomic(path, _card(head, name, base, data, self.args, self.state.log_history))

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the model, write its card and upload the output folder, without checkpoints, to `args.hub_model_id`.

        blocking: wait for the upload; else a future is returned. kwargs go to `create_model_card`.
        """
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**kwargs)
        return upload(self.args, commit_message, token, revision, blocking)


MARK = "<!-- written by xf's Trainer -->"


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _card(head: dict[str, Any], name: str, base: str | None, data: str, args: Any, history: list[Any]) -> str:
    front = "\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items() if value is not None)
    settings = {
        "learning_rate": args.learning_rate,
        "train_batch_size": args.train_batch_size,
        "eval_batch_size": args.eval_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "seed": args.seed,
        "optimizer": f"{args.optim.value} betas=({args.adam_beta1}, {args.adam_beta2}) epsilon={args.adam_epsilon}",
        "lr_scheduler_type": args.lr_scheduler_type.value,
        "max_steps" if args.max_steps > 0 else "num_epochs": args.max_steps
        if args.max_steps > 0
        else args.num_train_epochs,
    }
    lines = [f"- {key}: {value}" for key, value in settings.items()]
    evaluations = [entry for entry in history if "eval_loss" in entry]
    table = [f"| {e.get('epoch', 0):.2f} | {e['step']} | {e['eval_loss']:.4f} |" for e in evaluations]
    results = ["| Epoch | Step | Validation loss |", "|---|---|---|", *table] if table else ["No evaluation was run."]
    origin = f"A fine-tuned version of {base} on {data}." if base else f"Trained from scratch on {data}."
    body = [MARK, f"# {name}", origin, "## Settings", "\n".join(lines), "## Results", "\n".join(results)]
    return f"---\n{front}\n---\n\n" + "\n\n".join(body) + "\n"


def upload(args: Any, message: str | None, token: str | None, revision: str | None, blocking: bool) -> Any:
    """Upload the output folder. ValueError offline, or where no repository is named."""
    from huggingface_hub import create_repo, upload_folder

    from xf.hub import is_offline

    repo = args.hub_model_id or Path(args.output_dir).resolve().name
    if is_offline():
        raise ValueError(f"{repo} cannot be pushed to: XF_OFFLINE is set. Unset it, or set push_to_hub=False.")
    token = token or args.hub_token
    repo = create_repo(repo, token=token, private=args.hub_private_repo, exist_ok=True).repo_id
    return upload_folder(
        repo_id=repo,
        folder_path=args.output_dir,
        commit_message=message,
        token=token,
        revision=revision or args.hub_revision,
        run_as_future=not blocking,
        ignore_patterns=["_*", "checkpoint-*/**", "runs/**"],
    )
