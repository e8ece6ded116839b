"""The settings of a training run (spec: trainer.md).

Every documented argument is there under its documented name and default. One that this environment cannot honour is a
ValueError when the arguments are made, never ignored; what each check says is in `argument_checks`.
"""

from __future__ import annotations

import dataclasses
import json
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from .argument_checks import complete_and_check
from .argument_setters import ArgumentSetters
from .enums import HubStrategy, IntervalStrategy, ParallelMode, SaveStrategy, SchedulerType
from .optimizer_names import OptimizerNames

if TYPE_CHECKING:
    import torch

LOG_LEVELS = {"detail": 10, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "passive": -1}


@dataclass
class TrainingArguments(ArgumentSetters):
    """The settings of `Trainer`. The groups of arguments, in their order:

    Where and what: output_dir (checkpoints and predictions; "trainer_output" by default), overwrite_output_dir,
    do_train, do_eval, do_predict (for scripts).
    Evaluation: eval_strategy ("no", "steps", "epoch"), eval_steps (a number of updates, or below 1 a part of the run),
    eval_delay (epochs or updates before the first), eval_on_start, prediction_loss_only, eval_accumulation_steps
    (batches of predictions kept on the device), batch_eval_metrics (compute_metrics is called per batch, with
    compute_result=True on the last), eval_do_concat_batches, include_for_metrics ("inputs", "loss").
    Batches: per_device_train_batch_size, per_device_eval_batch_size, gradient_accumulation_steps, group_by_length,
    length_column_name, dataloader_*, auto_find_batch_size (half the size whenever memory runs out).
    Optimizer: optim, optim_args ("key=value, ..."), learning_rate, weight_decay, adam_*, max_grad_norm,
    label_smoothing_factor, neftune_noise_alpha (noise on embeddings; Jain et al. 2023).
    Length and schedule: num_train_epochs, max_steps (wins where positive), lr_scheduler_type, lr_scheduler_kwargs,
    warmup_ratio, warmup_steps (wins).
    Logs: logging_strategy, logging_steps, logging_first_step, logging_nan_inf_filter (a loss that is NaN or infinite is
    replaced by the mean in the logs), report_to (names of callback plugins, "all" or "none"), run_name, log_level.
    Checkpoints: save_strategy ("no", "steps", "epoch", "best"), save_steps, save_total_limit, save_only_model,
    load_best_model_at_end, metric_for_best_model, greater_is_better, resume_from_checkpoint, ignore_data_skip.
    Numbers: seed (weights, order, dropout), data_seed (order alone), full_determinism, bf16, fp16 (mixed precision),
    bf16_full_eval, fp16_full_eval, tf32, gradient_checkpointing, torch_compile*.
    Hub: push_to_hub, hub_model_id, hub_strategy, hub_token, hub_private_repo, hub_always_push, hub_revision.
    Raises: ValueError for settings that contradict each other or that cannot be honoured.
    """

    output_dir: str | None = None
    overwrite_output_dir: bool = False
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    eval_strategy: IntervalStrategy | str = "no"
    prediction_loss_only: bool = False
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    per_gpu_train_batch_size: int | None = None
    per_gpu_eval_batch_size: int | None = None
    gradient_accumulation_steps: int = 1
    eval_accumulation_steps: int | None = None
    eval_delay: float | None = 0
    torch_empty_cache_steps: int | None = None
    learning_rate: float = 5e-5
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    num_train_epochs: float = 3.0
    max_steps: int = -1
    lr_scheduler_type: SchedulerType | str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | str | None = field(default_factory=dict)
    warmup_ratio: float = 0.0
    warmup_steps: int = 0
    log_level: str = "passive"
    log_level_replica: str = "warning"
    log_on_each_node: bool = True
    logging_dir: str | None = None
    logging_strategy: IntervalStrategy | str = "steps"
    logging_first_step: bool = False
    logging_steps: float = 500
    logging_nan_inf_filter: bool = True
    save_strategy: SaveStrategy | str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = None
    save_safetensors: bool | None = True
    save_on_each_node: bool = False
    save_only_model: bool = False
    restore_callback_states_from_checkpoint: bool = False
    no_cuda: bool = False
    use_cpu: bool = False
    use_mps_device: bool = False
    seed: int = 42
    data_seed: int | None = None
    jit_mode_eval: bool = False
    use_ipex: bool = False
    bf16: bool = False
    fp16: bool = False
    fp16_opt_level: str = "O1"
    half_precision_backend: str = "auto"
    bf16_full_eval: bool = False
    fp16_full_eval: bool = False
    tf32: bool | None = None
    local_rank: int = -1
    ddp_backend: str | None = None
    tpu_num_cores: int | None = None
    tpu_metrics_debug: bool = False
    debug: str | list[Any] = ""
    dataloader_drop_last: bool = False
    eval_steps: float | None = None
    dataloader_num_workers: int = 0
    dataloader_prefetch_factor: int | None = None
    past_index: int = -1
    run_name: str | None = None
    disable_tqdm: bool | None = None
    remove_unused_columns: bool | None = True
    label_names: list[str] | None = None
    load_best_model_at_end: bool | None = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    ignore_data_skip: bool = False
    fsdp: list[str] | str | None = ""
    fsdp_min_num_params: int = 0
    fsdp_config: dict[str, Any] | str | None = None
    fsdp_transformer_layer_cls_to_wrap: str | None = None
    accelerator_config: dict[str, Any] | str | None = None
    deepspeed: dict[str, Any] | str | None = None
    label_smoothing_factor: float = 0.0
    optim: OptimizerNames | str = "adamw_torch_fused"
    optim_args: str | None = None
    adafactor: bool = False
    group_by_length: bool = False
    length_column_name: str | None = "length"
    report_to: None | str | list[str] = None
    ddp_find_unused_parameters: bool | None = None
    ddp_bucket_cap_mb: int | None = None
    ddp_broadcast_buffers: bool | None = None
    dataloader_pin_memory: bool = True
    dataloader_persistent_workers: bool = False
    skip_memory_metrics: bool = True
    use_legacy_prediction_loop: bool = False
    push_to_hub: bool = False
    resume_from_checkpoint: str | None = None
    hub_model_id: str | None = None
    hub_strategy: HubStrategy | str = "every_save"
    hub_token: str | None = None
    hub_private_repo: bool | None = None
    hub_always_push: bool = False
    hub_revision: str | None = None
    gradient_checkpointing: bool = False
    gradient_checkpointing_kwargs: dict[str, Any] | str | None = None
    include_inputs_for_metrics: bool = False
    include_for_metrics: list[str] = field(default_factory=list)
    eval_do_concat_batches: bool = True
    fp16_backend: str = "auto"
    push_to_hub_model_id: str | None = None
    push_to_hub_organization: str | None = None
    push_to_hub_token: str | None = None
    _n_gpu: int = field(init=False, repr=False, default=-1)
    mp_parameters: str = ""
    auto_find_batch_size: bool = False
    full_determinism: bool = False
    torchdynamo: str | None = None
    ray_scope: str | None = "last"
    ddp_timeout: int = 1800
    torch_compile: bool = False
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    include_tokens_per_second: bool | None = False
    include_num_input_tokens_seen: bool | None = False
    neftune_noise_alpha: float | None = None
    optim_target_modules: None | str | list[str] = None
    batch_eval_metrics: bool = False
    eval_on_start: bool = False
    use_liger_kernel: bool | None = False
    liger_kernel_config: dict[str, bool] | None = None
    eval_use_gather_object: bool | None = False
    average_tokens_across_devices: bool | None = True

    def __post_init__(self) -> None:
        complete_and_check(self)

    @property
    def train_batch_size(self) -> int:
        """Rows per device in a training step."""
        return (self.per_gpu_train_batch_size or self.per_device_train_batch_size) * max(1, self.n_gpu)

    @property
    def eval_batch_size(self) -> int:
        """Rows per device in an evaluation step."""
        return (self.per_gpu_eval_batch_size or self.per_device_eval_batch_size) * max(1, self.n_gpu)

    @property
    def ddp_timeout_delta(self) -> timedelta:
        """How long a process waits for the others."""
        return timedelta(seconds=self.ddp_timeout)

    @property
    def device(self) -> torch.device:
        """The device of this process: the processor where `use_cpu` says so, else the first accelerator there is."""
        import torch

        if self.use_cpu or not torch.accelerator.is_available():
            return torch.device("cpu")
        kind = torch.accelerator.current_accelerator()
        assert kind is not None
        return torch.device(kind.type, self.local_process_index)

    @property
    def n_gpu(self) -> int:
        """Accelerators of this process: one, or none. Several are used by starting a process for each."""
        return 0 if self.device.type == "cpu" else 1

    @property
    def parallel_mode(self) -> ParallelMode:
        """Alone, or one of several processes."""
        return ParallelMode.DISTRIBUTED if self.world_size > 1 else ParallelMode.NOT_PARALLEL

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        from .distributed import world_size

        return world_size()

    @property
    def process_index(self) -> int:
        """Number of this process among all."""
        from .distributed import rank

        return rank()

    @property
    def local_process_index(self) -> int:
        """Number of this process on its machine."""
        from .distributed import local_rank

        return local_rank()

    @property
    def should_log(self) -> bool:
        """Whether this process writes logs: the first of its machine, or of all."""
        return (self.local_process_index if self.log_on_each_node else self.process_index) == 0

    @property
    def should_save(self) -> bool:
        """Whether this process writes checkpoints: the first of all, or of its machine with save_on_each_node."""
        return (self.local_process_index if self.save_on_each_node else self.process_index) == 0

    @property
    def place_model_on_device(self) -> bool:
        """Whether the trainer moves the model; engines that place it themselves say no."""
        return True

    def get_process_log_level(self) -> int:
        """The log level of this process, as a number; the library's own where the arguments are passive."""
        from xf import logging

        name = self.log_level if self.should_log else self.log_level_replica
        level = LOG_LEVELS[name]
        return logging.get_verbosity() if level == -1 and self.should_log else (30 if level == -1 else level)

    @contextmanager
    def main_process_first(self, local: bool = True, desc: str = "work") -> Any:
        """The block runs in the main process, then in the others: for data sets that it writes to a cache.

        local: the main process of each machine, for file systems that are not shared.
        """
        from .distributed import torch_distributed_zero_first

        with torch_distributed_zero_first(self.local_process_index if local else self.process_index):
            yield

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Updates of the warm-up: `warmup_steps`, or `warmup_ratio` of the run, rounded up."""
        import math

        return self.warmup_steps if self.warmup_steps > 0 else math.ceil(num_training_steps * self.warmup_ratio)

    def to_dict(self) -> dict[str, Any]:
        """The arguments as plain values; tokens are replaced by their names in angle brackets."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        for name, value in found.items():
            if isinstance(value, Enum):
                found[name] = value.value
            elif isinstance(value, list) and value and isinstance(value[0], Enum):
                found[name] = [item.value for item in value]
            elif name.endswith("_token"):
                found[name] = f"<{name.upper()}>"
            elif dataclasses.is_dataclass(value) or hasattr(value, "to_dict"):
                found[name] = value.to_dict() if hasattr(value, "to_dict") else dataclasses.asdict(value)  # type: ignore[arg-type]
        return found

    def to_json_string(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_sanitized_dict(self) -> dict[str, Any]:
        """What trackers of experiments take: numbers, texts and truth values, all else as text."""
        found = {**self.to_dict(), "train_batch_size": self.train_batch_size, "eval_batch_size": self.eval_batch_size}
        return {name: value if type(value) in (bool, int, float, str) else str(value) for name, value in found.items()}

    def __str__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        shown |= {name: f"<{name.upper()}>" for name in shown if name.endswith("_token")}
        lines = (f"{name}={value},\n" for name, value in sorted(shown.items()))
        return f"{type(self).__name__}(\n{''.join(lines)})"

    __repr__ = __str__
