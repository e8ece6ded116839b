"""The trainer's loop: epochs, updates, and what happens after each update."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from xf import logging

from .callback import ExportableState, TrainerState
from .distributed import summed, world_size
from .evaluation import TrainOutput
from .losses import items
from .trainer_checkpoints import STATE
from .trainer_reports import speed_metrics

logger = logging.get_logger(__name__)


class Run:
    """What one training run counts: its length, and the loss since the last log and since the start."""

    def __init__(self, args: Any, loader: DataLoader[Any], rows_per_update: int) -> None:
        try:
            self.batches: int | None = len(loader)
        except TypeError:
            self.batches = None
        accumulation = args.gradient_accumulation_steps
        if self.batches is not None:
            self.updates_per_epoch = max(-(-self.batches // accumulation), 1)
            self.max_steps = args.max_steps
            if self.max_steps <= 0:
                self.max_steps = math.ceil(args.num_train_epochs * self.updates_per_epoch)
            self.epochs = math.ceil(self.max_steps / self.updates_per_epoch)
        elif args.max_steps > 0:
            self.updates_per_epoch = self.max_steps = args.max_steps
            self.epochs = 2**62  # as often as it takes: the data does not say how long it is
        else:
            raise ValueError("train_dataset has no length: set max_steps to say how long to train.")
        self.rows = self.max_steps * rows_per_update
        self.started = time.time()
        self.loss: Tensor | float = 0.0  # since the last log
        self.total_loss = 0.0
        self.logged_at = 0
        self.grad_norm: Tensor | None = None  # of the last update, and its learning rate
        self.rate: float | None = None
        self.warned_of_nan = False


@contextmanager
def until_terminated(trainer: Any) -> Iterator[None]:
    """SIGTERM ends the training after the update that is running, with a checkpoint, instead of losing it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        logger.warning("SIGTERM: saving a checkpoint after this update, then stopping.")
        trainer._terminated = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class TrainerLoop:
    """The part of `Trainer` that trains."""

    args: Any
    state: Any
    control: Any
    model: Any
    model_wrapped: Any
    optimizer: Any
    lr_scheduler: Any
    scaler: Any
    callback_handler: Any
    label_names: list[str]
    model_accepts_loss_kwargs: bool
    compute_loss_func: Any
    compute_loss: Any
    current_flos: float
    get_train_dataloader: Any
    get_total_train_batch_size: Any
    evaluate: Any
    log: Any
    floating_point_ops: Any
    store_flos: Any
    _prepare_inputs: Any
    autocast_smart_context_manager: Any
    _save_checkpoint: Any
    _load_best_model: Any
    _get_learning_rate: Any
    _terminated: bool

    def _inner_training_loop(
        self, trial: Any = None, resume_from_checkpoint: str | None = None, ignore_keys_for_eval: Any = None
    ) -> TrainOutput:
        args = self.args
        loader = self.get_train_dataloader()
        run = Run(args, loader, self.get_total_train_batch_size(args))
        self._set_up(run, trial, resume_from_checkpoint)
        first_epoch, skipped = self._progress(run, resume_from_checkpoint)
        self.callback_handler.train_dataloader = loader
        if resume_from_checkpoint is None:
            self.state.epoch = 0
        self._announce(run)
        self.control = self.callback_handler.on_train_begin(args, self.state, self.control)
        if args.eval_on_start:
            self._evaluate(trial, ignore_keys_for_eval)
        self.model_wrapped.zero_grad()
        for epoch in range(first_epoch, run.epochs):
            self.control = self.callback_handler.on_epoch_begin(args, self.state, self.control)
            rng_from = resume_from_checkpoint if epoch == first_epoch else None
            done = self._train_epoch(run, loader, epoch, skipped, rng_from, trial, ignore_keys_for_eval)
            skipped = 0
            if done == 0:
                logger.warning(f"The data gave no batch in epoch {epoch}: training ends at {self.state.global_step}.")
                self.control.should_training_stop = True
            self.control = self.callback_handler.on_epoch_end(args, self.state, self.control)
            self._maybe_log_save_evaluate(run, trial, ignore_keys_for_eval)
            if self.control.should_training_stop:
                break
        return self._finish(run)

    def _set_up(self, run: Run, trial: Any, checkpoint: str | None) -> None:
        """Optimizer, schedule, state and wrapped model, all as in the checkpoint where there is one."""
        stateful = [cb for cb in [*self.callback_handler.callbacks, self.control] if isinstance(cb, ExportableState)]
        self._start_state(stateful)
        self.state.is_hyper_param_search = trial is not None
        self.state.train_batch_size = self._train_batch_size()
        self.state.compute_steps(self.args, run.max_steps)
        if self.args.gradient_checkpointing:
            self.model.gradient_checkpointing_enable(self.args.gradient_checkpointing_kwargs)
        self.model_wrapped = self._wrap_model(self.model)
        if self._created_lr_scheduler:
            self.lr_scheduler, self._created_lr_scheduler = None, False
        self.create_optimizer_and_scheduler(run.max_steps)
        if checkpoint is not None:
            self._load_progress(checkpoint)
            state = TrainerState.load_from_json(f"{checkpoint}/{STATE}")
            self.compare_trainer_and_checkpoint_args(self.args, state)
            for kept in ("is_local_process_zero", "is_world_process_zero", "train_batch_size"):
                setattr(state, kept, getattr(self.state, kept))
            state.compute_steps(self.args, run.max_steps)
            self.state = state
            self._load_callback_states()
        self.callback_handler.model = self.model
        self.callback_handler.optimizer, self.callback_handler.lr_scheduler = self.optimizer, self.lr_scheduler
        self.state.init_training_references(self, run.max_steps, min(run.epochs, 2**31), trial)

    _start_state: Any
    _train_batch_size: Any
    _wrap_model: Any
    _created_lr_scheduler: bool
    create_optimizer_and_scheduler: Any
    _load_progress: Any
    compare_trainer_and_checkpoint_args: Any
    _load_callback_states: Any
    _load_rng_state: Any

    def _progress(self, run: Run, checkpoint: str | None) -> tuple[int, int]:
        """The epoch to begin with, and its updates that a resumed run has done."""
        run.logged_at = self.state.global_step
        if checkpoint is None:
            return 0, 0
        epoch, done = divmod(self.state.global_step, run.updates_per_epoch)
        logger.info(f"Resuming from {checkpoint}: update {self.state.global_step}, in epoch {epoch}.")
        return epoch, 0 if self.args.ignore_data_skip else done

    def _announce(self, run: Run) -> None:
        logger.info(
            f"***** Training *****: {run.max_steps} updates of {self.get_total_train_batch_size(self.args)} rows, "
            f"{self.get_num_trainable_parameters():,} trained parameters"
        )

    get_num_trainable_parameters: Any

    def _train_epoch(
        self, run: Run, loader: Any, epoch: int, skipped: int, checkpoint: str | None, trial: Any, ignore_keys: Any
    ) -> int:
        """One pass over the data from update `skipped` on; returns how many updates were made."""
        accumulation = self.args.gradient_accumulation_steps
        sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
        sampler = getattr(getattr(getattr(loader, "batch_sampler", None), "batches", None), "sampler", sampler)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        if hasattr(loader.dataset, "set_epoch"):
            loader.dataset.set_epoch(epoch)
        if skipped == 0:
            self._load_rng_state(checkpoint)
        batches = iter(loader)
        for _ in range(skipped * accumulation):
            next(batches, None)
        if skipped:
            self._load_rng_state(checkpoint)
        seen = skipped * accumulation
        per_epoch = run.batches if run.batches is not None else self.args.max_steps * accumulation
        made = 0
        while batch := self._next_batches(batches, accumulation):
            self.control = self.callback_handler.on_step_begin(self.args, self.state, self.control)
            self._update(run, batch)
            seen += len(batch)
            made += 1
            self.state.global_step += 1
            self.state.epoch = epoch + seen / per_epoch
            self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
            if self._terminated:
                self.control.should_save = self.control.should_training_stop = True
            self._maybe_log_save_evaluate(run, trial, ignore_keys)
            if self.control.should_epoch_stop or self.control.should_training_stop:
                break
        return made + skipped

    @staticmethod
    def _next_batches(batches: Iterator[Any], count: int) -> list[Any]:
        """The next `count` batches, fewer at the end."""
        found = []
        for _ in range(count):
            try:
                found.append(next(batches))
            except StopIteration:
                break
        return found

    def _item_counts(self, batch: list[Any]) -> tuple[list[int] | None, int | None]:
        """Labels that count in each part of a batch, and in all parts of all processes; None where it has none."""
        counts = [items(part, self.label_names) for part in batch]
        if any(count is None for count in counts):
            return None, None
        total = sum(counts)  # type: ignore[arg-type]
        if self.args.average_tokens_across_devices and world_size() > 1:
            total = int(summed(torch.tensor(total, device=self.args.device)))
        return counts, total  # type: ignore[return-value]

    def _update(self, run: Run, batch: list[Any]) -> None:
        """One update of the weights with the gradients of all parts of a batch."""
        args = self.args
        counts, total = self._item_counts(batch)
        loss: Tensor | float = 0.0
        for number, part in enumerate(batch):
            last = number == len(batch) - 1
            share = 1 / len(batch) if not counts or not total else counts[number] * self._processes(total) / total
            quiet = nullcontext() if last or world_size() == 1 else self.model_wrapped.no_sync()
            with quiet:
                loss = loss + self.training_step(self.model_wrapped, part, total, share)
            self.current_flos += float(self.floating_point_ops(part))
            self._count_tokens(part)
            if not last:
                self.control = self.callback_handler.on_substep_end(args, self.state, self.control)
        self._add_loss(run, loss)
        run.grad_norm = self._clip()
        self.control = self.callback_handler.on_pre_optimizer_step(args, self.state, self.control)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.control = self.callback_handler.on_optimizer_step(args, self.state, self.control)
        run.rate = self._get_learning_rate()
        if not isinstance(self.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.lr_scheduler.step()
        self.model_wrapped.zero_grad()

    def _processes(self, total: int) -> int:
        """Gradients are averaged over processes: where the count is of all, each one's part weighs more."""
        return world_size() if self.args.average_tokens_across_devices else 1

    def training_step(
        self, model: Any, inputs: Any, num_items_in_batch: Any | None = None, share: float = 1.0
    ) -> Tensor:
        """Forward and backward of one part of a batch; returns its share of the batch's loss, without gradient.

        num_items_in_batch: labels that count in the whole batch; a model that takes it divides by it. share: what this
        part's mean loss counts for in the others.
        """
        model.train()
        if hasattr(self.optimizer, "train") and callable(self.optimizer.train):
            self.optimizer.train()
        inputs = self._prepare_inputs(inputs)
        divides = self._divides_by_items(num_items_in_batch)
        with self.autocast_smart_context_manager():
            loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch if divides else None)
        if divides:
            loss = loss * self._processes(num_items_in_batch)
        else:
            loss = loss.mean() * share
        (self.scaler.scale(loss) if self.scaler is not None else loss).backward()
        step = self.args.torch_empty_cache_steps
        if step is not None and self.state.global_step % step == 0 and self.args.device.type != "cpu":
            torch.accelerator.memory.empty_cache()
        return loss.detach()

    def _divides_by_items(self, num_items_in_batch: Any) -> bool:
        if num_items_in_batch is None:
            return False
        if self.compute_loss_func is not None:
            return True
        return self.model_accepts_loss_kwargs and self.label_smoother is None

    label_smoother: Any

    def _count_tokens(self, part: Any) -> None:
        if self.args.include_num_input_tokens_seen:
            name = getattr(self.model, "main_input_name", "input_ids")
            if name not in part:
                logger.warning_once(f"include_num_input_tokens_seen: batches have no {name!r}; nothing is counted.")
                return
            tokens = torch.tensor(part[name].numel(), device=self.args.device, dtype=torch.int64)
            self.state.num_input_tokens_seen += int(summed(tokens))

    def _add_loss(self, run: Run, loss: Any) -> None:
        """Add an update's loss; one that is no number is told of, and replaced by the mean so far in the logs."""
        if not isinstance(loss, Tensor) or torch.isfinite(loss).all():
            run.loss = run.loss + loss
            return
        if not run.warned_of_nan:
            run.warned_of_nan = True
            logger.warning(
                f"The loss is {loss.item()} in update {self.state.global_step + 1}. "
                f"debug='underflow_overflow' stops there and names the module it comes from."
            )
        if self.args.logging_nan_inf_filter:
            run.loss = run.loss + run.loss / (1 + self.state.global_step - run.logged_at)
        else:
            run.loss = run.loss + loss

    def _clip(self) -> Tensor | None:
        """Scale the gradients down to `max_grad_norm`; their norm before, None where they are not clipped."""
        if not self.args.max_grad_norm or self.args.max_grad_norm <= 0:
            return None
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm: Tensor = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        return norm

    def _maybe_log_save_evaluate(self, run: Run, trial: Any, ignore_keys: Any) -> None:
        """What the control asks for after an update or an epoch."""
        if self.control.should_log and self.state.global_step > run.logged_at:
            self._log_training(run)
        metrics = None
        if self.control.should_evaluate:
            metrics = self._evaluate(trial, ignore_keys)
            best = self._determine_best_metric(metrics)
            if self.args.save_strategy.value == "best":
                self.control.should_save = best
        if self.control.should_save:
            self._save_checkpoint(self.model, trial)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _log_training(self, run: Run) -> None:
        total = self._mean_over_processes(run.loss)
        run.loss = 0.0
        logs = {"loss": round(total / (self.state.global_step - run.logged_at), 4)}
        if run.grad_norm is not None:
            logs["grad_norm"] = float(run.grad_norm)
        logs["learning_rate"] = self._get_learning_rate() if run.rate is None else run.rate
        run.total_loss += total
        run.logged_at = self.state.global_step
        self.store_flos()
        self.log(logs, run.started)

    @staticmethod
    def _mean_over_processes(loss: Any) -> float:
        value = loss if isinstance(loss, Tensor) else torch.tensor(float(loss))
        return float(summed(value.double()) / world_size()) if world_size() > 1 else float(value)

    def _evaluate(self, trial: Any, ignore_keys: Any) -> dict[str, float]:
        metrics: dict[str, float] = self.evaluate(ignore_keys=ignore_keys)
        self._report_to_hp_search(trial, self.state.global_step, metrics)
        if isinstance(self.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.lr_scheduler.step(metrics[self._metric_name(metrics)])
        return metrics

    _report_to_hp_search: Any

    def _metric_name(self, metrics: dict[str, float]) -> str:
        name = self.args.metric_for_best_model
        name = name if name.startswith("eval_") else f"eval_{name}"
        if name not in metrics:
            raise ValueError(
                f"metric_for_best_model={self.args.metric_for_best_model!r}: the evaluation gave {sorted(metrics)} and "
                f"no {name!r}. Name one of these, or return it from compute_metrics."
            )
        return str(name)

    def _determine_best_metric(self, metrics: dict[str, float]) -> bool:
        """Whether this evaluation is the best so far; it is noted then."""
        if self.args.metric_for_best_model is None:
            return False
        value, best = metrics[self._metric_name(metrics)], self.state.best_metric
        if best is not None and not (value > best if self.args.greater_is_better else value < best):
            return False
        self.state.best_metric, self.state.best_global_step = value, self.state.global_step
        return True

    def _finish(self, run: Run) -> TrainOutput:
        run.total_loss += self._mean_over_processes(run.loss)
        train_loss = run.total_loss / max(self.state.global_step, 0.001)  # 0.001: a run that made no update
        metrics = speed_metrics("train", run.started, num_samples=run.rows, num_steps=run.max_steps)
        self.store_flos()
        metrics |= {"total_flos": self.state.total_flos, "train_loss": train_loss}
        self._in_training = False
        self.log(metrics)
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint is not None:
            self._load_best_model()
        self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
        return TrainOutput(self.state.global_step, train_loss, metrics)

    _in_training: bool
