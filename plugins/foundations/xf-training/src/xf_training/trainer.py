"""Trainer: training, evaluation and prediction of torch models (spec: trainer.md).

The parts lie beside: data (`trainer_data`), optimizer (`trainer_optimizers`), the loop (`trainer_loop`), evaluation
(`trainer_evaluation`), checkpoints (`trainer_checkpoints`) and reports (`trainer_reports`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from xf import logging

from .callback import (
    CallbackHandler,
    DefaultFlowCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerControl,
    TrainerState,
)
from .distributed import rank, start, summed, world_size
from .enums import DebugOption
from .evaluation import EvalPrediction, TrainOutput
from .integrations import find_callbacks
from .losses import LabelSmoother, takes_item_count
from .seeds import enable_full_determinism, set_seed
from .trainer_checkpoints import TrainerCheckpoints
from .trainer_data import TrainerData, label_names
from .trainer_evaluation import TrainerEvaluation
from .trainer_loop import TrainerLoop, until_terminated
from .trainer_optimizers import ClassAndKwargs, TrainerOptimizers
from .trainer_reports import TrainerReports
from .trainer_search import TrainerSearch
from .training_args import TrainingArguments

logger = logging.get_logger(__name__)


class Trainer(
    TrainerLoop,
    TrainerEvaluation,
    TrainerData,
    TrainerOptimizers,
    TrainerCheckpoints,
    TrainerReports,
    TrainerSearch,
):
    """Trains, evaluates and predicts.

    Args:
        model: a `PreTrainedModel`, or any module whose forward returns the loss first, or as "loss".
        args: the settings; the defaults in a folder "tmp_trainer" where it is None.
        data_collator: makes batches of rows; pads where `processing_class` is a tokenizer, else stacks.
        train_dataset, eval_dataset: anything with a length and rows, an iterable data set, or (eval) a dict of them.
        processing_class: the tokenizer or processor; saved with the model.
        model_init: makes the model anew for each `train()`, as a search of hyper-parameters needs.
        compute_loss_func: (outputs, labels, num_items_in_batch) -> loss, in place of the model's own.
        compute_metrics: of an `EvalPrediction`, a dict of numbers.
        callbacks: more of them, as objects or classes.
        optimizers: an optimizer and a schedule that are there already. optimizer_cls_and_kwargs: a class and arguments.
        preprocess_logits_for_metrics: (logits, labels) -> what evaluation keeps of them.
    Raises: ValueError for arguments that contradict each other.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        data_collator: Callable[[list[Any]], Any] | None = None,
        train_dataset: Any | None = None,
        eval_dataset: Any | None = None,
        processing_class: Any | None = None,
        model_init: Callable[..., nn.Module] | None = None,
        compute_loss_func: Callable[..., Tensor] | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: ClassAndKwargs | None = None,
        preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.args = TrainingArguments(output_dir="tmp_trainer") if args is None else args
        _check(model, model_init, optimizers, optimizer_cls_and_kwargs, self.args, compute_metrics)
        start(self.args.ddp_backend, self.args.ddp_timeout_delta, self.args.device)
        (enable_full_determinism if self.args.full_determinism else set_seed)(self.args.seed)
        self._initial_seed = torch.random.initial_seed()
        self.model_init, self.hp_name, self._trial = model_init, None, None
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class
        self.data_collator = data_collator or _default_collator(processing_class)
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer, self.lr_scheduler = optimizers
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        self.scaler = torch.amp.GradScaler(self.args.device.type) if self.args.fp16 else None
        self.label_smoother = None
        if self.args.label_smoothing_factor > 0:
            self.label_smoother = LabelSmoother(epsilon=self.args.label_smoothing_factor)
        self.current_flos = 0.0
        self._signature_columns: list[str] | None = None
        self._eval_dataloaders: dict[str, Any] = {}
        self._in_training = self._terminated = self._created_lr_scheduler = False
        self._train_size: int | None = None
        self._adopt(self.call_model_init() if model is None else model)
        self.state = TrainerState(
            is_local_process_zero=self.is_local_process_zero(), is_world_process_zero=self.is_world_process_zero()
        )
        self.control = TrainerControl()
        self.callback_handler = CallbackHandler(
            [*self._default_callbacks(), *(callbacks or [])],
            self.model,
            processing_class,
            self.optimizer,
            self.lr_scheduler,
        )
        self.control = self.callback_handler.on_init_end(self.args, self.state, self.control)

    def _adopt(self, model: nn.Module) -> None:
        """Take a model: on the device, with what its forward tells about labels and losses."""
        self.model = self.model_wrapped = model
        if self.args.place_model_on_device and getattr(model, "hf_device_map", None) is None:
            self.model = self.model_wrapped = model.to(self.args.device)
        self.label_names = label_names(model) if self.args.label_names is None else self.args.label_names
        self.model_accepts_loss_kwargs = takes_item_count(model)

    def _default_callbacks(self) -> list[Any]:
        bars = PrinterCallback if self.args.disable_tqdm else ProgressCallback
        return [DefaultFlowCallback, *find_callbacks(self.args.report_to), bars]

    def _start_state(self, stateful: list[Any]) -> None:
        self.state = TrainerState(stateful_callbacks=stateful)
        self.state.is_local_process_zero = self.is_local_process_zero()
        self.state.is_world_process_zero = self.is_world_process_zero()

    @property
    def tokenizer(self) -> Any:
        """The older name of `processing_class`."""
        return self.processing_class

    # --- callbacks

    def add_callback(self, callback: Any) -> None:
        """Add a callback, as an object or a class."""
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: Any) -> Any:
        """Remove a callback, as an object or a class, and return it; None where there is none such."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        """Remove a callback, as an object or a class."""
        self.callback_handler.remove_callback(callback)

    # --- training

    def call_model_init(self, trial: Any | None = None) -> nn.Module:
        """A new model of `model_init`, which may take the trial of a search."""
        import inspect

        assert self.model_init is not None
        takes = len(inspect.signature(self.model_init).parameters)
        if takes > 1:
            raise ValueError(f"model_init takes {takes} arguments; it may take none, or the trial.")
        model = self.model_init(trial) if takes else self.model_init()
        if model is None:
            raise ValueError("model_init returned None; it must return the model.")
        return model

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any | None = None,
        ignore_keys_for_eval: list[str] | None = None,
        **kwargs: Any,
    ) -> TrainOutput:
        """Train.

        resume_from_checkpoint: a checkpoint's folder, or True for the newest complete one of `args.output_dir`; the run
        then goes on as if it had not been interrupted. trial: of a search. ignore_keys_for_eval: outputs of the model
        that are no predictions.
        Raises: ValueError for a checkpoint that is not there or not complete, or for an empty training set.
        """
        if kwargs:
            raise ValueError(f"train() has no argument {', '.join(map(repr, kwargs))}.")
        wanted = self.args.resume_from_checkpoint if resume_from_checkpoint is None else resume_from_checkpoint
        checkpoint = self._resolve_checkpoint(wanted)
        self._hp_search_setup(trial)
        if self.model_init is not None:
            (enable_full_determinism if self.args.full_determinism else set_seed)(self.args.seed)
            self._adopt(self.call_model_init(trial))
            self.optimizer = self.lr_scheduler = None
        if checkpoint is not None:
            self._load_from_checkpoint(checkpoint)
        self._in_training, self._terminated = True, False
        try:
            with until_terminated(self), self._neftune(), self._debugged():
                return self._with_smaller_batches(
                    lambda: self._inner_training_loop(trial, checkpoint, ignore_keys_for_eval)
                )
        finally:
            self._in_training = False

    def _with_smaller_batches(self, train: Callable[[], TrainOutput]) -> TrainOutput:
        """With `auto_find_batch_size`, begin again with half the batch whenever the memory does not suffice."""
        self._train_size = None
        while True:
            try:
                return train()
            except RuntimeError as error:
                size = self._train_batch_size()
                memory = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
                if not (self.args.auto_find_batch_size and memory and size > 1):
                    raise
                self._train_size = size // 2
                logger.warning(f"Out of memory with batches of {size} rows: beginning again with {size // 2}.")
                self.optimizer = self.lr_scheduler = None

    def _train_batch_size(self) -> int:
        return self._train_size or self.args.train_batch_size

    def _neftune(self) -> AbstractContextManager[Any]:
        if self.args.neftune_noise_alpha is None:
            return nullcontext()
        from .neftune import noisy_embeddings

        return noisy_embeddings(self._unwrapped(), self.args.neftune_noise_alpha)

    def _debugged(self) -> AbstractContextManager[Any]:
        if DebugOption.UNDERFLOW_OVERFLOW not in self.args.debug:
            return nullcontext()
        from .debug_utils import DebugUnderflowOverflow

        return DebugUnderflowOverflow(self.model)

    def get_total_train_batch_size(self, args: Any) -> int:
        """Rows of one update: per device, times devices, times accumulated batches."""
        return int(self._train_batch_size() * args.gradient_accumulation_steps * args.world_size)

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        """The model as it is called in training: compiled, and with gradients averaged over processes."""
        if self.args.torch_compile:
            model.compile(backend=self.args.torch_compile_backend, mode=self.args.torch_compile_mode)
        if world_size() == 1:
            return model
        options: dict[str, Any] = {
            "find_unused_parameters": bool(self.args.ddp_find_unused_parameters),
            "device_ids": None if self.args.device.type == "cpu" else [self.args.device.index],
        }
        if self.args.ddp_bucket_cap_mb is not None:
            options["bucket_cap_mb"] = self.args.ddp_bucket_cap_mb
        if self.args.ddp_broadcast_buffers is not None:
            options["broadcast_buffers"] = self.args.ddp_broadcast_buffers
        return nn.parallel.DistributedDataParallel(model, **options)

    def _unwrapped(self) -> Any:
        return self.model

    def _prepare_inputs(self, inputs: Any) -> Any:
        """A batch on the device of the arguments. ValueError for an empty one."""
        if isinstance(inputs, Mapping) and not inputs:
            raise ValueError(
                f"The batch is empty: no column is an argument of {type(self.model).__name__}.forward. Check the names "
                f"of the data set's columns, or set remove_unused_columns=False."
            )
        return self._moved(inputs)

    def _moved(self, data: Any) -> Any:
        if isinstance(data, Tensor):
            return data.to(self.args.device, non_blocking=self.args.accelerator_config["non_blocking"])
        if isinstance(data, Mapping):
            return {name: self._moved(value) for name, value in data.items()}
        return type(data)(self._moved(value) for value in data) if isinstance(data, (list, tuple)) else data

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> AbstractContextManager[Any]:
        """Mixed precision where the arguments ask for it."""
        if not (self.args.bf16 or self.args.fp16):
            return nullcontext()
        dtype = torch.bfloat16 if self.args.bf16 else torch.float16
        return torch.autocast(self.args.device.type, dtype=dtype, cache_enabled=cache_enabled)

    compute_loss_context_manager = autocast_smart_context_manager

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any | None = None
    ) -> Any:
        """The loss of a batch, and with `return_outputs` what the model returned. Override it for a loss of your own.

        num_items_in_batch: labels that count in all parts of an accumulated batch; divide a sum by it, where given.
        """
        labels = None
        if self.label_smoother is not None or self.compute_loss_func is not None:
            labels = inputs.get("labels")
        if num_items_in_batch is not None and self.compute_loss_func is None and self.model_accepts_loss_kwargs:
            inputs = {**inputs, "num_items_in_batch": num_items_in_batch}
        if self.label_smoother is not None and labels is not None and "decoder_input_ids" in inputs:
            inputs = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**inputs)
        if self.compute_loss_func is not None:
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)
        elif self.label_smoother is not None and labels is not None:
            loss = self.label_smoother(outputs, labels, shift_labels=self._predicts_next())
        else:
            loss = self._loss_of(outputs, inputs)
        return (loss, outputs) if return_outputs else loss

    def _predicts_next(self) -> bool:
        """Whether the model is one whose positions predict the next label: registered as a causal language model."""
        from xf.plugins import registry

        model = self._unwrapped()
        kind = getattr(getattr(model, "config", None), "model_type", None)
        record = None if kind is None else registry("model.causal_lm").find(kind)
        return record is not None and record.attribute == type(model).__name__

    def _loss_of(self, outputs: Any, inputs: Any) -> Any:
        if isinstance(outputs, Mapping):
            if outputs.get("loss") is None:
                raise ValueError(
                    f"{type(self.model).__name__} returned no loss, only {', '.join(outputs)}; it was given "
                    f"{', '.join(inputs)}. Does the data set have labels, under a name that the model takes "
                    f"({', '.join(self.label_names) or 'none'})?"
                )
            return outputs["loss"]
        return outputs[0]

    # --- state

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Note numbers in the state's history, with epoch and update, and give them to the callbacks."""
        if self.state.epoch is not None:
            logs["epoch"] = self.state.epoch
        if self.args.include_num_input_tokens_seen:
            logs["num_input_tokens_seen"] = self.state.num_input_tokens_seen
            if start_time is not None and self.args.include_tokens_per_second:
                import time

                logs["train_tokens_per_second"] = logs["num_input_tokens_seen"] / max(1e-9, time.time() - start_time)
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def floating_point_ops(self, inputs: Any) -> float:
        """Operations of a forward and backward pass of these inputs; 0 for a model that does not count them."""
        count = getattr(self.model, "floating_point_ops", None)
        return float(count(inputs)) if count is not None else 0.0

    def store_flos(self) -> None:
        """Add the operations counted so far to the state."""
        flos = torch.tensor(self.current_flos, dtype=torch.float64, device="cpu")
        self.state.total_flos += float(summed(flos.to(self.args.device))) if world_size() > 1 else float(flos)
        self.current_flos = 0.0

    def is_local_process_zero(self) -> bool:
        """Whether this is the main process of its machine."""
        return self.args.local_process_index == 0

    def is_world_process_zero(self) -> bool:
        """Whether this is the main process of all."""
        return rank() == 0


def _default_collator(processing_class: Any) -> Callable[[list[Any]], Any]:
    from .collators import DataCollatorWithPadding, default_data_collator

    if processing_class is not None and hasattr(processing_class, "pad"):
        return DataCollatorWithPadding(processing_class)
    return default_data_collator


def _check(model: Any, model_init: Any, optimizers: Any, cls_and_kwargs: Any, args: Any, compute_metrics: Any) -> None:
    if (model is None) == (model_init is None):
        given = "none of them" if model is None else "both"
        raise ValueError(f"Trainer needs either a model or model_init; {given} was given.")
    if model_init is not None and optimizers != (None, None):
        raise ValueError("optimizers belong to one model and model_init makes another: pass optimizer_cls_and_kwargs.")
    if cls_and_kwargs is not None and optimizers[0] is not None:
        raise ValueError("Pass either optimizers or optimizer_cls_and_kwargs.")
    if args.batch_eval_metrics and compute_metrics is None:
        raise ValueError("batch_eval_metrics=True needs compute_metrics(prediction, compute_result).")
    if isinstance(model, type):
        raise ValueError(f"model is the class {model.__name__}; pass an object: {model.__name__}.from_pretrained(...).")
