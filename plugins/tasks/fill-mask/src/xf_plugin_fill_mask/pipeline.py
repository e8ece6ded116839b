"""The task fill-mask: the likeliest tokens in place of each mask of a text.

Source: spec main_classes/pipelines.md and tasks/masked_language_modeling.md. Shapes: B batch (1), T tokens, M masks,
V vocabulary, K results.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from xf import logging
from xf_pipelines.pipeline import Pipeline, PipelineException

logger = logging.get_logger(__name__)


class FillMaskPipeline(Pipeline):
    """Fill the masks of texts with a masked language model.

    An input is a text with one mask (`tokenizer.mask_token`) or more. A result is a list, best first, of
    {"score": float, "token": int, "token_str": str, "sequence": str}; a text with several masks has such a list for
    each, in which the other masks are still open.
    """

    task = "fill-mask"
    auto_model_heads = ("masked_lm",)
    loads = ("tokenizer",)
    padding_side = "right"  # of batches: on the left it would move the positions of shorter texts
    default_model: ClassVar[str] = "distilbert/distilroberta-base@fb53ab8"
    default_family = "roberta"

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        targets: str | list[str] | None = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """top_k: how many results for each mask; targets: the tokens to choose among; tokenizer_kwargs: arguments of
        the tokenizer."""
        after: dict[str, Any] = {}
        if targets is not None:
            after["target_ids"] = self.get_target_ids(targets)
        if top_k is not None:
            if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0:
                raise ValueError(f"top_k must be a number of results, not {top_k!r}")
            after["top_k"] = top_k
        if self.tokenizer.mask_token_id is None:
            raise PipelineException(
                self.task, self.model.base_model_prefix, "The tokenizer does not define a `mask_token`."
            )
        return {} if tokenizer_kwargs is None else {"tokenizer_kwargs": tokenizer_kwargs}, {}, after

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Fill the masks; see the class for inputs and results. A list of one text gives the result of the text.

        Raises: PipelineException for a text without a mask; ValueError for targets that are none.
        """
        outputs = super().__call__(inputs, **kwargs)
        return outputs[0] if isinstance(inputs, list) and len(inputs) == 1 else outputs

    def get_masked_index(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Where the masks are in `input_ids`, as `torch.nonzero` gives it."""
        return torch.nonzero(input_ids == self.tokenizer.mask_token_id, as_tuple=False)

    def ensure_exactly_one_mask_token(self, model_inputs: Any) -> None:
        """PipelineException if a text has no mask; more than one is fine, whatever the name says."""
        if not bool((model_inputs["input_ids"] == self.tokenizer.mask_token_id).any(dim=-1).all()):
            message = f"No mask_token ({self.tokenizer.mask_token}) found on the input"
            raise PipelineException(self.task, self.model.base_model_prefix, message)

    def get_target_ids(self, targets: str | list[str], top_k: int | None = None) -> list[int]:
        """The ids of target words; of a word that is no single token the first token counts, with a warning.

        `top_k` is taken for the sake of older calls; it has no effect here.

        Raises: ValueError where no target is left.
        """
        words = [targets] if isinstance(targets, str) else targets
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"targets must be a word or a list of words, not {targets!r}")
        vocabulary = self.tokenizer.get_vocab()
        ids: dict[int, None] = {}
        for word in words:
            if word in vocabulary:
                ids[vocabulary[word]] = None
                continue
            pieces = self.tokenizer(word, add_special_tokens=False)["input_ids"]
            if not pieces:
                logger.warning(f"The target {word!r} has no token and is left out; no replacement was found.")
                continue
            token = self.tokenizer.convert_ids_to_tokens(pieces[0])
            logger.warning(f"The target {word!r} is no token of the vocabulary: {token!r} is taken instead.")
            ids[pieces[0]] = None
        if not ids:
            raise ValueError("At least one target must be provided when passed.")
        return list(ids)

    def preprocess(self, input_: Any, tokenizer_kwargs: dict[str, Any] | None = None) -> Any:
        inputs = self.tokenizer(input_, return_tensors="pt", **(tokenizer_kwargs or {}))
        self.ensure_exactly_one_mask_token(inputs)
        return inputs

    def _forward(self, input_tensors: Any) -> Any:
        outputs = self.model(**input_tensors)
        return {"logits": outputs["logits"], "input_ids": input_tensors["input_ids"]}

    def postprocess(self, model_outputs: Any, top_k: int = 5, target_ids: list[int] | None = None) -> Any:
        ids_T = model_outputs["input_ids"][0]
        places_M = self.get_masked_index(ids_T).squeeze(-1)
        probabilities_MV = model_outputs["logits"][0, places_M].float().softmax(dim=-1)
        if target_ids is not None:
            probabilities_MV = probabilities_MV[:, target_ids]
        scores_MK, choices_MK = probabilities_MV.topk(min(top_k, probabilities_MV.shape[-1]))
        results = []
        for place, scores_K, choices_K in zip(places_M.tolist(), scores_MK.tolist(), choices_MK.tolist(), strict=True):
            tokens_K = choices_K if target_ids is None else [target_ids[choice] for choice in choices_K]
            row = [
                self._result(ids_T.clone(), place, score, token, single=len(places_M) == 1)
                for score, token in zip(scores_K, tokens_K, strict=True)
            ]
            results.append(row)
        return results[0] if len(results) == 1 else results

    def _result(self, ids_T: torch.Tensor, place: int, score: float, token: int, single: bool) -> dict[str, Any]:
        ids_T[place] = token
        ids_T = ids_T[ids_T != self.tokenizer.pad_token_id]  # padding would be read as text
        sequence = self.tokenizer.decode(ids_T, skip_special_tokens=single)
        return {"score": score, "token": token, "token_str": self.tokenizer.decode([token]), "sequence": sequence}
