"""The task zero-shot-classification: labels that the model never saw, told by entailment (Yin et al. 2019, 1909.00161).

Source: spec main_classes/pipelines.md. A model for natural language inference reads the text and "This example is
{label}."; what it thinks of the entailment is the label's score. Shapes: L candidate labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from xf import logging
from xf_pipelines.pipeline import ChunkPipeline

from .arguments import ZeroShotClassificationArgumentHandler

logger = logging.get_logger(__name__)


class ZeroShotClassificationPipeline(ChunkPipeline):
    """Classify texts among labels given in the call, with a model for natural language inference.

    The result of one text is {"sequence": text, "labels": [...], "scores": [...]}, best first.
    """

    task = "zero-shot-classification"
    auto_model_heads = ("sequence_classification",)
    loads = ("tokenizer",)
    default_model: ClassVar[str] = "facebook/bart-large-mnli@d7645e1"
    default_family = "bart"

    def __init__(
        self,
        *args: Any,
        args_parser: ZeroShotClassificationArgumentHandler | None = None,
        **kwargs: Any,
    ) -> None:
        self._args_parser = args_parser or ZeroShotClassificationArgumentHandler()
        super().__init__(*args, **kwargs)
        if self.entailment_id == -1:
            logger.warning(
                "No label of the model begins with 'entail', so the last one is taken for the entailment. Set label2id "
                "in the model's config."
            )

    @property
    def entailment_id(self) -> int:
        """The index of the label that says "follows", -1 where none is named so."""
        names = self.model.config.label2id.items()
        return next((int(i) for name, i in names if name.lower().startswith("entail")), -1)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """candidate_labels: a list, or a text with commas. hypothesis_template: with {} for the label. multi_label:
        labels are judged one by one (entailment against contradiction) instead of against each other."""
        if kwargs.pop("multi_class", None) is not None:
            raise ValueError("multi_class was renamed: use multi_label.")
        before: dict[str, Any] = {}
        if "candidate_labels" in kwargs:
            before["candidate_labels"] = self._args_parser._parse_labels(kwargs.pop("candidate_labels"))
        if "hypothesis_template" in kwargs:
            before["hypothesis_template"] = kwargs.pop("hypothesis_template")
        after = {"multi_label": kwargs.pop("multi_label")} if "multi_label" in kwargs else {}
        if kwargs:
            raise TypeError(f"{type(self).__name__} has no parameters {sorted(kwargs)}.")
        return before, {}, after

    def __call__(self, sequences: str | list[str], *args: Any, **kwargs: Any) -> Any:
        """Classify a text, or each text of a list; the labels may also be the second argument.

        Raises: ValueError without labels, or for a template without a place for them.
        """
        if len(args) == 1 and "candidate_labels" not in kwargs:
            kwargs["candidate_labels"] = args[0]
        elif args:
            raise ValueError(f"Arguments that have no meaning here: {args}.")
        return super().__call__(sequences, **kwargs)

    def preprocess(  # type: ignore[override]
        self, input_: Any, candidate_labels: list[str] | None = None, hypothesis_template: str = "This example is {}."
    ) -> Iterator[dict[str, Any]]:
        pairs, texts = self._args_parser(input_, candidate_labels or [], hypothesis_template)
        assert candidate_labels is not None
        for i, (label, pair) in enumerate(zip(candidate_labels, pairs, strict=False)):
            yield {
                "candidate_label": label,
                "sequence": texts[0],
                "is_last": i == len(candidate_labels) - 1,
                **self._tokenize(pair),
            }

    def _tokenize(self, pair: list[str]) -> Any:
        """A text and a hypothesis; only the text is cut where both are too long."""
        if self.tokenizer.pad_token is None:
            if self.tokenizer.eos_token is None:
                raise ValueError("The tokenizer has no pad_token, which batches need: set tokenizer.pad_token.")
            logger.warning_once("The tokenizer has no pad_token: its eos_token is used.")
            self.tokenizer.pad_token = self.tokenizer.eos_token
        options = {"add_special_tokens": True, "return_tensors": "pt"}
        try:
            return self.tokenizer([pair], padding=True, truncation="only_first", **options)
        except Exception as error:  # the text is shorter than what would have to be cut off: leave it whole
            if "too short" not in str(error):
                raise
            return self.tokenizer([pair], padding=True, truncation=False, **options)

    def _forward(self, input_tensors: dict[str, Any]) -> dict[str, Any]:
        kept = {name: input_tensors[name] for name in ("candidate_label", "sequence", "is_last")}
        inputs = {name: input_tensors[name] for name in self.tokenizer.model_input_names if name in input_tensors}
        if "use_cache" in inspect.signature(self.model.forward).parameters:
            inputs["use_cache"] = False
        return {**kept, **self.model(**inputs)}

    def postprocess(self, model_outputs: list[dict[str, Any]], multi_label: bool = False) -> dict[str, Any]:
        labels = [output["candidate_label"] for output in model_outputs]
        logits = np.concatenate([output["logits"].float().numpy() for output in model_outputs])  # (L, classes)
        entailment = self.entailment_id
        if multi_label or len(labels) == 1:
            contradiction = -1 if entailment == 0 else 0
            scores_L = _softmax(logits[:, [contradiction, entailment]])[:, 1]
        else:
            scores_L = _softmax(logits[:, entailment][None])[0]
        order = scores_L.argsort()[::-1]
        return {
            "sequence": model_outputs[0]["sequence"],
            "labels": [labels[i] for i in order],
            "scores": scores_L[order].tolist(),
        }


def _softmax(x: np.ndarray) -> np.ndarray:
    """Along the last dimension."""
    exponentials = np.exp(x)
    result: np.ndarray = exponentials / exponentials.sum(-1, keepdims=True)
    return result
