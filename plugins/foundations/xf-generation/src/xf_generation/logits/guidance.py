"""Classifier-free guidance: away from what the model would say without the prompt (arXiv:2306.17806, arXiv:2306.05284).

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.cache import DynamicCache
from xf.interfaces.logits import LogitsContext, LogitsProcessor


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """For models that run both halves in one batch: scores (2 B, V), first with the condition, then without."""

    def __init__(self, guidance_scale: float) -> None:
        if not guidance_scale > 1:
            raise ValueError(f"guidance_scale must be greater than 1, not {guidance_scale!r}: 1 is no guidance.")
        self.guidance_scale = guidance_scale

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if scores.shape[0] != 2 * input_ids.shape[0]:
            raise ValueError(
                f"Guidance needs scores with and without the condition: {2 * input_ids.shape[0]} rows for "
                f"{input_ids.shape[0]} texts, not {scores.shape[0]}."
            )
        with_BV, without_BV = scores.chunk(2, dim=0)
        return without_BV + (with_BV - without_BV) * self.guidance_scale


class UnbatchedClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Runs the model a second time per step, on unconditional_ids (default: the prompt's last token) and the answer.

    guidance_scale > 1 moves towards the prompt, < 1 away from it. unconditional_ids: (B, U), the negative prompt;
    unconditional_attention_mask: (B, U).
    """

    options = {"guidance_scale": None}
    order = 10
    follows_text = True  # its own cache grows with every call

    def __init__(
        self,
        guidance_scale: float,
        model: Any,
        unconditional_ids: Tensor | None = None,
        unconditional_attention_mask: Tensor | None = None,
        use_cache: bool | None = True,
    ) -> None:
        self.guidance_scale, self.model, self.use_cache = guidance_scale, model, use_cache
        self._ids, self._mask = unconditional_ids, unconditional_attention_mask
        self._cache: Any = None
        self._begun = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        scale = options["guidance_scale"]
        if scale is None or scale == 1:
            return None
        return cls(
            scale,
            context.model,
            context.extra.get("negative_prompt_ids"),
            context.extra.get("negative_prompt_attention_mask"),
            context.generation_config.use_cache,
        )

    def get_unconditional_logits(self, input_ids: Tensor) -> Tensor:
        """(B, U, V) of the text without the prompt, its last position being that of the next token."""
        if not self._begun:
            self._begun = True
            if self._ids is None:
                self._ids = input_ids[:, -1:]
            if self._mask is None:
                self._mask = torch.ones_like(self._ids)
            self._ids, self._mask = self._per_row(self._ids, input_ids), self._per_row(self._mask, input_ids)
            self._cache = DynamicCache() if self.use_cache else None
            fed = self._ids
        else:
            assert self._ids is not None and self._mask is not None
            last = input_ids[:, -1:]
            self._mask = torch.cat([self._mask, torch.ones_like(last)], dim=1)
            self._ids = torch.cat([self._ids, last], dim=1)
            fed = last if self.use_cache else self._ids
        out = self.model(fed, attention_mask=self._mask, use_cache=bool(self.use_cache), past_key_values=self._cache)
        self._cache = out.get("past_key_values", None) if self.use_cache else None
        logits: Tensor = out.logits
        return logits

    @staticmethod
    def _per_row(ids: Tensor, input_ids: Tensor) -> Tensor:
        return ids.repeat_interleave(input_ids.shape[0] // ids.shape[0], dim=0) if len(ids) != len(input_ids) else ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        with_BV = scores.log_softmax(dim=-1)
        if self.guidance_scale == 1:
            return with_BV
        without_BV = self.get_unconditional_logits(input_ids)[:, -1].log_softmax(dim=-1)
        return self.guidance_scale * (with_BV - without_BV) + without_BV
