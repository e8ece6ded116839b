"""Constraints: what a text must contain (arXiv:1704.07138, arXiv:1804.06609), for constrained beam search.

A constraint is a small state machine over tokens: `advance` says which tokens would bring it forward, `update` feeds
one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any


class Constraint(ABC):
    """Base of constraints. A subclass sets `seqlen` (the most tokens it takes) and calls `super().__init__()` last."""

    seqlen: int

    def __init__(self) -> None:
        self.test()

    def test(self) -> None:
        """Feed the constraint what it asks for and see that it ends.

        Raises: ValueError if it contradicts itself or does not end within 10,000 tokens.
        """
        for _ in range(10_000):
            asked = self.advance()
            token = asked[0] if isinstance(asked, list) else asked
            if token is None or not self.does_advance(token):
                raise ValueError(f"{type(self).__name__}.advance returned {asked!r}, which does_advance refuses.")
            _, completed, went_back = self.update(token)
            if went_back:
                raise ValueError(f"{type(self).__name__}.update went back on {token!r}, which advance had returned.")
            if completed:
                if self.remaining() != 0:
                    raise ValueError(f"{type(self).__name__} is complete, but remaining() is {self.remaining()}.")
                self.reset()
                return
        raise ValueError(f"{type(self).__name__} takes more than 10,000 tokens.")

    @abstractmethod
    def advance(self) -> Any:
        """The token, or list of tokens, that would bring it forward; None once complete."""

    @abstractmethod
    def does_advance(self, token_id: int) -> bool:
        """Whether token_id would bring it forward."""

    @abstractmethod
    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        """Feed token_id: (went forward, complete, went back to the start)."""

    @abstractmethod
    def reset(self) -> None:
        """Back to the start."""

    @abstractmethod
    def remaining(self) -> int:
        """Tokens to go at most."""

    @abstractmethod
    def copy(self, stateful: bool = False) -> Constraint:
        """A fresh one of the same demand; at the same place if `stateful`."""


def _check_tokens(name: str, tokens: Any) -> None:
    if not isinstance(tokens, (list, tuple)) or not tokens:
        raise ValueError(f"{name} must be a list of token ids that is not empty, not {tokens!r}.")
    if any(isinstance(t, bool) or not isinstance(t, int) or t < 0 for t in tokens):
        raise ValueError(f"{name} must hold token ids of at least 0, not {tokens!r}.")


def _check_token(token_id: Any) -> None:
    if not isinstance(token_id, int):
        raise ValueError(f"A constraint is fed token ids (int), not {token_id!r} of type {type(token_id).__name__}.")


class PhrasalConstraint(Constraint):
    """The tokens token_ids, one after the other."""

    def __init__(self, token_ids: list[int]) -> None:
        _check_tokens("token_ids", token_ids)
        self.token_ids = list(token_ids)
        self.seqlen = len(self.token_ids)
        self.reset()
        super().__init__()

    def advance(self) -> int | None:
        return None if self.completed else self.token_ids[self.fulfilled_idx + 1]

    def does_advance(self, token_id: int) -> bool:
        _check_token(token_id)
        return not self.completed and token_id == self.token_ids[self.fulfilled_idx + 1]

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        if not self.does_advance(token_id):
            self.reset()
            return False, False, True
        self.fulfilled_idx += 1
        self.completed = self.fulfilled_idx == self.seqlen - 1
        return True, self.completed, False

    def reset(self) -> None:
        self.completed, self.fulfilled_idx = False, -1

    def remaining(self) -> int:
        return self.seqlen - (self.fulfilled_idx + 1)

    def copy(self, stateful: bool = False) -> PhrasalConstraint:
        twin = PhrasalConstraint(self.token_ids)
        if stateful:
            twin.fulfilled_idx, twin.completed = self.fulfilled_idx, self.completed
        return twin


class DisjunctiveConstraint(Constraint):
    """One of the token sequences nested_token_ids, none of which may begin another."""

    def __init__(self, nested_token_ids: list[list[int]]) -> None:
        if not isinstance(nested_token_ids, (list, tuple)) or not nested_token_ids:
            raise ValueError(f"nested_token_ids must be a list of lists that is not empty, not {nested_token_ids!r}.")
        for tokens in nested_token_ids:
            _check_tokens("each list of nested_token_ids", tokens)
        self.token_ids = [list(tokens) for tokens in nested_token_ids]
        self._followers: dict[tuple[int, ...], list[int]] = {}
        for tokens in self.token_ids:
            for end in range(len(tokens)):
                followers = self._followers.setdefault(tuple(tokens[:end]), [])
                if tokens[end] not in followers:
                    followers.append(tokens[end])
        if any(tuple(tokens) in self._followers for tokens in self.token_ids):
            raise ValueError(f"No list of nested_token_ids may be the beginning of another: {nested_token_ids!r}.")
        self.seqlen = max(len(tokens) for tokens in self.token_ids)
        self.reset()
        super().__init__()

    def advance(self) -> list[int] | None:
        return self._followers.get(tuple(self.current_seq)) or None

    def does_advance(self, token_id: int) -> bool:
        _check_token(token_id)
        return token_id in self._followers.get(tuple(self.current_seq), ())

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        if not self.does_advance(token_id):
            self.reset()
            return False, False, True
        self.current_seq.append(token_id)
        self.completed = tuple(self.current_seq) not in self._followers
        return True, self.completed, False

    def reset(self) -> None:
        self.completed = False
        self.current_seq: list[int] = []

    def remaining(self) -> int:
        return 0 if self.completed else self.seqlen - len(self.current_seq)

    def copy(self, stateful: bool = False) -> DisjunctiveConstraint:
        twin = DisjunctiveConstraint(self.token_ids)
        if stateful:
            twin.current_seq, twin.completed = list(self.current_seq), self.completed
        return twin


class ConstraintListState:
    """How far one text is with a list of constraints: complete ones, one in progress, the pending rest."""

    def __init__(self, constraints: list[Constraint]) -> None:
        self.constraints = constraints
        self.max_seqlen = max(constraint.seqlen for constraint in constraints)
        self.n_constraints = len(constraints)
        self.completed = False
        self.init_state()

    def init_state(self) -> None:
        """All pending."""
        self.complete_constraints: list[Constraint] = []
        self.inprogress_constraint: Constraint | None = None
        self.pending_constraints = [constraint.copy(stateful=False) for constraint in self.constraints]

    def get_bank(self) -> int:
        """The progress as one number: complete constraints count max_seqlen, one in progress its fulfilled tokens."""
        partly = self.inprogress_constraint
        done = 0 if partly is None else self.max_seqlen - partly.remaining()
        return len(self.complete_constraints) * self.max_seqlen + done

    def advance(self) -> list[int] | None:
        """Tokens that would bring it forward: of the constraint in progress, else of every pending one."""
        asked: list[int] = []
        for constraint in (
            self.pending_constraints if self.inprogress_constraint is None else [self.inprogress_constraint]
        ):
            tokens = constraint.advance()
            asked.extend(tokens if isinstance(tokens, list) else [] if tokens is None else [tokens])
        return asked or None

    def reset(self, token_ids: Iterable[int] | None) -> None:
        """Start again with the text token_ids."""
        self.completed = False
        self.init_state()
        for token in token_ids or ():
            self.add(token)
            if self.completed:
                break

    def add(self, token_id: int) -> tuple[bool, bool]:
        """Feed one token: (a constraint or all are complete by it, it brought one forward)."""
        _check_token(token_id)
        if self.completed:
            return True, False
        if self.inprogress_constraint is not None:
            return self._feed_current(self.inprogress_constraint, token_id)
        for index, constraint in enumerate(self.pending_constraints):
            if not constraint.does_advance(token_id):
                continue
            stepped, complete, went_back = constraint.update(token_id)
            if not stepped:
                raise ValueError(f"{type(constraint).__name__}.update({token_id}) did not go where does_advance said.")
            del self.pending_constraints[index]
            self.inprogress_constraint = constraint
            if complete:
                self._complete(constraint)
            elif went_back:
                self.pending_constraints.append(constraint)
                self.inprogress_constraint = None
            return complete, stepped
        return False, False

    def _feed_current(self, constraint: Constraint, token_id: int) -> tuple[bool, bool]:
        stepped, complete, went_back = constraint.update(token_id)
        if went_back:  # the phrase is broken: it may begin anew later, after the others
            self.pending_constraints.append(constraint.copy(stateful=False))
            self.inprogress_constraint = None
        if complete:
            self._complete(constraint)
        return complete, stepped

    def _complete(self, constraint: Constraint) -> None:
        self.complete_constraints.append(constraint)
        self.inprogress_constraint = None
        self.completed = not self.pending_constraints

    def copy(self, stateful: bool = True) -> ConstraintListState:
        """A fresh one; at the same place if `stateful` (the constraints in it are copies then)."""
        twin = ConstraintListState(self.constraints)
        if stateful:
            twin.complete_constraints = [constraint.copy(stateful=True) for constraint in self.complete_constraints]
            current = self.inprogress_constraint
            twin.inprogress_constraint = None if current is None else current.copy(stateful=True)
            twin.pending_constraints = [constraint.copy() for constraint in self.pending_constraints]
            twin.completed = self.completed
        return twin
