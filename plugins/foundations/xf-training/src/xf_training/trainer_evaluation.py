"""The trainer's evaluation and prediction."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from xf import logging

from .distributed import gathered, rank, world_size
from .evaluation import EvalLoopOutput, EvalPrediction, PredictionOutput
from .nested import Collected, find_batch_size, nested_detach, nested_map, nested_truncate
from .trainer_reports import speed_metrics

logger = logging.get_logger(__name__)


def plain(value: Any) -> Any:
    """A number of torch or NumPy as one of Python; other values as they are."""
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else value.tolist()
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def filled(value: Any, size: int) -> Any:
    """With the last row repeated until there are `size`: all processes give the same number of rows."""
    if not isinstance(value, Tensor) or value.dim() == 0 or len(value) >= size:
        return value
    return torch.cat([value, value[-1:].expand(size - len(value), *value.shape[1:])])


class TrainerEvaluation:
    """The part of `Trainer` that runs a model over data without training it."""

    args: Any
    model: Any
    state: Any
    control: Any
    callback_handler: Any
    compute_metrics: Any
    compute_loss_func: Any
    preprocess_logits_for_metrics: Any
    label_names: list[str]
    eval_dataset: Any
    get_eval_dataloader: Any
    get_test_dataloader: Any
    num_examples: Any
    log: Any
    compute_loss: Any
    _prepare_inputs: Any
    autocast_smart_context_manager: Any
    _in_training: bool

    def evaluate(
        self, eval_dataset: Any | None = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The metrics of a data set: the loss, speed, and those of `compute_metrics`, with a prefix before each name.

        eval_dataset: a data set, the name of one of the trainer's several, a dict of them (each name goes into the
        prefix), or None for the trainer's own. ignore_keys: outputs of the model that are no predictions.
        """
        several = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(several, dict):
            metrics: dict[str, float] = {}
            for name, dataset in several.items():
                part = dataset if eval_dataset is not None else name
                metrics |= self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}")
            return metrics
        loader = self.get_eval_dataloader(eval_dataset)
        start = time.time()
        loss_only = True if self.compute_metrics is None else None
        output = self.evaluation_loop(loader, "Evaluation", loss_only, ignore_keys, metric_key_prefix)
        self._add_speed(output, start, metric_key_prefix)
        self.log(output.metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, output.metrics)
        return output.metrics or {}

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """The predictions of a data set as arrays, its labels, and its metrics where it has labels.

        Rows of predictions that differ in length are filled up with -100.
        """
        loader = self.get_test_dataloader(test_dataset)
        start = time.time()
        output = self.evaluation_loop(loader, "Prediction", None, ignore_keys, metric_key_prefix)
        self._add_speed(output, start, metric_key_prefix)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, output.metrics)
        return PredictionOutput(output.predictions, output.label_ids, output.metrics)

    def _add_speed(self, output: EvalLoopOutput, start: float, prefix: str) -> None:
        rows, batch = output.num_samples or 0, self.args.eval_batch_size * self.args.world_size
        assert output.metrics is not None
        output.metrics.update(speed_metrics(prefix, start, num_samples=rows, num_steps=-(-rows // batch)))

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """One pass over a loader. description: for the log. prediction_loss_only: keep the loss alone."""
        args = self.args
        loss_only = args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
        began = time.time()
        self._place_for_evaluation()
        preparation = round(time.time() - began, 4)
        logger.info(f"***** {description} *****: {self._length(dataloader)} batches of {args.eval_batch_size} rows")
        self.model.eval()
        self.callback_handler.eval_dataloader = dataloader
        kinds = ("loss", "logits", "labels", "inputs")
        kept = {kind: Collected(kind == "loss" or args.eval_do_concat_batches) for kind in kinds}
        rows, metrics = 0, None
        last = self._length(dataloader)
        for step, inputs in enumerate(dataloader, start=1):
            size = find_batch_size(inputs) or args.eval_batch_size
            own = self._without_repeats(dataloader, inputs, step, size)
            loss, logits, labels = self.prediction_step(self.model, own, loss_only, ignore_keys=ignore_keys)
            rows += size * world_size()
            results = self._gather(loss, logits, labels, inputs, size)
            for kind, value in results.items():
                kept[kind].add(value)
            self.control = self.callback_handler.on_prediction_step(args, self.state, self.control)
            if args.batch_eval_metrics and self.compute_metrics is not None and logits is not None:
                prediction = self._eval_prediction({k: c.get() for k, c in kept.items()})
                metrics = self.compute_metrics(prediction, compute_result=step == last)
                kept |= {kind: Collected() for kind in ("logits", "labels", "inputs")}
            elif args.eval_accumulation_steps is not None and step % args.eval_accumulation_steps == 0:
                for values in kept.values():
                    values.to_arrays()
        if rows == 0:
            raise ValueError(f"{description}: the data set gave no batch (drop_last is {args.dataloader_drop_last}).")
        return self._summary(dataloader, kept, rows, metrics, metric_key_prefix, preparation)

    prediction_loop = evaluation_loop

    def _length(self, dataloader: DataLoader[Any]) -> int | None:
        try:
            return len(dataloader)
        except TypeError:
            return None

    def _without_repeats(self, dataloader: Any, inputs: Any, step: int, size: int) -> Any:
        """A batch without the rows that only fill up the last one of several processes: they would count."""
        if world_size() == 1 or not hasattr(dataloader.dataset, "__len__"):
            return inputs
        own = len(dataloader.dataset) - ((step - 1) * world_size() + rank()) * size
        return nested_truncate(inputs, own) if 0 < own < size else inputs

    def _place_for_evaluation(self) -> None:
        """Outside training the model may still lie where it was made, in another dtype than the arguments ask for."""
        if self._in_training:
            return
        dtype = None
        if self.args.bf16_full_eval or self.args.fp16_full_eval:
            dtype = torch.bfloat16 if self.args.bf16_full_eval else torch.float16
        if self.args.place_model_on_device:
            self.model = self.model.to(device=self.args.device, dtype=dtype)

    def _gather(self, loss: Any, logits: Any, labels: Any, inputs: Any, size: int) -> dict[str, Any]:
        """Of all processes, row by row; a batch's loss stands for each of its rows."""
        if logits is not None and self.preprocess_logits_for_metrics is not None:
            logits = self.preprocess_logits_for_metrics(logits, labels)
        wanted = "inputs" in self.args.include_for_metrics
        found = {
            "loss": None if loss is None else loss.detach().repeat(size),
            "logits": logits,
            "labels": labels,
            "inputs": self._prepare_inputs(inputs[self._input_name()]) if wanted else None,
        }
        return {kind: nested_map(lambda part: gathered(filled(part, size)), value) for kind, value in found.items()}

    def _input_name(self) -> str:
        return str(getattr(self.model, "main_input_name", "input_ids"))

    def _eval_prediction(self, found: dict[str, Any]) -> EvalPrediction:
        wanted = self.args.include_for_metrics
        inputs = found["inputs"] if "inputs" in wanted else None
        return EvalPrediction(found["logits"], found["labels"], inputs, found["loss"] if "loss" in wanted else None)

    def _summary(
        self, dataloader: Any, kept: dict[str, Collected], rows: int, metrics: Any, prefix: str, preparation: float
    ) -> EvalLoopOutput:
        """All rows as arrays, without those that fill up the last batch of several processes, and their metrics."""
        found = {kind: values.get() for kind, values in kept.items()}
        if hasattr(getattr(dataloader, "dataset", None), "__len__") and not self.args.dataloader_drop_last:
            rows = min(rows, len(dataloader.dataset))
        limit = lambda value: value if not self.args.eval_do_concat_batches else nested_truncate(value, rows)  # noqa: E731
        found = {kind: value if value is None else limit(value) for kind, value in found.items()}
        complete = all(part is not None for part in (self.compute_metrics, found["logits"], found["labels"]))
        if complete and not self.args.batch_eval_metrics:
            metrics = self.compute_metrics(self._eval_prediction(found))
        metrics = {name: plain(value) for name, value in (metrics or {}).items()}
        if found["loss"] is not None:
            metrics[f"{prefix}_loss"] = float(np.mean(found["loss"][:rows]))
        if not self._in_training:
            metrics[f"{prefix}_model_preparation_time"] = preparation
        named = {name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": v for name, v in metrics.items()}
        return EvalLoopOutput(found["logits"], found["labels"], named, rows)

    def prediction_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Any, Any]:
        """(loss, logits, labels) of one batch; what the batch or the model does not give is None."""
        has_labels = bool(self.label_names) and all(inputs.get(name) is not None for name in self.label_names)
        inputs = self._prepare_inputs(inputs)
        if ignore_keys is None:
            config = getattr(model, "config", None)
            ignore_keys = list(getattr(config, "keys_to_ignore_at_inference", ["past_key_values"]))
        labels = None
        if has_labels:
            values = nested_detach(tuple(inputs[name] for name in self.label_names))
            labels = values[0] if len(values) == 1 else values
        loss: Tensor | None = None
        with torch.no_grad(), self.autocast_smart_context_manager():
            if has_labels or (not self.label_names and inputs.get("return_loss", False)):
                loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
                loss = loss.detach().mean()
            else:
                outputs = model(**inputs)
        if prediction_loss_only:
            return loss, None, None
        logits = nested_detach(self._predictions(outputs, [*ignore_keys, "loss"], loss is not None))
        return loss, logits[0] if len(logits) == 1 else logits, labels

    def _predictions(self, outputs: Any, ignored: Sequence[str], with_loss: bool) -> tuple[Any, ...]:
        if isinstance(outputs, Mapping):
            return tuple(value for name, value in outputs.items() if name not in ignored)
        return tuple(outputs[1:] if with_loss else outputs)
