"""Warpers: reshape the distribution that sampling draws from. They act only with do_sample=True.

filter_value is the score of tokens that cannot be drawn; min_tokens_to_keep many of the likeliest can always be.
Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor


def _keep(context: LogitsContext) -> int:
    """Tokens that must stay drawable: with beams enough for one that goes on beside every end token."""
    config = context.generation_config
    if (config.num_beams or 1) <= 1:
        return 1
    ends = config.eos_token_id
    return (len(ends) if isinstance(ends, (list, tuple)) else 1) + 1


def _sampling(context: LogitsContext) -> bool:
    return bool(context.generation_config.do_sample)


def _check_keep(min_tokens_to_keep: int) -> int:
    if isinstance(min_tokens_to_keep, bool) or not isinstance(min_tokens_to_keep, int) or min_tokens_to_keep < 1:
        raise ValueError(f"min_tokens_to_keep must be a positive integer, not {min_tokens_to_keep!r}.")
    return min_tokens_to_keep


def _fraction(name: str, value: Any, lower: float = 0.0, inclusive: bool = True) -> float:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not ((lower <= number <= 1.0) if inclusive else (lower < number < 1.0)):
        bounds = "between 0 and 1" if inclusive else "greater than 0 and less than 1"
        raise ValueError(f"{name} must be a number {bounds}, not {value!r}.")
    return number


def _below_top(scores_BV: Tensor, count: int) -> Tensor:
    """Bool (B, V): less than the count-th largest score of the row."""
    count = min(count, scores_BV.shape[-1])
    return scores_BV < scores_BV.topk(count)[0][..., -1, None]


class TemperatureLogitsWarper(LogitsProcessor):
    """Divide scores by the temperature: below 1 sharper, above 1 flatter."""

    options = {"temperature": 1.0}
    order = 300

    def __init__(self, temperature: float) -> None:
        if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not temperature > 0:
            hint = " For greedy decoding set do_sample=False." if temperature == 0 else ""
            raise ValueError(f"temperature must be a number greater than 0, not {temperature!r}.{hint}")
        self.temperature = temperature

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["temperature"]
        return cls(value) if _sampling(context) and value is not None and value != 1.0 else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores / self.temperature


class TopKLogitsWarper(LogitsProcessor):
    """Keep the top_k likeliest tokens (arXiv:1805.04833)."""

    options = {"top_k": 50}
    order = 310

    def __init__(self, top_k: int, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
            raise ValueError(f"top_k must be a positive integer, not {top_k!r} (0 turns it off in generate).")
        self.top_k, self.filter_value = max(top_k, min_tokens_to_keep), filter_value

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["top_k"]
        return cls(value, min_tokens_to_keep=_keep(context)) if _sampling(context) and value not in (None, 0) else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.masked_fill(_below_top(scores, self.top_k), self.filter_value)


class TopPLogitsWarper(LogitsProcessor):
    """Keep the fewest likeliest tokens whose probabilities reach top_p (nucleus sampling, arXiv:1904.09751)."""

    options = {"top_p": 1.0}
    order = 320

    def __init__(self, top_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.top_p = _fraction("top_p", top_p)
        self.filter_value, self.min_tokens_to_keep = filter_value, _check_keep(min_tokens_to_keep)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["top_p"]
        return (
            cls(value, min_tokens_to_keep=_keep(context)) if _sampling(context) and value not in (None, 1.0) else None
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ascending_BV, order_BV = torch.sort(scores, descending=False)
        tail_BV = ascending_BV.softmax(dim=-1).cumsum(dim=-1)
        drop_BV = tail_BV <= (1 - self.top_p)
        drop_BV[..., -self.min_tokens_to_keep :] = False
        return scores.masked_fill(drop_BV.scatter(1, order_BV, drop_BV), self.filter_value)


class MinPLogitsWarper(LogitsProcessor):
    """Keep tokens at least min_p times as likely as the likeliest one (arXiv:2407.01082)."""

    options = {"min_p": None}
    order = 330

    def __init__(self, min_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.min_p = _fraction("min_p", min_p)
        self.filter_value, self.min_tokens_to_keep = filter_value, _check_keep(min_tokens_to_keep)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["min_p"]
        return cls(value, min_tokens_to_keep=_keep(context)) if _sampling(context) and value is not None else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        probs_BV = scores.softmax(dim=-1)
        drop_BV = probs_BV < self.min_p * probs_BV.amax(dim=-1, keepdim=True)
        order_BV = torch.argsort(scores, descending=True, dim=-1)
        first = order_BV[..., : self.min_tokens_to_keep]
        return scores.masked_fill(drop_BV.scatter(-1, first, False), self.filter_value)


class TypicalLogitsWarper(LogitsProcessor):
    """Keep the tokens whose information is closest to the entropy, up to probability `mass` (arXiv:2202.00666)."""

    options = {"typical_p": 1.0}
    order = 340

    def __init__(self, mass: float = 0.9, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.mass = _fraction("typical_p", mass, inclusive=False)
        self.filter_value, self.min_tokens_to_keep = filter_value, _check_keep(min_tokens_to_keep)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["typical_p"]
        return (
            cls(value, min_tokens_to_keep=_keep(context)) if _sampling(context) and value not in (None, 1.0) else None
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        log_probs_BV = scores.log_softmax(dim=-1)
        probs_BV = log_probs_BV.exp()
        entropy_B1 = -(log_probs_BV * probs_BV).nansum(-1, keepdim=True)
        surprise_BV = (-log_probs_BV - entropy_B1).abs()
        sorted_BV, order_BV = torch.sort(surprise_BV, descending=False)
        reached_BV = scores.gather(-1, order_BV).softmax(dim=-1).cumsum(dim=-1)
        last_B = (reached_BV < self.mass).sum(dim=1).clamp(max=sorted_BV.shape[-1] - 1)
        drop_BV = sorted_BV > sorted_BV.gather(1, last_B[:, None])
        drop_BV[..., : self.min_tokens_to_keep] = False
        return scores.masked_fill(drop_BV.scatter(1, order_BV, drop_BV), self.filter_value)


class EpsilonLogitsWarper(LogitsProcessor):
    """Keep tokens with a probability of at least epsilon (arXiv:2210.15191)."""

    options = {"epsilon_cutoff": 0.0}
    order = 350

    def __init__(self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.epsilon = _fraction("epsilon_cutoff", epsilon, inclusive=False)
        self.filter_value, self.min_tokens_to_keep = filter_value, _check_keep(min_tokens_to_keep)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["epsilon_cutoff"]
        return cls(value, min_tokens_to_keep=_keep(context)) if _sampling(context) and value not in (None, 0) else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        drop_BV = (scores.softmax(dim=-1) < self.epsilon) & _below_top(scores, self.min_tokens_to_keep)
        return scores.masked_fill(drop_BV, self.filter_value)


class EtaLogitsWarper(LogitsProcessor):
    """Keep tokens at least as likely as eta = min(epsilon, sqrt(epsilon) exp(-entropy)) (arXiv:2210.15191)."""

    options = {"eta_cutoff": 0.0}
    order = 360

    def __init__(
        self,
        epsilon: float,
        filter_value: float = -math.inf,
        min_tokens_to_keep: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        self.epsilon = torch.tensor(_fraction("eta_cutoff", epsilon, inclusive=False), device=device)
        self.filter_value, self.min_tokens_to_keep = filter_value, _check_keep(min_tokens_to_keep)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        value = options["eta_cutoff"]
        if not _sampling(context) or value in (None, 0):
            return None
        return cls(value, min_tokens_to_keep=_keep(context), device=context.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        log_probs_BV = scores.log_softmax(dim=-1)
        probs_BV = log_probs_BV.exp()
        # a token that cannot be drawn (log probability -inf) adds nothing to the entropy: 0 * log 0 = 0
        entropy_B = -(probs_BV * log_probs_BV.clamp(min=torch.finfo(scores.dtype).min)).sum(dim=-1)
        epsilon = self.epsilon.to(scores.device)
        eta_B1 = torch.minimum(epsilon, epsilon.sqrt() * torch.exp(-entropy_B))[..., None]
        drop_BV = (probs_BV < eta_B1) & _below_top(scores, self.min_tokens_to_keep)
        return scores.masked_fill(drop_BV, self.filter_value)
