"""Checks of next-token scores, so that a broken model or an unmeetable constraint never yields a made-up token."""

from __future__ import annotations

import torch
from torch import Tensor


def check_scores(scores: Tensor) -> None:
    """Raises: ValueError if a row of scores (..., V) has NaN, infinity, or nothing that may be chosen."""
    best = scores.amax(dim=-1)  # NaN if there is one
    if not bool(best.isfinite().all()):
        explain_scores(scores)


def explain_scores(scores: Tensor) -> None:
    """Raises: ValueError that says which rows cannot be used and why."""
    rows = scores.reshape(-1, scores.shape[-1])
    for what, bad, advice in (
        (
            "NaN",
            rows.isnan().any(-1),
            "The model computed NaN: check dtype (float16 overflows on many models; use bfloat16 or float32), "
            "weights and attention mask. remove_invalid_values=True replaces NaN, which hides the cause.",
        ),
        (
            "infinite scores",
            rows.isposinf().any(-1),
            "Check dtype and weights; remove_invalid_values=True replaces them.",
        ),
        (
            "no token left to choose",
            rows.isneginf().all(-1),
            "Constraints (bad words, suppressed tokens, a prefix function, a grammar ...) forbid every token: "
            "loosen one.",
        ),
    ):
        if bool(bad.any()):
            raise ValueError(
                f"The next-token scores of rows {bad.nonzero().flatten().tolist()[:8]} have {what}. {advice}"
            )


def draw(probs_BV: Tensor, count: int, generators: list[torch.Generator] | None, scores: Tensor) -> Tensor:
    """`count` different tokens per row at random, (B, count); `scores` are what the probabilities were made from.

    generators: None for the global random state, one for all rows, or one per row.
    Raises: ValueError for scores that give no distribution, or fewer than `count` tokens with a chance.
    """
    try:
        if generators is None or len(generators) == 1:
            return torch.multinomial(probs_BV, count, generator=generators[0] if generators else None)
        return torch.stack(
            [torch.multinomial(p, count, generator=g) for p, g in zip(probs_BV, generators, strict=True)]
        )
    except RuntimeError as error:
        explain_scores(scores)
        drawable = int((probs_BV > 0).sum(-1).min())
        raise ValueError(
            f"{count} different tokens are to be drawn, but only {drawable} have a chance: loosen top_k, top_p or "
            "min_p, or lower num_beams."
        ) from error
