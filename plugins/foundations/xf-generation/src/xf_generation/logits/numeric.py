"""Processors that repair or normalise scores, and that push groups of beams apart.

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """NaN becomes 0, infinities the largest and smallest numbers of the dtype."""

    options = {"remove_invalid_values": False}
    order = 140

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        return cls() if options["remove_invalid_values"] else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        bounds = torch.finfo(scores.dtype)
        return scores.nan_to_num(nan=0.0, posinf=bounds.max, neginf=bounds.min)


class LogitNormalization(LogitsProcessor):
    """Scores become log probabilities again, after processors that broke that (for beam scores)."""

    options = {"renormalize_logits": False}
    order = 900

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        return cls() if options["renormalize_logits"] else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.log_softmax(dim=-1)


class HammingDiversityLogitsProcessor(LogitsProcessor):
    """Tokens that earlier groups of beams chose at this step lose diversity_penalty each time (arXiv:1610.02424)."""

    options = {"diversity_penalty": 0.0}
    order = 30

    def __init__(self, diversity_penalty: float, num_beams: int, num_beam_groups: int) -> None:
        if (
            isinstance(diversity_penalty, bool)
            or not isinstance(diversity_penalty, (int, float))
            or diversity_penalty <= 0
        ):
            raise ValueError(f"diversity_penalty must be a number greater than 0, not {diversity_penalty!r}.")
        if not isinstance(num_beams, int) or num_beams < 2:
            raise ValueError(f"num_beams must be an integer of at least 2, not {num_beams!r}.")
        if not isinstance(num_beam_groups, int) or not 2 <= num_beam_groups <= num_beams:
            raise ValueError(
                f"num_beam_groups must be an integer between 2 and num_beams ({num_beams}), not {num_beam_groups!r}."
            )
        self.diversity_penalty, self.num_beams, self.group_size = (
            diversity_penalty,
            num_beams,
            num_beams // num_beam_groups,
        )

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        config, value = context.generation_config, options["diversity_penalty"]
        if not value or value <= 0 or (config.num_beam_groups or 1) == 1:
            return None
        return cls(value, config.num_beams, config.num_beam_groups)

    def __call__(
        self,
        input_ids: Tensor,
        scores: Tensor,
        current_tokens: Tensor | None = None,
        beam_group_idx: int = 0,
    ) -> Tensor:
        """scores: (batch * group size, V) of the group beam_group_idx; current_tokens: (batch * num_beams,) chosen so
        far.
        """
        if beam_group_idx == 0 or current_tokens is None:
            return scores
        batch_size = current_tokens.shape[0] // self.num_beams
        earlier = current_tokens.reshape(batch_size, self.num_beams)[:, : beam_group_idx * self.group_size]
        counts = scores.new_zeros(batch_size, scores.shape[-1]).scatter_add_(
            1, earlier, torch.ones_like(earlier, dtype=scores.dtype)
        )
        rows = scores.shape[0] // batch_size
        return scores - self.diversity_penalty * counts.repeat_interleave(rows, dim=0)
