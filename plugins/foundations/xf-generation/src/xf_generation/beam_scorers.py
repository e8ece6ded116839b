"""Beam scorers: keep the finished texts of every row, pick what runs on (spec: internal/generation_utils.md).

They serve group beam search and own loops; `constrained_scorer` has the one that honours constraints.

Shapes: R rows of one call (batch times beams of the group), K candidates per text, T tokens so far. A "hypothesis" is a
finished text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .stopping import token_tensor

TokenIds = int | list[int] | Tensor | None


@dataclass
class Hypothesis:
    """A finished text: its score, tokens (T,), and the row of every generated token."""

    score: float
    tokens: Tensor
    beams: Tensor | None


class BeamHypotheses:
    """The best num_beams hypotheses of one row, worst first out."""

    def __init__(
        self, num_beams: int, length_penalty: float, early_stopping: bool | str, max_length: int | None = None
    ) -> None:
        if not isinstance(early_stopping, bool) and max_length is None:
            raise ValueError('early_stopping="never" needs max_length: the longest text that could still win.')
        self.num_beams, self.length_penalty, self.early_stopping = num_beams, length_penalty, early_stopping
        self.max_length = max_length
        self.beams: list[Hypothesis] = []

    def __len__(self) -> int:
        return len(self.beams)

    @property
    def worst_score(self) -> float:
        """The lowest score kept."""
        return min((found.score for found in self.beams), default=1e9)

    def add(self, hyp: Tensor, sum_logprobs: float, beam_indices: Any = None, generated_len: int | None = None) -> None:
        """Keep a text, if it is among the best; its score is sum_logprobs / length ** length_penalty."""
        length = generated_len if generated_len is not None else hyp.shape[-1]
        score = sum_logprobs / length**self.length_penalty
        if len(self) == self.num_beams and score <= self.worst_score:
            return
        self.beams.append(Hypothesis(score, hyp, beam_indices))
        if len(self) > self.num_beams:
            self.beams.remove(min(self.beams, key=lambda found: found.score))

    def is_done(self, best_sum_logprobs: float, cur_len: int, decoder_prompt_len: int = 0) -> bool:
        """Whether no running text, the best of which has best_sum_logprobs, is to be waited for."""
        if len(self) < self.num_beams:
            return False
        if self.early_stopping is True:
            return True
        length = cur_len - decoder_prompt_len
        if self.early_stopping == "never" and self.length_penalty > 0.0:
            assert self.max_length is not None
            if self.max_length <= decoder_prompt_len:
                raise ValueError(
                    f"max_length ({self.max_length}) is not longer than the prompt ({decoder_prompt_len})."
                )
            length = self.max_length - decoder_prompt_len
        return self.worst_score >= best_sum_logprobs / length**self.length_penalty


class BeamScorer(ABC):
    """Base of scorers."""

    @abstractmethod
    def process(
        self, input_ids: Tensor, next_scores: Tensor, next_tokens: Tensor, next_indices: Tensor, **kwargs: Any
    ) -> UserDict[str, Tensor]:
        """One step: input_ids (R, T), and per text the candidates next_scores, next_tokens, next_indices (batch, K).

        Returns next_beam_scores, next_beam_tokens, next_beam_indices (R,): what runs on, from which row.
        """

    @abstractmethod
    def finalize(
        self,
        input_ids: Tensor,
        final_beam_scores: Tensor,
        final_beam_tokens: Tensor,
        final_beam_indices: Tensor,
        max_length: int,
        **kwargs: Any,
    ) -> UserDict[str, Tensor]:
        """The end: returns sequences (returned, T), sequence_scores, beam_indices."""


class BeamSearchScorer(BeamScorer):
    """Plain beams, in num_beam_groups groups that finish apart.

    num_beam_hyps_to_keep: sequences returned per row. do_early_stopping: as GenerationConfig.early_stopping.
    """

    def __init__(
        self,
        batch_size: int,
        num_beams: int,
        device: torch.device | str,
        length_penalty: float = 1.0,
        do_early_stopping: bool | str = False,
        num_beam_hyps_to_keep: int = 1,
        num_beam_groups: int = 1,
        max_length: int | None = None,
    ) -> None:
        if not isinstance(num_beams, int) or num_beams <= 1:
            raise ValueError(
                f"num_beams must be an integer greater than 1, not {num_beams!r}; one beam is greedy search."
            )
        if not isinstance(num_beam_groups, int) or num_beam_groups < 1 or num_beams % num_beam_groups:
            raise ValueError(f"num_beam_groups must divide num_beams ({num_beams}), not {num_beam_groups!r}.")
        self.num_beams, self.num_beam_groups = num_beams, num_beam_groups
        self.group_size = num_beams // num_beam_groups
        self.device, self.length_penalty, self.do_early_stopping = device, length_penalty, do_early_stopping
        self.num_beam_hyps_to_keep = num_beam_hyps_to_keep
        count = batch_size * num_beam_groups
        self._beam_hyps = [
            BeamHypotheses(self.group_size, length_penalty, do_early_stopping, max_length) for _ in range(count)
        ]
        self._done = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def is_done(self) -> bool:
        """Whether every row has finished."""
        return bool(self._done.all())

    def process(
        self,
        input_ids: Tensor,
        next_scores: Tensor,
        next_tokens: Tensor,
        next_indices: Tensor,
        pad_token_id: int | Tensor | None = None,
        eos_token_id: TokenIds = None,
        beam_indices: Any = None,
        group_index: int = 0,
        decoder_prompt_len: int = 0,
        **kwargs: Any,
    ) -> UserDict[str, Tensor]:
        ends = _ends(eos_token_id)
        picked = _Picked(next_scores, self.group_size, pad_token_id)
        for text in range(self._texts(input_ids)):
            row = text * self.num_beam_groups + group_index
            if self._done[row]:
                picked.nothing(row_wanted=eos_token_id is not None and pad_token_id is not None)
                continue
            for rank, score, token, index in _candidates(next_scores[text], next_tokens[text], next_indices[text]):
                parent = text * self.group_size + index
                if token in ends:
                    if rank < self.group_size:
                        came_by = text * self.num_beams + group_index * self.group_size + index
                        self._keep(row, input_ids, parent, came_by, score, beam_indices, decoder_prompt_len)
                else:
                    picked.add(score, token, parent)
                if picked.full():
                    break
            picked.check(text, ends)
            self._note_done(row, next_scores[text], input_ids, decoder_prompt_len)
        return picked.result()

    def _texts(self, input_ids: Tensor) -> int:
        texts = len(self._beam_hyps) // self.num_beam_groups
        if input_ids.shape[0] != texts * self.group_size:
            raise ValueError(
                f"{texts} texts with {self.group_size} beams need {texts * self.group_size} rows in input_ids."
            )
        return texts

    def _keep(
        self, row: int, input_ids: Tensor, parent: int, came_by: int, score: float, beams: Any, prompt: int
    ) -> None:
        """Keep the text `parent` of the group, which is row came_by of the batch, as it ends now."""
        path = None if beams is None else (*_as_tuple(beams[parent]), came_by)
        length = input_ids.shape[-1] + 1 - prompt
        self._beam_hyps[row].add(input_ids[parent].clone(), score, path, generated_len=length)

    def _note_done(self, row: int, scores_K: Tensor, input_ids: Tensor, prompt: int) -> None:
        finished = self._beam_hyps[row].is_done(float(scores_K.max()), input_ids.shape[-1] + 1, prompt)
        self._done[row] = self._done[row] | finished

    def finalize(
        self,
        input_ids: Tensor,
        final_beam_scores: Tensor,
        final_beam_tokens: Tensor,
        final_beam_indices: Tensor,
        max_length: int,
        pad_token_id: int | Tensor | None = None,
        eos_token_id: TokenIds = None,
        beam_indices: Any = None,
        decoder_prompt_len: int = 0,
        **kwargs: Any,
    ) -> UserDict[str, Tensor]:
        for row, hypotheses in enumerate(self._beam_hyps):
            if not self._done[row]:
                self._take_running(row, hypotheses, input_ids, final_beam_scores, beam_indices, decoder_prompt_len)
        chosen = [found for texts in self._by_text() for found in _best(texts, self.num_beam_hyps_to_keep)]
        return _assemble(chosen, max_length, pad_token_id, eos_token_id, input_ids)

    def _take_running(
        self, row: int, hypotheses: BeamHypotheses, input_ids: Tensor, scores: Tensor, beams: Any, prompt: int
    ) -> None:
        """The texts that still ran count as they are."""
        for index in range(row * self.group_size, (row + 1) * self.group_size):
            came_by = None if beams is None else beams[index]
            tokens = input_ids[index]
            hypotheses.add(tokens, float(scores[index]), came_by, generated_len=tokens.shape[-1] - prompt)

    def _by_text(self) -> Iterator[list[Hypothesis]]:
        """All hypotheses of a text, over its groups."""
        for first in range(0, len(self._beam_hyps), self.num_beam_groups):
            groups = self._beam_hyps[first : first + self.num_beam_groups]
            yield [found for group in groups for found in group.beams]


class _Picked:
    """What runs on, collected over the texts of a step."""

    def __init__(self, like: Tensor, group_size: int, pad_token_id: int | Tensor | None) -> None:
        self.like, self.group_size = like, group_size
        self.pad = 0 if pad_token_id is None else int(pad_token_id)
        self.entries: list[list[tuple[float, int, int]]] = []
        self.current: list[tuple[float, int, int]] = []

    def add(self, score: float, token: int, parent: int) -> None:
        self.current.append((score, token, parent))

    def full(self) -> bool:
        return len(self.current) == self.group_size

    def check(self, text: int, ends: set[int]) -> None:
        if not self.full():
            raise ValueError(
                f"Only {len(self.current)} of {self.group_size} beams of text {text} can run on: give more "
                f"candidates than {len(ends)} end tokens can use up."
            )
        self.close()

    def close(self) -> None:
        self.entries.append(self.current)
        self.current = []

    def nothing(self, row_wanted: bool) -> None:
        """A text that is done: its beams run on with padding, at no score."""
        if not row_wanted:
            raise ValueError("A text ended, so eos_token_id and pad_token_id must be given: its rows are padded.")
        self.current = [(0.0, self.pad, 0)] * self.group_size
        self.close()

    def result(self) -> UserDict[str, Tensor]:
        scores, tokens, parents = zip(*(entry for text in self.entries for entry in text), strict=True)
        device = self.like.device
        return UserDict(
            {
                "next_beam_scores": torch.tensor(scores, dtype=self.like.dtype, device=device),
                "next_beam_tokens": torch.tensor(tokens, dtype=torch.long, device=device),
                "next_beam_indices": torch.tensor(parents, dtype=torch.long, device=device),
            }
        )


def _ends(eos_token_id: TokenIds) -> set[int]:
    return set() if eos_token_id is None else set(token_tensor(eos_token_id).tolist())


def _candidates(scores: Tensor, tokens: Tensor, indices: Tensor) -> Iterator[tuple[int, float, int, int]]:
    """(rank, score, token, index of the beam), best first."""
    yield from zip(range(len(scores)), scores.tolist(), tokens.tolist(), indices.tolist(), strict=True)


def _as_tuple(beams: Any) -> tuple[int, ...]:
    return tuple(beams.tolist()) if isinstance(beams, Tensor) else tuple(beams)


def _best(found: list[Hypothesis], count: int) -> list[Hypothesis]:
    """The `count` best; of equal ones the later comes first."""
    ranked = sorted(found, key=lambda hypothesis: hypothesis.score)
    return [ranked.pop() for _ in range(count)]


def _assemble(
    chosen: list[Hypothesis], max_length: int, pad: int | Tensor | None, eos: TokenIds, like: Tensor
) -> UserDict[str, Tensor]:
    """Sequences of one length: every text, its end token where there is room, padding."""
    lengths = [len(found.tokens) for found in chosen]
    width = max(lengths) + 1 if max_length is None else min(max(lengths) + 1, max_length)
    if min(lengths) != max(lengths) and pad is None:
        raise ValueError("The texts have different lengths, so pad_token_id must be given.")
    sequences = like.new_full((len(chosen), width), 0 if pad is None else int(pad))
    beams = like.new_full((len(chosen), width), -1)
    end = None if eos is None else int(token_tensor(eos)[0])
    for row, found in enumerate(chosen):
        sequences[row, : lengths[row]] = found.tokens
        if found.beams is not None:
            came_by = torch.tensor(_as_tuple(found.beams), dtype=torch.long, device=like.device)
            beams[row, : len(came_by)] = came_by
        if lengths[row] < width and end is not None:
            sequences[row, lengths[row]] = end
    scores = torch.tensor([found.score for found in chosen], dtype=torch.float32, device=like.device)
    return UserDict({"sequences": sequences, "sequence_scores": scores, "beam_indices": beams})
