"""DRY: penalise the token that would go on repeating a sequence, by the length of that sequence.

Source: the sampler's description in text-generation-webui, pull request 5677 (p-e-w, 2024).
Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor

LONGEST = 50  # repeated sequences count up to this length: base^50 is beyond any score, and the work stays bounded


class DRYLogitsProcessor(LogitsProcessor):
    """Subtracts multiplier * base^(length - allowed_length) from tokens that would repeat more than allowed_length.

    Raises: ValueError for settings that make no sense.
    """

    options: ClassVar[Mapping[str, Any]] = {
        "dry_multiplier": 0.0,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_sequence_breakers": (),
    }
    order: ClassVar[int] = 85  # among the penalties for repetition, before scores are cut or scaled

    def __init__(self, multiplier: float, base: float, allowed_length: int, sequence_breakers: Sequence[int]) -> None:
        if multiplier < 0:
            raise ValueError(f"dry_multiplier is {multiplier}; it must not be negative (0 turns it off).")
        if base < 1:
            raise ValueError(f"dry_base is {base}; it must be at least 1, or longer repetitions would cost less.")
        if allowed_length < 1:
            raise ValueError(f"dry_allowed_length is {allowed_length}; it must be at least 1.")
        self.multiplier, self.base, self.allowed_length = multiplier, base, allowed_length
        self.breakers = torch.tensor(list(sequence_breakers), dtype=torch.long)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> DRYLogitsProcessor | None:
        if not options["dry_multiplier"]:
            return None
        return cls(
            options["dry_multiplier"],
            options["dry_base"],
            options["dry_allowed_length"],
            options["dry_sequence_breakers"] or (),
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids (B, T), scores (B, V) to new scores (B, V)."""
        lengths_BT = self._lengths(input_ids)
        excess_BT = lengths_BT - self.allowed_length
        penalty_BT = torch.where(excess_BT >= 0, self.multiplier * self.base ** excess_BT.double(), 0.0)
        # position t holds the length of what ends at t; the token after it is the one that would go on
        penalty_BV = torch.zeros(scores.shape, dtype=torch.double, device=scores.device)
        penalty_BV.scatter_reduce_(1, input_ids[:, 1:], penalty_BT, "amax")
        return (scores.double() - penalty_BV).to(scores.dtype)

    def _lengths(self, input_ids: Tensor) -> Tensor:
        """(B, T - 1): how many tokens up to and with position t equal the last tokens of the row, at most LONGEST."""
        tokens = input_ids.shape[1]
        alive = torch.ones_like(input_ids[:, :-1], dtype=torch.bool)
        lengths = torch.zeros_like(input_ids[:, :-1])
        for back in range(min(LONGEST, tokens - 1)):
            wanted_B1 = input_ids[:, tokens - 1 - back].unsqueeze(1)
            alive = alive & ~torch.isin(wanted_B1, self.breakers.to(input_ids.device))
            same = torch.zeros_like(alive)
            same[:, back:] = input_ids[:, : tokens - 1 - back] == wanted_B1
            alive = alive & same
            if not bool(alive.any()):
                break
            lengths = lengths + alive
        return lengths
