"""The scorer of constrained beam search (arXiv:1704.07138; banks: arXiv:1804.06609).

A text may end only when it meets all constraints. At every step the candidates are joined by the tokens that would
bring a constraint forward, all are sorted into banks by their progress, and beams are taken from the banks in turn, the
furthest bank first.

Shapes: N beams, K candidates per text, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .beam_scorers import BeamHypotheses, BeamScorer, TokenIds, _assemble, _best, _candidates, _ends
from .constraints import Constraint, ConstraintListState, DisjunctiveConstraint

_BANK_STEP = 100.0  # lifts a bank above all differences of log probabilities within one


@dataclass
class Continuation:
    """A text one token longer: the row it continues, the token, the sum of log probabilities, its progress."""

    row: int
    token: int
    score: float
    bank: int


class ConstrainedBeamSearchScorer(BeamScorer):
    """Beams that meet `constraints`; other arguments as `BeamSearchScorer` (without groups)."""

    def __init__(
        self,
        batch_size: int,
        num_beams: int,
        constraints: list[Constraint],
        device: torch.device | str,
        length_penalty: float = 1.0,
        do_early_stopping: bool | str = False,
        num_beam_hyps_to_keep: int = 1,
        num_beam_groups: int = 1,
        max_length: int | None = None,
    ) -> None:
        if not isinstance(num_beams, int) or num_beams <= 1:
            raise ValueError(f"num_beams must be an integer greater than 1, not {num_beams!r}.")
        if num_beam_groups != 1:
            raise ValueError("Constrained beam search has no groups: num_beam_groups must be 1.")
        if not constraints or not all(isinstance(constraint, Constraint) for constraint in constraints):
            raise ValueError(
                f"constraints must be a list of Constraint objects that is not empty, not {constraints!r}."
            )
        self.num_beams, self.constraints, self.device = num_beams, constraints, device
        self.length_penalty, self.do_early_stopping = length_penalty, do_early_stopping
        self.num_beam_hyps_to_keep = num_beam_hyps_to_keep
        self._beam_hyps = [
            BeamHypotheses(num_beams, length_penalty, do_early_stopping, max_length) for _ in range(batch_size)
        ]
        self._done = torch.zeros(batch_size, dtype=torch.bool, device=device)

    @property
    def is_done(self) -> bool:
        """Whether every text has finished."""
        return bool(self._done.all())

    def make_constraint_states(self, n: int) -> list[ConstraintListState]:
        """n fresh states of all constraints."""
        return [ConstraintListState([constraint.copy() for constraint in self.constraints]) for _ in range(n)]

    def state_of(self, sequence: list[int]) -> ConstraintListState:
        """How far a text is."""
        state = self.make_constraint_states(1)[0]
        state.reset(sequence)
        return state

    def check_completes_constraints(self, sequence: list[int]) -> bool:
        """Whether a text meets all constraints."""
        return self.state_of(sequence).completed

    def process(
        self,
        input_ids: Tensor,
        next_scores: Tensor,
        next_tokens: Tensor,
        next_indices: Tensor,
        scores_for_all_vocab: Tensor | None = None,
        pad_token_id: int | Tensor | None = None,
        eos_token_id: TokenIds = None,
        beam_indices: Any = None,
        decoder_prompt_len: int = 0,
        **kwargs: Any,
    ) -> UserDict[str, Tensor]:
        """As `BeamScorer.process`; scores_for_all_vocab (batch N, V): the sums of log probabilities of all tokens."""
        if scores_for_all_vocab is None:
            raise ValueError("Constraints look at every token: give scores_for_all_vocab.")
        ends, picked = _ends(eos_token_id), []
        pad = 0 if pad_token_id is None else int(pad_token_id)
        for text, hypotheses in enumerate(self._beam_hyps):
            if self._done[text]:
                picked += [Continuation(0, pad, 0.0, 0)] * self.num_beams
                continue
            running: list[Continuation] = []
            for rank, score, token, index in _candidates(next_scores[text], next_tokens[text], next_indices[text]):
                row = text * self.num_beams + index
                if token in ends:
                    if rank < self.num_beams and self.check_completes_constraints(input_ids[row].tolist()):
                        came_by = None if beam_indices is None else (*beam_indices[row], row)
                        length = input_ids.shape[-1] + 1 - decoder_prompt_len
                        hypotheses.add(input_ids[row].clone(), score, came_by, generated_len=length)
                else:
                    running.append(Continuation(row, token, score, 0))
                if len(running) == self.num_beams:
                    break
            running = self._by_banks(text, input_ids, scores_for_all_vocab, running)
            if len(running) < self.num_beams:
                raise ValueError(f"Only {len(running)} of {self.num_beams} beams of text {text} can run on.")
            picked += running
            best, length = float(next_scores[text].max()), input_ids.shape[-1] + 1
            self._done[text] = self._done[text] | hypotheses.is_done(best, length, decoder_prompt_len)
        return _as_result(picked, next_scores)

    def _by_banks(
        self, text: int, input_ids: Tensor, all_scores: Tensor, running: list[Continuation]
    ) -> list[Continuation]:
        """The beams that run on: `running` and the steps towards constraints, from the banks in turn."""
        added = self._steps_forward(text, input_ids, all_scores, running)
        if not added:
            return running
        for item, sequence in zip(running, self._sequences(input_ids, running), strict=True):
            item.bank = self.state_of(sequence).get_bank()
        pool = running + added
        ranks = torch.tensor([item.bank * _BANK_STEP for item in pool], dtype=torch.float32)
        ranks = ranks + torch.tensor([item.score for item in pool], dtype=torch.float32)
        order = ranks.sort(descending=True).indices.tolist()
        turns, turn = [], -1  # the place within its bank: all first ones come before all second ones
        for place, index in enumerate(order):
            same = place > 0 and pool[index].bank == pool[order[place - 1]].bank
            turn = turn + 1 if same else 0
            turns.append(turn)
        by_turn = sorted(range(len(order)), key=lambda place: turns[place])
        return [pool[order[place]] for place in by_turn[: len(running)]]

    @staticmethod
    def _sequences(input_ids: Tensor, items: list[Continuation]) -> list[list[int]]:
        return [[*input_ids[item.row].tolist(), item.token] for item in items]

    def _steps_forward(
        self, text: int, input_ids: Tensor, all_scores: Tensor, running: list[Continuation]
    ) -> list[Continuation]:
        """Every way in which a beam of the text could bring a constraint forward and that is not among `running`."""
        known = {tuple(sequence) for sequence in self._sequences(input_ids, running)}
        added = []
        for row in range(text * self.num_beams, (text + 1) * self.num_beams):
            sequence = input_ids[row].tolist()
            state = self.state_of(sequence)
            asked = [] if state.completed else state.advance() or []
            for token, bank in zip(asked, _banks_after(state, asked), strict=True):
                if (*sequence, token) not in known:
                    known.add((*sequence, token))
                    added.append(Continuation(row, token, float(all_scores[row, token]), bank))
        return added

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
        for text, hypotheses in enumerate(self._beam_hyps):
            if self._done[text]:
                continue
            rows = range(text * self.num_beams, (text + 1) * self.num_beams)
            meeting = [row for row in rows if self.check_completes_constraints(input_ids[row].tolist())]
            enough = len(meeting) >= self.num_beam_hyps_to_keep
            others = [] if enough else [row for row in rows if row not in meeting]  # texts that ran out of room
            for row in meeting + others:
                came_by = None if beam_indices is None else beam_indices[row]
                length = input_ids.shape[-1] - decoder_prompt_len
                hypotheses.add(input_ids[row], float(final_beam_scores[row]), came_by, generated_len=length)
        chosen = [
            found for hypotheses in self._beam_hyps for found in _best(hypotheses.beams, self.num_beam_hyps_to_keep)
        ]
        return _assemble(chosen, max_length, pad_token_id, eos_token_id, input_ids)


def _banks_after(state: ConstraintListState, tokens: list[int]) -> list[int]:
    """The banks of a text that goes on with each of `tokens`.

    Where a DisjunctiveConstraint in progress can go on in several ways, published results count the steps of all ways
    together. Only the ranking follows that; what a text must contain in the end does not.
    """
    current = state.inprogress_constraint
    states = []
    for token in tokens:
        after = state.copy(stateful=True)
        if isinstance(current, DisjunctiveConstraint):
            assert isinstance(after.inprogress_constraint, DisjunctiveConstraint)
            after.inprogress_constraint.current_seq = current.current_seq  # one list that all ways add to
        after.add(token)
        states.append(after)
    return [after.get_bank() for after in states]


def _as_result(picked: list[Continuation], like: Tensor) -> UserDict[str, Tensor]:
    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([getattr(item, name) for item in picked], dtype=dtype, device=like.device)

    return UserDict(
        {
            "next_beam_scores": column("score", like.dtype),
            "next_beam_tokens": column("token", torch.long),
            "next_beam_indices": column("row", torch.long),
        }
    )
