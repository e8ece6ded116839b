"""The task feature-extraction: the hidden states of a base model.

Source: spec main_classes/pipelines.md. Shapes: B batch (1), T tokens, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from xf_pipelines.pipeline import Pipeline


class FeatureExtractionPipeline(Pipeline):
    """Turn texts into the hidden states of a model without a head.

    A result is a nested list of numbers, [1, T, H] for each text, or the tensor with `return_tensors=True`.
    """

    task = "feature-extraction"
    auto_model_heads = ("base",)
    loads = ("tokenizer",)
    padding_side = "right"  # of batches: on the left it would move the positions of shorter texts
    # checkpoints with a head often have no pooler, and hidden states do not need it
    model_options: ClassVar[Mapping[str, Any]] = {"allow_missing": ("pooler.*", "*.pooler.*")}
    default_model: ClassVar[str] = "distilbert/distilbert-base-cased@6ea8117"
    default_family = "distilbert"

    def _sanitize_parameters(
        self,
        truncation: bool | str | None = None,
        tokenize_kwargs: dict[str, Any] | None = None,
        return_tensors: bool | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """tokenize_kwargs: arguments of the tokenizer; truncation: the older spelling of one of them; return_tensors:
        give tensors rather than lists."""
        if kwargs:
            raise TypeError(f"{self.task} does not know the parameters {', '.join(sorted(kwargs))}")
        tokenize = dict(tokenize_kwargs or {})
        if truncation is not None:
            if "truncation" in tokenize:
                raise ValueError("truncation is given twice: as a parameter and in tokenize_kwargs")
            tokenize["truncation"] = truncation
        return tokenize, {}, {} if return_tensors is None else {"return_tensors": return_tensors}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Vectors of a text or of several texts."""
        return super().__call__(*args, **kwargs)

    def preprocess(self, input_: Any, **tokenize_kwargs: Any) -> Any:
        inputs = self.tokenizer(input_, return_tensors="pt", **tokenize_kwargs)
        return {**inputs, "length": inputs["input_ids"].shape[1]}

    def _forward(self, input_tensors: Any) -> Any:
        inputs = dict(input_tensors)
        lengths = inputs.pop("length")
        hidden_BTH = self.model(**inputs)[0]
        return {"hidden_BTH": hidden_BTH, "length": lengths if isinstance(lengths, list) else [lengths]}

    def postprocess(self, model_outputs: Any, return_tensors: bool = False) -> Any:
        hidden_BTH, length = model_outputs["hidden_BTH"], model_outputs["length"]
        length = length[0] if isinstance(length, list) else length
        hidden_BTH = hidden_BTH[:, :length]  # what a batch added to a shorter text is no part of it
        return hidden_BTH if return_tensors else hidden_BTH.tolist()
