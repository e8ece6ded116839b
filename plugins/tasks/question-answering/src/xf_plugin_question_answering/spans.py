"""The likeliest spans of one window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MASKED = -10000.0  # the logit of tokens that cannot begin or end an answer
EXTRA = 10  # spans beyond twice top_k that are looked at


@dataclass(frozen=True)
class Span:
    """Tokens start to end, both inclusive, and the product of their probabilities."""

    start: int
    end: int
    score: float


def scores_of(
    start_T: np.ndarray, end_T: np.ndarray, p_mask_T: np.ndarray, attention_T: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of each token as first and as last of the answer; p_mask is True where none can be."""
    allowed = ~p_mask_T
    if attention_T is not None:
        allowed = allowed & attention_T.astype(bool)
    results = []
    for logits in (start_T, end_T):
        kept = np.where(allowed, logits, MASKED)
        exponentials = np.exp(kept - kept.max())
        results.append(exponentials / exponentials.sum())
    return results[0], results[1]


def best_spans(
    start_T: np.ndarray, end_T: np.ndarray, p_mask_T: np.ndarray, count: int, max_answer_len: int
) -> list[Span]:
    """Of the `count` likeliest spans of at most max_answer_len tokens those within the context, best first."""
    products_TT = np.triu(np.outer(start_T, end_T))
    products_TT = np.tril(products_TT, max_answer_len - 1)
    flat = products_TT.ravel()
    count = min(count, len(flat))
    least = np.partition(flat, len(flat) - count)[len(flat) - count]
    candidates = np.flatnonzero(flat >= least)  # of equal ones the first in the text, on every machine
    likeliest = candidates[np.argsort(-flat[candidates], kind="stable")][:count]
    starts, ends = np.unravel_index(likeliest, products_TT.shape)
    inside = np.flatnonzero(~p_mask_T)
    kept = np.isin(starts, inside) & np.isin(ends, inside)
    pairs = zip(starts[kept], ends[kept], strict=True)
    return [Span(int(s), int(e), float(products_TT[s, e])) for s, e in pairs]
