"""TensorBoardCallback (spec: main_classes/callback.md)."""

from __future__ import annotations

import numbers
import os
from typing import Any

from xf.logging import get_logger
from xf_training.callback import TrainerCallback

logger = get_logger(__name__)


class TensorBoardCallback(TrainerCallback):
    """Sends the logs of the training loop to TensorBoard.

    tb_writer: a `SummaryWriter` to use; by default one is made in args.logging_dir when training begins, below it in a
    folder of its own for each trial of a hyper-parameter search. A writer that was given is closed with the run too.
    """

    def __init__(self, tb_writer: Any = None) -> None:
        self.tb_writer = tb_writer

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Open the writer, and keep the arguments and the model's config as text."""
        if not state.is_world_process_zero:
            return
        folder = args.logging_dir
        if state.is_hyper_param_search and state.trial_name is not None:
            folder = os.path.join(folder, state.trial_name)
        self._open(folder)
        self.tb_writer.add_text("args", args.to_json_string())
        config = getattr(model, "config", None)
        if config is not None:
            text = config.to_json_string() if hasattr(config, "to_json_string") else str(config)
            self.tb_writer.add_text("model_config", text)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write numbers as scalars and text as text, at the present step."""
        if not state.is_world_process_zero:
            return
        if self.tb_writer is None:  # a log outside of training: an evaluation alone
            self._open(args.logging_dir)
        for name, value in (logs or {}).items():
            if isinstance(value, numbers.Real):
                self.tb_writer.add_scalar(tag(name), value, state.global_step)
            elif isinstance(value, str):
                self.tb_writer.add_text(tag(name), value, state.global_step)
            else:
                logger.warning_once(
                    f"TensorBoard shows numbers and text; {name!r} is a {type(value).__name__} and is left out. "
                    "Log its items one by one."
                )
        self.tb_writer.flush()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the writer; a later run makes its own."""
        if self.tb_writer is not None:
            self.tb_writer.close()
            self.tb_writer = None

    def _open(self, folder: str) -> None:
        if self.tb_writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.tb_writer = SummaryWriter(log_dir=folder)


def tag(name: str) -> str:
    """Where a logged name stands in TensorBoard: eval_loss is eval/loss, test_loss is test/loss, loss is train/loss."""
    for kind in ("eval", "test"):
        if name.startswith(f"{kind}_"):
            return f"{kind}/{name[len(kind) + 1 :]}"
    return f"train/{name}"
