"""The trainer for models that write a text: it generates while evaluating (spec: trainer.md)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xf import logging

from .evaluation import PredictionOutput
from .nested import nested_detach
from .trainer import Trainer
from .training_args import TrainingArguments

logger = logging.get_logger(__name__)


@dataclass(repr=False)
class Seq2SeqTrainingArguments(TrainingArguments):
    """The arguments of `Seq2SeqTrainer`: those of `TrainingArguments`, and

    Args:
        sortish_sampler: not there: group_by_length does it.
        predict_with_generate: generate while evaluating and predicting, for metrics such as ROUGE and BLEU.
        generation_max_length, generation_num_beams: for that; the model's own where they are None.
        generation_config: a `GenerationConfig`, or the folder or name of one.
    """

    sortish_sampler: bool = field(default=False)
    predict_with_generate: bool = False
    generation_max_length: int | None = None
    generation_num_beams: int | None = None
    generation_config: Any | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sortish_sampler:
            raise ValueError("sortish_sampler=True cannot be honoured: group_by_length=True groups rows by length.")


class Seq2SeqTrainer(Trainer):
    """`Trainer`, with generation in `evaluate` and `predict` where the arguments say `predict_with_generate`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gen_kwargs: dict[str, Any] = {}
        given = getattr(self.args, "generation_config", None)
        if given is not None:
            self.model.generation_config = self.load_generation_config(given)

    @staticmethod
    def load_generation_config(gen_config_arg: Any) -> Any:
        """A copy of a generation config, or that of a folder, a JSON file, or a name. ValueError where it is wrong."""
        from xf import GenerationConfig

        if isinstance(gen_config_arg, GenerationConfig):
            config = copy.deepcopy(gen_config_arg)
        else:
            path = Path(gen_config_arg)
            folder, file = (path.parent, path.name) if path.is_file() else (gen_config_arg, None)
            config = GenerationConfig.from_pretrained(folder, *([file] if file else []))
        config.validate(strict=True)
        return config

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """The settings of a call, with those of the arguments where the call does not say."""
        settings = dict(given)
        if settings.get("max_length") is None and settings.get("max_new_tokens") is None:
            if self.args.generation_max_length is not None:
                settings["max_length"] = self.args.generation_max_length
        if settings.get("num_beams") is None and self.args.generation_num_beams is not None:
            settings["num_beams"] = self.args.generation_num_beams
        return settings

    def evaluate(  # type: ignore[override]
        self,
        eval_dataset: Any | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
        **gen_kwargs: Any,
    ) -> dict[str, float]:
        """As `Trainer.evaluate`; gen_kwargs: of `generate`, such as max_length and num_beams."""
        self._gen_kwargs = self._settings(gen_kwargs)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(  # type: ignore[override]
        self,
        test_dataset: Any,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "test",
        **gen_kwargs: Any,
    ) -> PredictionOutput:
        """As `Trainer.predict`; gen_kwargs: of `generate`."""
        self._gen_kwargs = self._settings(gen_kwargs)
        return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def prediction_step(  # type: ignore[override]
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
        **gen_kwargs: Any,
    ) -> tuple[Tensor | None, Any, Any]:
        """(loss, generated ids, labels) of one batch, filled up with the pad token to the longest of the settings."""
        if not self.args.predict_with_generate or prediction_loss_only:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        settings = {**self._gen_kwargs, **gen_kwargs}
        sources = {name: value for name, value in inputs.items() if name not in ("labels", "decoder_input_ids")}
        if "decoder_input_ids" in inputs and "labels" not in inputs:
            sources["decoder_input_ids"] = inputs["decoder_input_ids"]
        ids = self._unwrapped().generate(**sources, **settings)
        loss, labels = None, None
        if inputs.get("labels") is not None:
            with torch.no_grad(), self.autocast_smart_context_manager():
                loss = self.compute_loss(model, inputs).detach().mean()
            labels = self._padded(nested_detach(inputs["labels"]))
        return loss, self._padded(ids), labels

    def _padded(self, ids_BT: Tensor) -> Tensor:
        """Filled up with the pad token to the longest length that generation may give, so that batches fit together."""
        config = self._unwrapped().generation_config
        longest = self._gen_kwargs.get("max_length") or (self._gen_kwargs.get("max_new_tokens") or 0) + 1
        if longest == 1:
            longest = config.max_new_tokens + 1 if config.max_new_tokens else config.max_length or 0
        return self._pad_tensors_to_max_len(ids_BT, longest) if ids_BT.shape[-1] < longest else ids_BT

    def _pad_tensors_to_max_len(self, tensor: Tensor, max_length: int) -> Tensor:
        pad = getattr(self.processing_class, "pad_token_id", None)
        if pad is None:
            pad = getattr(self.processing_class, "eos_token_id", None)
        if pad is None:
            pad = self._unwrapped().config.pad_token_id
        if pad is None:
            raise ValueError(
                "Generated texts differ in length and there is no pad token to fill them up with: set "
                "model.config.pad_token_id, or pass the tokenizer as processing_class."
            )
        wide = tensor.new_full((tensor.shape[0], max_length), pad)
        wide[:, : tensor.shape[-1]] = tensor
        return wide
