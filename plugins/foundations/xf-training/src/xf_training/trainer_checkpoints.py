"""The trainer's checkpoints: written whole or not at all, found again, and kept to a number.

checkpoint-N holds the model, the tokenizer, optimizer.pt, scheduler.pt, rng_state.pth, trainer_state.json and
training_args.bin. All of it is read without running pickled code. A checkpoint is written to a hidden folder that gets
its name when it is complete, so that one that was cut off is never found.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xf import logging

from .callback import ExportableState, TrainerState
from .distributed import rank, world_size

logger = logging.get_logger(__name__)

PREFIX = "checkpoint"
STATE, OPTIMIZER, SCHEDULER, SCALER = "trainer_state.json", "optimizer.pt", "scheduler.pt", "scaler.pt"
ARGUMENTS = "training_args.bin"


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint has its state and weights whose header can be read."""
    try:
        json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    from xf.checkpoint.safetensors_file import read_header

    weights = sorted(folder.glob("*.safetensors"))
    try:
        for path in weights:
            read_header(path)
    except (OSError, ValueError):
        return False
    return bool(weights)


def sorted_checkpoints(output_dir: str | os.PathLike[str]) -> list[Path]:
    """The checkpoint folders of a run by their number, incomplete ones too."""
    found = []
    for path in Path(output_dir).glob(f"{PREFIX}-*"):
        match = re.fullmatch(rf"{PREFIX}-(\d+)", path.name)
        if match and path.is_dir():
            found.append((int(match[1]), path))
    return [path for _, path in sorted(found)]


def get_last_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """The newest complete checkpoint of a run's folder, None where there is none; warns of incomplete ones."""
    for path in reversed(sorted_checkpoints(folder)):
        if is_complete(path):
            return str(path)
        logger.warning(f"{path} is not complete (a save that was cut off?); the checkpoint before it is used.")
    return None


def rng_state() -> dict[str, Any]:
    """The state of all random generators of this process, as values that can be read without running code."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the generators into a saved state."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.asarray(keys).astype(np.uint32), *rest))
    torch.random.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.random.set_rng_state(state["cuda"])


def load_safely(path: Path) -> Any:
    """A file of `torch.save`, without running what is pickled in it. ValueError where it is broken or holds code."""
    rebuild = np.zeros(0).__reduce__()[0]  # type: ignore[index] # how NumPy pickles an array, wherever it lies
    arrays: list[Any] = [np.ndarray, np.dtype, np.dtypes.UInt32DType, rebuild]
    try:
        with torch.serialization.safe_globals(arrays):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds for a broken file
        raise ValueError(
            f"{path} cannot be read: {str(error).splitlines()[0]} Resume from another checkpoint, or delete the file "
            f"to go on without what it holds."
        ) from error


def _rng_name() -> str:
    return "rng_state.pth" if world_size() == 1 else f"rng_state_{rank()}.pth"


class TrainerCheckpoints:
    """The part of `Trainer` that saves and loads."""

    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any
    control: Any
    callback_handler: Any
    processing_class: Any
    data_collator: Any
    scaler: Any
    store_flos: Any
    is_world_process_zero: Any
    push_to_hub: Any
    _unwrapped: Any

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, the tokenizer or processor, and the arguments, so that `from_pretrained` loads them.

        output_dir: the arguments' where it is None.
        """
        if self.args.should_save:
            self._save(output_dir)
        if self.args.push_to_hub and not _internal_call and self.args.hub_strategy.value != "end":
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(self.args.output_dir if output_dir is None else output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        model = self._unwrapped()
        if hasattr(model, "save_pretrained"):
            options = {} if state_dict is None else {"state_dict": state_dict}
            model.save_pretrained(folder, **options)
        else:
            from safetensors.torch import save_model

            logger.info(f"{type(model).__name__} has no save_pretrained: only its weights are saved.")
            save_model(model, str(folder / "model.safetensors"))
        processing = self.processing_class or getattr(self.data_collator, "tokenizer", None)
        if processing is not None and hasattr(processing, "save_pretrained"):
            processing.save_pretrained(folder)
        torch.save(self.args.to_dict(), folder / ARGUMENTS)

    def _save_checkpoint(self, model: Any = None, trial: Any = None) -> None:
        """Write checkpoint-N, then delete those that the limit no longer allows."""
        run_dir = Path(self._get_output_dir(trial))
        final = run_dir / f"{PREFIX}-{self.state.global_step}"
        folder = run_dir / f".{final.name}-writing"
        self.store_flos()
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._note_best(final)
        self._barrier()
        self.save_model(str(folder), _internal_call=True)
        if not self.args.save_only_model:
            self._save_progress(folder)
            torch.save(rng_state(), folder / _rng_name())
        self._barrier()
        if self.args.should_save:
            self._note_states()
            self.state.save_to_json(folder / STATE)
            if final.exists():
                shutil.rmtree(final)
            os.replace(folder, final)
            self._rotate_checkpoints(run_dir)
        self._barrier()
        if self.args.push_to_hub and self.args.hub_strategy.value != "end":
            self.push_to_hub(commit_message=f"Training in progress, step {self.state.global_step}", blocking=False)

    def _barrier(self) -> None:
        if world_size() > 1:
            torch.distributed.barrier()

    def _note_states(self) -> None:
        found: dict[str, Any] = {}
        for callback in [*self.callback_handler.callbacks, self.control]:
            if not isinstance(callback, ExportableState):
                continue
            found.setdefault(type(callback).__name__, []).append(callback.state())
        self.state.stateful_callbacks = {name: s[0] if len(s) == 1 else s for name, s in found.items()}

    def _note_best(self, checkpoint: Path) -> None:
        if self.state.best_global_step == self.state.global_step:
            self.state.best_model_checkpoint = str(checkpoint)

    def _save_progress(self, folder: Path) -> None:
        if not self.args.should_save:
            return
        torch.save(self.optimizer.state_dict(), folder / OPTIMIZER)
        torch.save(self.lr_scheduler.state_dict(), folder / SCHEDULER)
        if self.scaler is not None:
            torch.save(self.scaler.state_dict(), folder / SCALER)

    def _rotate_checkpoints(self, run_dir: Path) -> None:
        """Delete the oldest checkpoints beyond `save_total_limit`; the best one stays, and the one just written."""
        limit = self.args.save_total_limit
        if not limit:
            return
        found = sorted_checkpoints(run_dir)
        best = self.state.best_model_checkpoint
        best = None if best is None else Path(best).resolve()
        deletable = [path for path in found[:-1] if path.resolve() != best]
        if best is not None and limit == 1 and found[-1].resolve() != best:
            limit = 2  # the best and the newest
        for path in deletable[: max(0, len(found) - limit)]:
            logger.info(f"Deleting {path}: save_total_limit is {self.args.save_total_limit}.")
            shutil.rmtree(path, ignore_errors=True)

    def _get_output_dir(self, trial: Any) -> str:
        if trial is None:
            return str(self.args.output_dir)
        name = self.hp_name(trial) if getattr(self, "hp_name", None) else f"run-{trial.number}"
        return os.path.join(self.args.output_dir, name)

    hp_name: Any

    # --- loading

    def _resolve_checkpoint(self, wanted: str | bool | None) -> str | None:
        """The folder to resume from: the newest complete one for True. ValueError where there is none."""
        if wanted is False or wanted is None:
            return None
        if wanted is True:
            found = get_last_checkpoint(self.args.output_dir)
            if found is None:
                raise ValueError(f"There is no complete checkpoint to resume from in {self.args.output_dir!r}.")
            return found
        folder = Path(wanted)
        if not folder.is_dir():
            raise ValueError(f"resume_from_checkpoint={str(wanted)!r} is no folder.")
        if not is_complete(folder):
            raise ValueError(
                f"{folder} is not a complete checkpoint: it needs {STATE} and weights that can be read. Pass "
                f"resume_from_checkpoint=True for the newest complete one."
            )
        return str(wanted)

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        """The weights of a checkpoint, into the model that is there."""
        from xf.checkpoint.sharded import load_sharded_checkpoint

        model = self._unwrapped() if model is None else model
        folder = Path(checkpoint)
        if hasattr(model, "load_adapter_weights") and (folder / "adapter_config.json").exists():
            model.load_adapter_weights(folder)
            return
        if (folder / "model.safetensors.index.json").exists():
            load_sharded_checkpoint(model, str(folder), strict=False)
            return
        from safetensors.torch import load_file

        tensors = load_file(str(folder / "model.safetensors"))
        result = model.load_state_dict(tensors, strict=False)
        tied = model.active_ties() if hasattr(model, "active_ties") else {}
        if hasattr(model, "tie_weights"):
            model.tie_weights()
        missing = [name for name in result.missing_keys if name not in tied]
        if missing or result.unexpected_keys:
            logger.warning(
                f"{folder}: weights of another model? Missing: {missing or 'none'}; "
                f"not used: {list(result.unexpected_keys) or 'none'}."
            )

    def _load_progress(self, checkpoint: str) -> None:
        """Optimizer, schedule and scaler of a checkpoint, where it holds them."""
        folder = Path(checkpoint)
        parts = [(OPTIMIZER, self.optimizer), (SCHEDULER, self.lr_scheduler), (SCALER, self.scaler)]
        for name, part in parts:
            if part is None:
                continue
            if not (folder / name).exists():
                logger.warning(f"{folder} has no {name}: it starts anew (was it saved with save_only_model=True?).")
                continue
            try:
                part.load_state_dict(load_safely(folder / name))
            except (KeyError, RuntimeError) as error:
                raise ValueError(f"{folder / name} does not fit this run: {error} Was it another optimizer?") from error

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        path = Path(checkpoint) / _rng_name()
        if not path.exists():
            logger.warning(f"{checkpoint} has no {path.name}: dropout will differ from the run that was interrupted.")
            return
        set_rng_state(load_safely(path))

    def _load_callback_states(self) -> None:
        """Give callbacks the state they had, where `restore_callback_states_from_checkpoint` asks for it."""
        if not self.args.restore_callback_states_from_checkpoint:
            return
        saved = dict(self.state.stateful_callbacks or {})
        for callback in list(self.callback_handler.callbacks):
            states = saved.pop(type(callback).__name__, None)
            if isinstance(callback, ExportableState) and states is not None:
                state = states[0] if isinstance(states, list) else states
                self.callback_handler.pop_callback(callback)
                self.callback_handler.add_callback(type(callback).from_state(state))
        if left := [name for name in saved if name != "TrainerControl"]:
            logger.warning(f"The checkpoint has states of callbacks that this run does not have: {', '.join(left)}.")

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is None or not Path(best).exists():
            logger.warning(f"The best model {best!r} is not there (any more): the last one is kept.")
            return
        logger.info(f"Loading the best model, {best} (score: {self.state.best_metric}).")
        self._load_from_checkpoint(best)

    def compare_trainer_and_checkpoint_args(self, training_args: Any, trainer_state: TrainerState) -> None:
        """Warn of arguments that differ from those of the run that is resumed: they are the new ones."""
        names = {"logging_steps": "logging_steps", "eval_steps": "eval_steps", "save_steps": "save_steps"}
        differing = []
        for name in names:
            now, then = getattr(training_args, name, None), getattr(trainer_state, name, None)
            if now is not None and then is not None and now >= 1 and now != then:
                differing.append(f"{name}: {now} (was {then})")
        size = training_args.per_device_train_batch_size // max(1, training_args.n_gpu)
        if trainer_state.train_batch_size is not None and trainer_state.train_batch_size != size:
            differing.append(f"per_device_train_batch_size: {size} (was {trainer_state.train_batch_size})")
        if differing:
            logger.warning(f"Resuming with other arguments than the checkpoint's: {'; '.join(differing)}.")
