"""Methods that set related training arguments together (spec: trainer.md); each returns the arguments."""

from __future__ import annotations

from typing import Any, TypeVar

from .enums import HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType
from .optimizer_names import OptimizerNames

A = TypeVar("A", bound="ArgumentSetters")


class ArgumentSetters:
    """Groups of arguments by the part of the training that they are about."""

    def _set(self: A, **values: Any) -> A:
        for name, value in values.items():
            setattr(self, name, value)
        return self

    def set_training(
        self: A,
        learning_rate: float = 5e-5,
        batch_size: int = 8,
        weight_decay: float = 0,
        num_epochs: float = 3,
        max_steps: int = -1,
        gradient_accumulation_steps: int = 1,
        seed: int = 42,
        gradient_checkpointing: bool = False,
    ) -> A:
        """The training itself; also sets do_train. batch_size is per device."""
        return self._set(
            do_train=True,
            learning_rate=learning_rate,
            per_device_train_batch_size=batch_size,
            weight_decay=weight_decay,
            num_train_epochs=num_epochs,
            max_steps=max_steps,
            gradient_accumulation_steps=gradient_accumulation_steps,
            seed=seed,
            gradient_checkpointing=gradient_checkpointing,
        )

    def set_evaluate(
        self: A,
        strategy: str | IntervalStrategy = "no",
        steps: int = 500,
        batch_size: int = 8,
        accumulation_steps: int | None = None,
        delay: float | None = None,
        loss_only: bool = False,
        jit_mode: bool = False,
    ) -> A:
        """Evaluation during training; also sets do_eval. ValueError for strategy "steps" with steps=0."""
        kind = IntervalStrategy(strategy)
        if kind == IntervalStrategy.STEPS and steps == 0:
            raise ValueError("Evaluation every 0 steps: steps must be above 0.")
        return self._set(
            eval_strategy=kind,
            do_eval=kind != IntervalStrategy.NO,
            eval_steps=steps,
            per_device_eval_batch_size=batch_size,
            eval_accumulation_steps=accumulation_steps,
            eval_delay=delay,
            prediction_loss_only=loss_only,
            jit_mode_eval=jit_mode,
        )

    def set_testing(self: A, batch_size: int = 8, loss_only: bool = False, jit_mode: bool = False) -> A:
        """Prediction; also sets do_predict. The evaluation's batch size is the same one."""
        return self._set(
            do_predict=True,
            per_device_eval_batch_size=batch_size,
            prediction_loss_only=loss_only,
            jit_mode_eval=jit_mode,
        )

    def set_save(
        self: A,
        strategy: str | IntervalStrategy | SaveStrategy = "steps",
        steps: int = 500,
        total_limit: int | None = None,
        on_each_node: bool = False,
    ) -> A:
        """Checkpoints. ValueError for strategy "steps" with steps=0."""
        kind = SaveStrategy(getattr(strategy, "value", strategy))
        if kind == SaveStrategy.STEPS and steps == 0:
            raise ValueError("A checkpoint every 0 steps: steps must be above 0.")
        return self._set(
            save_strategy=kind, save_steps=steps, save_total_limit=total_limit, save_on_each_node=on_each_node
        )

    def set_logging(
        self: A,
        strategy: str | IntervalStrategy = "steps",
        steps: int = 500,
        report_to: str | list[str] = "none",
        level: str = "passive",
        first_step: bool = False,
        nan_inf_filter: bool = False,
        on_each_node: bool = False,
        replica_level: str = "passive",
    ) -> A:
        """Logs. ValueError for strategy "steps" with steps=0."""
        kind = IntervalStrategy(strategy)
        if kind == IntervalStrategy.STEPS and steps == 0:
            raise ValueError("Logs every 0 steps: steps must be above 0.")
        named = [report_to] if isinstance(report_to, str) else list(report_to)
        return self._set(
            logging_strategy=kind,
            logging_steps=steps,
            report_to=[] if named == ["none"] else named,
            log_level=level,
            logging_first_step=first_step,
            logging_nan_inf_filter=nan_inf_filter,
            log_on_each_node=on_each_node,
            log_level_replica=replica_level,
        )

    def set_push_to_hub(
        self: A,
        model_id: str,
        strategy: str | HubStrategy = "every_save",
        token: str | None = None,
        private_repo: bool | None = None,
        always_push: bool = False,
        revision: str | None = None,
    ) -> A:
        """Pushing to the Hub; also sets push_to_hub."""
        return self._set(
            push_to_hub=True,
            hub_model_id=model_id,
            hub_strategy=HubStrategy(strategy),
            hub_token=token,
            hub_private_repo=private_repo,
            hub_always_push=always_push,
            hub_revision=revision,
        )

    def set_optimizer(
        self: A,
        name: str | OptimizerNames = "adamw_torch",
        learning_rate: float = 5e-5,
        weight_decay: float = 0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        args: str | None = None,
    ) -> A:
        """The optimizer."""
        return self._set(
            optim=OptimizerNames(name),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            adam_beta1=beta1,
            adam_beta2=beta2,
            adam_epsilon=epsilon,
            optim_args=args,
        )

    def set_lr_scheduler(
        self: A,
        name: str | SchedulerType = "linear",
        num_epochs: float = 3.0,
        max_steps: int = -1,
        warmup_ratio: float = 0,
        warmup_steps: int = 0,
    ) -> A:
        """The schedule of the learning rate, and the length of the run that it spans."""
        return self._set(
            lr_scheduler_type=SchedulerType(name),
            num_train_epochs=num_epochs,
            max_steps=max_steps,
            warmup_ratio=warmup_ratio,
            warmup_steps=warmup_steps,
        )

    def set_dataloader(
        self: A,
        train_batch_size: int = 8,
        eval_batch_size: int = 8,
        drop_last: bool = False,
        num_workers: int = 0,
        pin_memory: bool = True,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        auto_find_batch_size: bool = False,
        ignore_data_skip: bool = False,
        sampler_seed: int | None = None,
    ) -> A:
        """The data loaders; batch sizes are per device."""
        return self._set(
            per_device_train_batch_size=train_batch_size,
            per_device_eval_batch_size=eval_batch_size,
            dataloader_drop_last=drop_last,
            dataloader_num_workers=num_workers,
            dataloader_pin_memory=pin_memory,
            dataloader_persistent_workers=persistent_workers,
            dataloader_prefetch_factor=prefetch_factor,
            auto_find_batch_size=auto_find_batch_size,
            ignore_data_skip=ignore_data_skip,
            data_seed=sampler_seed,
        )
