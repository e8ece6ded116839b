"""The task text-classification (alias sentiment-analysis): labels and scores for texts or pairs of texts.

Source: spec main_classes/pipelines.md and tasks/sequence_classification.md. Shapes: B batch, L labels.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf import logging
from xf.utils import ExplicitEnum
from xf_pipelines.pipeline import Pipeline

logger = logging.get_logger(__name__)
_UNSET = object()


class ClassificationFunction(ExplicitEnum):
    """What turns logits into scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"


class TextClassificationPipeline(Pipeline):
    """Classify texts with a sequence classification model.

    An input is a text, a pair {"text": ..., "text_pair": ...}, or the older [[[text, text_pair]]]. A result is
    {"label": str, "score": float}; with top_k, a list of them, best first. A single text without top_k in the call
    gives a list of one result.
    """

    task = "text-classification"
    auto_model_heads = ("sequence_classification",)
    loads = ("tokenizer",)
    default_model: ClassVar[str] = "distilbert/distilbert-base-uncased-finetuned-sst-2-english@714eb0f"
    default_family = "distilbert"
    function_to_apply: ClassificationFunction | str | None = ClassificationFunction.NONE
    return_all_scores: bool = False

    def _sanitize_parameters(
        self,
        return_all_scores: bool | None = None,
        function_to_apply: ClassificationFunction | str | None = None,
        top_k: Any = _UNSET,
        **tokenizer_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """top_k: how many labels (None for all); return_all_scores: the older spelling of top_k=None;
        function_to_apply: "sigmoid", "softmax" or "none". What is left goes to the tokenizer."""
        after: dict[str, Any] = {}
        if hasattr(self.model.config, "return_all_scores") and return_all_scores is None:
            return_all_scores = self.model.config.return_all_scores
        if top_k is not _UNSET:
            if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int)):
                raise ValueError(f"top_k must be an integer, or None for all labels; it is {top_k!r}.")
            after["top_k"], after["legacy"] = top_k, False
        elif return_all_scores is not None:
            logger.warning_once("return_all_scores is deprecated: use top_k=None (for True) or top_k=1 (for False).")
            after["top_k"] = None if return_all_scores else 1
        if function_to_apply is not None:
            after["function_to_apply"] = ClassificationFunction(
                function_to_apply.lower() if isinstance(function_to_apply, str) else function_to_apply
            )
        return tokenizer_kwargs, {}, after

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Classify; see the class for inputs and results.

        Raises: ValueError for inputs that are neither texts nor pairs, or an unknown function or top_k.
        """
        result = super().__call__(inputs, **kwargs)
        return [result] if isinstance(inputs, str) and "top_k" not in kwargs else result

    def preprocess(self, input_: Any, **tokenizer_kwargs: Any) -> Any:
        if isinstance(input_, dict):
            return self.tokenizer(**input_, return_tensors="pt", **tokenizer_kwargs)
        if _is_one_pair([input_]):
            return self.tokenizer(text=input_[0][0], text_pair=input_[0][1], return_tensors="pt", **tokenizer_kwargs)
        if isinstance(input_, (list, tuple)):
            raise ValueError(
                f"This input is a {type(input_).__name__}: a pair of texts is given as a dictionary "
                '{"text": "My text", "text_pair": "My pair"}.'
            )
        return self.tokenizer(input_, return_tensors="pt", **tokenizer_kwargs)

    def _forward(self, input_tensors: Any) -> Any:
        parameters = inspect.signature(self.model.forward).parameters
        return self.model(**input_tensors, **({"use_cache": False} if "use_cache" in parameters else {}))

    def postprocess(
        self,
        model_outputs: Any,
        function_to_apply: ClassificationFunction | None = None,
        top_k: int | None = 1,
        legacy: bool = True,
    ) -> Any:
        logits_L = model_outputs["logits"][0].float()
        scores_L = _apply(function_to_apply or self._default_function(), logits_L)
        names = self.model.config.id2label
        if top_k == 1 and legacy:
            best = int(scores_L.argmax())
            return {"label": names[best], "score": float(scores_L[best])}
        results = [{"label": names[i], "score": score} for i, score in enumerate(scores_L.tolist())]
        if not legacy:
            results.sort(key=lambda result: result["score"], reverse=True)
            results = results[:top_k]
        return results

    def _default_function(self) -> ClassificationFunction:
        """By the model's problem type, then its number of labels, unless its config names a function."""
        config = self.model.config
        if config.problem_type == "regression":
            return ClassificationFunction.NONE
        if config.problem_type == "multi_label_classification" or config.num_labels == 1:
            return ClassificationFunction.SIGMOID
        if config.problem_type == "single_label_classification" or config.num_labels > 1:
            return ClassificationFunction.SOFTMAX
        return ClassificationFunction(getattr(config, "function_to_apply", None) or self.function_to_apply)


def _is_one_pair(inputs: Any) -> bool:
    """Whether it is [[text, text_pair]], the older spelling of a pair."""
    return (
        isinstance(inputs, list)
        and len(inputs) == 1
        and isinstance(inputs[0], list)
        and len(inputs[0]) == 1
        and isinstance(inputs[0][0], (list, tuple))
        and len(inputs[0][0]) == 2
    )


def _apply(function: ClassificationFunction, logits_L: Tensor) -> Tensor:
    if function == ClassificationFunction.SIGMOID:
        return torch.sigmoid(logits_L)
    if function == ClassificationFunction.SOFTMAX:
        return torch.softmax(logits_L, dim=-1)
    return logits_L
