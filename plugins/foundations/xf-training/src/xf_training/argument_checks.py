"""What `TrainingArguments` completes and refuses when it is made."""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from xf import logging

from .enums import DebugOption, HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType
from .optimizer_names import OptimizerNames

logger = logging.get_logger(__name__)

# Arguments of machines and packages that xf does not drive: each with the value that means "not used" and what to do.
NOT_HONOURED: dict[str, tuple[Any, str]] = {
    "use_ipex": (False, "Intel's extension is part of torch by now; leave it out."),
    "jit_mode_eval": (False, "torch.jit is no longer developed; use torch_compile=True."),
    "torchdynamo": (None, "pass torch_compile_backend instead."),
    "tpu_num_cores": (None, "xf does not train on TPUs."),
    "tpu_metrics_debug": (False, "xf does not train on TPUs."),
    "mp_parameters": ("", "SageMaker's model parallelism is not supported."),
    "past_index": (-1, "no model returns a memory for the next batch."),
    "use_legacy_prediction_loop": (False, "there is one prediction loop."),
    "use_liger_kernel": (False, "install a plugin that provides those kernels as an attention or a model instead."),
    "optim_target_modules": (None, "only the projections of GaLore and APOLLO take it."),
    "fsdp": ("", "sharded training needs an engine plugin."),
    "deepspeed": (None, "DeepSpeed needs an engine plugin."),
    "eval_use_gather_object": (False, "predictions are gathered as tensors."),
    "push_to_hub_organization": (None, 'pass hub_model_id="organization/name" instead.'),
}
JSON_ARGUMENTS = (
    "lr_scheduler_kwargs",
    "gradient_checkpointing_kwargs",
    "accelerator_config",
    "fsdp_config",
    "deepspeed",
)
ACCELERATOR_DEFAULTS = {
    "split_batches": False,
    "dispatch_batches": None,
    "even_batches": True,
    "use_seedable_sampler": True,
    "non_blocking": False,
    "gradient_accumulation_kwargs": None,
}


def complete_and_check(args: Any) -> None:
    """Fill in what follows from other arguments, convert names to their kinds, and refuse contradictions."""
    for name in JSON_ARGUMENTS:
        setattr(args, name, _from_json(name, getattr(args, name)))
    _names(args)
    _replaced(args)
    for name, (unused, advice) in NOT_HONOURED.items():
        value = getattr(args, name)
        if value != unused and value not in (None, [], False):
            raise ValueError(f"{name}={value!r} cannot be honoured: {advice}")
    if not args.save_safetensors:
        raise ValueError("save_safetensors=False would write pickled weights; xf writes safetensors. Leave it out.")
    _folders(args)
    _numbers(args)
    _intervals(args)
    _best_model(args)
    _precision(args)
    _accelerator(args)
    _reports(args)


def _from_json(name: str, value: Any) -> Any:
    """JSON text, or the name of a JSON file, as what it says."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value if value.lstrip().startswith("{") else Path(value).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}={value!r} is neither a JSON object nor the name of a JSON file: {error}") from error


def _names(args: Any) -> None:
    args.eval_strategy = IntervalStrategy(args.eval_strategy)
    args.logging_strategy = IntervalStrategy(args.logging_strategy)
    args.save_strategy = SaveStrategy(args.save_strategy)
    args.hub_strategy = HubStrategy(args.hub_strategy)
    args.lr_scheduler_type = SchedulerType(args.lr_scheduler_type)
    args.optim = OptimizerNames(args.optim)
    words = args.debug.split() if isinstance(args.debug, str) else args.debug or []
    args.debug = [DebugOption(word) for word in words]
    args.lr_scheduler_kwargs = args.lr_scheduler_kwargs or {}
    args.fsdp = args.fsdp or []
    for name in ("log_level", "log_level_replica"):
        from .training_args import LOG_LEVELS

        if getattr(args, name) not in LOG_LEVELS:
            raise ValueError(f"{name}={getattr(args, name)!r} is none of {', '.join(LOG_LEVELS)}.")


def _replaced(args: Any) -> None:
    """Arguments with a newer name do what they did, with a warning."""
    if args.no_cuda:
        logger.warning("no_cuda is an older name: use use_cpu=True.")
        args.use_cpu = True
    if args.adafactor:
        logger.warning('adafactor=True is an older way to say optim="adafactor".')
        args.optim = OptimizerNames.ADAFACTOR
    if args.include_inputs_for_metrics:
        logger.warning('include_inputs_for_metrics is an older way to say include_for_metrics=["inputs"].')
        args.include_for_metrics = [*args.include_for_metrics, "inputs"]
    for old, new in (("push_to_hub_model_id", "hub_model_id"), ("push_to_hub_token", "hub_token")):
        if getattr(args, old) is not None:
            logger.warning(f"{old} is an older name: use {new}.")
            setattr(args, new, getattr(args, old))
    for kind in ("train", "eval"):
        if getattr(args, f"per_gpu_{kind}_batch_size"):
            logger.warning(f"per_gpu_{kind}_batch_size is an older name: use per_device_{kind}_batch_size.")
    if args.use_mps_device:
        logger.warning("use_mps_device is not needed: Apple's accelerator is used where there is one.")
    if args.torch_compile_backend is not None or args.torch_compile_mode is not None:
        args.torch_compile = True
    if args.torch_compile and args.torch_compile_backend is None:
        args.torch_compile_backend = "inductor"


def _folders(args: Any) -> None:
    if args.output_dir is None:
        args.output_dir = "trainer_output"
        logger.warning(f"No output_dir was given: checkpoints go to {args.output_dir!r} in the working directory.")
    args.output_dir = os.path.expanduser(args.output_dir)
    if args.logging_dir is None:
        stamp = f"{datetime.now():%b%d_%H-%M-%S}_{socket.gethostname()}"
        args.logging_dir = os.path.join(args.output_dir, "runs", stamp)
    args.logging_dir = os.path.expanduser(args.logging_dir)
    if args.disable_tqdm is None:
        args.disable_tqdm = logging.get_verbosity() > logging.WARNING


def _at_least(args: Any, least: float, *names: str) -> None:
    for name in names:
        value = getattr(args, name)
        if value is not None and (isinstance(value, bool) or value < least):
            raise ValueError(f"{name}={value!r} must be at least {least}.")


def _numbers(args: Any) -> None:
    _at_least(args, 1, "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
    _at_least(args, 1, "eval_accumulation_steps", "torch_empty_cache_steps", "save_total_limit")
    _at_least(args, 0, "learning_rate", "weight_decay", "adam_epsilon", "warmup_steps", "dataloader_num_workers")
    _at_least(args, 0, "eval_delay", "label_smoothing_factor", "neftune_noise_alpha")
    if not isinstance(args.warmup_steps, int):
        raise ValueError(f"warmup_steps={args.warmup_steps!r} must be an integer; warmup_ratio takes a part.")
    if not 0 <= args.warmup_ratio <= 1:
        raise ValueError(f"warmup_ratio={args.warmup_ratio} must be between 0 and 1.")
    if args.warmup_ratio > 0 and args.warmup_steps > 0:
        logger.warning(f"warmup_steps={args.warmup_steps} is used; warmup_ratio={args.warmup_ratio} is not.")
    if args.label_smoothing_factor >= 1:
        raise ValueError(f"label_smoothing_factor={args.label_smoothing_factor} must be below 1.")
    if args.max_steps <= 0 and args.num_train_epochs < 0:
        raise ValueError(f"num_train_epochs={args.num_train_epochs} must not be negative.")
    if args.dataloader_num_workers == 0:
        if args.dataloader_prefetch_factor is not None:
            raise ValueError("dataloader_prefetch_factor needs dataloader_num_workers above 0.")
        if args.dataloader_persistent_workers:
            raise ValueError("dataloader_persistent_workers needs dataloader_num_workers above 0.")
    if unknown := set(args.include_for_metrics) - {"inputs", "loss"}:
        raise ValueError(f"include_for_metrics may name 'inputs' and 'loss', not {sorted(unknown)}.")


def _intervals(args: Any) -> None:
    """Intervals in updates are whole numbers; below 1 they are a part of the run."""
    if args.eval_strategy != IntervalStrategy.NO:
        args.do_eval = True
    if args.eval_strategy == IntervalStrategy.STEPS and not args.eval_steps:
        if not args.logging_steps > 0:
            raise ValueError("eval_strategy='steps' needs eval_steps or logging_steps above 0.")
        args.eval_steps = args.logging_steps
    if args.logging_strategy == IntervalStrategy.STEPS and not args.logging_steps:
        raise ValueError("logging_strategy='steps' needs logging_steps above 0.")
    if args.save_strategy == SaveStrategy.STEPS and not args.save_steps:
        raise ValueError("save_strategy='steps' needs save_steps above 0.")
    for name, kind in (("logging", args.logging_strategy), ("eval", args.eval_strategy), ("save", args.save_strategy)):
        steps = getattr(args, f"{name}_steps")
        if kind.value == "steps" and steps > 1:
            if steps != int(steps):
                raise ValueError(f"{name}_steps={steps} must be a whole number, or a part of the run below 1.")
            setattr(args, f"{name}_steps", int(steps))
    if args.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU and args.eval_strategy == IntervalStrategy.NO:
        raise ValueError('lr_scheduler_type="reduce_lr_on_plateau" watches an evaluation: set eval_strategy.')


def _best_model(args: Any) -> None:
    if args.load_best_model_at_end and args.save_strategy != SaveStrategy.BEST:
        if args.eval_strategy.value != args.save_strategy.value:
            raise ValueError(
                f"load_best_model_at_end needs every evaluated model to be saved, but eval_strategy is "
                f"{args.eval_strategy.value!r} and save_strategy {args.save_strategy.value!r}: make them the same."
            )
        if args.eval_strategy == IntervalStrategy.STEPS and not _is_multiple(args.save_steps, args.eval_steps):
            raise ValueError(
                f"load_best_model_at_end needs saved models to be evaluated, but save_steps={args.save_steps} is no "
                f"multiple of eval_steps={args.eval_steps}."
            )
    watches = args.load_best_model_at_end or args.lr_scheduler_type == SchedulerType.REDUCE_ON_PLATEAU
    if watches and args.metric_for_best_model is None:
        args.metric_for_best_model = "loss"
    if args.greater_is_better is None and args.metric_for_best_model is not None:
        args.greater_is_better = not args.metric_for_best_model.endswith("loss")


def _is_multiple(steps: float, of: float) -> bool:
    if steps >= 1 and of >= 1:
        return steps % of == 0
    if steps >= 1 or of >= 1:
        return False
    scale = 1_000_000  # parts of a run, without the error of binary fractions
    return round(steps * scale) % round(of * scale) == 0


def _precision(args: Any) -> None:
    if args.fp16 and args.bf16:
        raise ValueError("fp16=True and bf16=True contradict each other: choose one.")
    if args.fp16_full_eval and args.bf16_full_eval:
        raise ValueError("fp16_full_eval=True and bf16_full_eval=True contradict each other: choose one.")
    for name in ("half_precision_backend", "fp16_backend"):
        if getattr(args, name) not in ("auto", "cuda_amp", "cpu_amp"):
            raise ValueError(f"{name}={getattr(args, name)!r} is not available: torch's own (auto) is.")
    if args.fp16 and args.device.type == "cpu":
        raise ValueError("fp16=True trains on accelerators only; the processor trains with bf16=True.")
    if args.tf32 is not None:
        import torch

        if args.tf32 and not torch.cuda.is_available():
            raise ValueError("tf32=True needs a CUDA device of the Ampere series or newer.")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32


def _accelerator(args: Any) -> None:
    given = args.accelerator_config or {}
    if unknown := set(given) - set(ACCELERATOR_DEFAULTS):
        raise ValueError(f"accelerator_config has no {sorted(unknown)}; it has {', '.join(ACCELERATOR_DEFAULTS)}.")
    args.accelerator_config = {**ACCELERATOR_DEFAULTS, **given}
    for name in ("split_batches", "dispatch_batches", "gradient_accumulation_kwargs"):
        if args.accelerator_config[name]:
            raise ValueError(f"accelerator_config[{name!r}]={given[name]!r} cannot be honoured; leave it out.")
    args.fsdp_config = args.fsdp_config or {}
    args.fsdp_config.setdefault("min_num_params", args.fsdp_min_num_params)
    for name in ("xla", "xla_fsdp_v2", "xla_fsdp_grad_ckpt"):
        args.fsdp_config.setdefault(name, False)
    if args.use_cpu:
        args.dataloader_pin_memory = False  # for copies to an accelerator
    args.local_rank = args.local_process_index
    args._n_gpu = args.n_gpu
    if args.world_size == 1:
        args.average_tokens_across_devices = False


def _reports(args: Any) -> None:
    """The names of callback plugins: those that are named, all that are installed, or none."""
    from .integrations import integrations

    named = [args.report_to] if isinstance(args.report_to, str) else args.report_to
    if named is None or named == ["all"]:
        args.report_to = integrations()
    elif named == ["none"]:
        args.report_to = []
    else:
        args.report_to = list(named)
