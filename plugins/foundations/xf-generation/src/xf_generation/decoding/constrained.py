"""Constrained beam search: texts that contain what `constraints` and `force_words_ids` ask for.

Shapes: R rows (batch times beams), T tokens so far, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf import logging

from ..constrained_scorer import ConstrainedBeamSearchScorer
from ..constraints import Constraint, DisjunctiveConstraint, PhrasalConstraint
from ..run import Recorder, Run
from ..scores import check_scores
from ..stepping import Stepper
from .base import DecodingStrategy
from .beam import NEVER
from .group_beam import finish_scored

logger = logging.get_logger(__name__)


class ConstrainedBeamSearch(DecodingStrategy):
    """Beam search whose beams are shared out by how far they are with the constraints."""

    streams = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        config = run.config
        self.beams, self.batch_size = int(config.num_beams), run.batch_size
        self.ends = list(run.eos_tokens) or None
        self.constraints = read_constraints(config)
        self._check_possible()
        self.scorer = ConstrainedBeamSearchScorer(
            run.batch_size,
            self.beams,
            self.constraints,
            run.tokens.device,
            float(config.length_penalty),
            config.early_stopping,
            int(config.num_return_sequences or 1),
            max_length=run.max_length,
        )

    @classmethod
    def check(cls, model: Any, config: Any, streamer: Any) -> None:
        super().check(model, config, streamer)
        if (config.num_beams or 1) < 2:
            raise ValueError("constraints and force_words_ids need beam search: set num_beams to at least 2.")

    @classmethod
    def rows_per_input(cls, config: Any) -> int:
        return int(config.num_beams)

    def _check_possible(self) -> None:
        """Raises: ValueError for constraints that no answer can meet: unknown tokens, or too many for the room."""
        head = self.run.model.get_output_embeddings()
        size = head.weight.shape[0] if head is not None else None
        tokens = [token for constraint in self.constraints for token in _tokens_of(constraint)]
        outside = [token for token in tokens if size is not None and token >= size]
        if outside:
            raise ValueError(f"The constraints ask for tokens {outside[:8]}, outside of the vocabulary of {size}.")
        least = sum(_shortest(constraint) for constraint in self.constraints)
        room = self.run.max_length - self.run.prompt_length
        if least > room:
            raise ValueError(
                f"The constraints take at least {least} tokens, but the answer may have only {room}: raise "
                "max_new_tokens."
            )

    def decode(self) -> Any:
        run, record = self.run, Recorder.wanted_by(self.run)
        step = Stepper(run)
        tokens = run.tokens
        sums_R = torch.full((tokens.shape[0],), NEVER, dtype=torch.float32, device=tokens.device)
        sums_R[:: self.beams] = 0.0
        paths: list[tuple[int, ...]] = [()] * tokens.shape[0]
        unfinished = True
        while run.keep_going(unfinished):
            outputs = step(tokens)
            if not unfinished:
                continue
            picked = self._choose(tokens, outputs, sums_R, paths, record)
            sums_R, parent_R = picked["next_beam_scores"], picked["next_beam_indices"]
            tokens = torch.cat([tokens[parent_R], picked["next_beam_tokens"][:, None]], dim=1)
            paths = [(*paths[row], row) for row in parent_R.tolist()]
            step.reorder(parent_R)
            scores = tuple(record.scores) if record is not None and record.scores is not None else None
            unfinished = not (self.scorer.is_done or bool(run.criteria(tokens, scores).all()))
        final = self.scorer.finalize(
            tokens,
            sums_R,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            run.max_length,
            pad_token_id=run.pad_token,
            eos_token_id=self.ends,
            beam_indices=paths,
            decoder_prompt_len=run.prompt_length,
        )
        self._warn_unmet(final["sequences"])
        return finish_scored(final, record, step)

    def _choose(
        self, tokens: Tensor, outputs: Any, sums_R: Tensor, paths: list[tuple[int, ...]], record: Recorder | None
    ) -> Any:
        logits = outputs.logits[:, -1].to(torch.float32, copy=True)
        scores = self.run.processors(tokens, logits.log_softmax(dim=-1))
        check_scores(scores)
        sums_RV = scores + sums_R[:, None]
        if record is not None:
            record.add(outputs, logits, sums_RV)
        total = sums_RV.view(self.batch_size, -1)
        kept = max(2, 1 + len(self.run.eos_tokens)) * self.beams
        best, flat = total.topk(min(kept, total.shape[1]))
        vocabulary = logits.shape[-1]
        return self.scorer.process(
            tokens,
            best,
            flat % vocabulary,
            flat // vocabulary,
            sums_RV,
            pad_token_id=self.run.pad_token,
            eos_token_id=self.ends,
            beam_indices=paths,
            decoder_prompt_len=self.run.prompt_length,
        )

    def _warn_unmet(self, sequences: Tensor) -> None:
        unmet = [row for row, s in enumerate(sequences.tolist()) if not self.scorer.check_completes_constraints(s)]
        if unmet:
            logger.warning(f"Sequences {unmet} do not meet all constraints: raise max_new_tokens or num_beams.")


def read_constraints(config: Any) -> list[Constraint]:
    """config.constraints and config.force_words_ids as constraint objects.

    force_words_ids: per word its tokens, or a list of token lists of which one must occur.
    Raises: ValueError for anything else.
    """
    given = config.constraints
    if given is not None and (
        not isinstance(given, (list, tuple)) or not all(isinstance(c, Constraint) for c in given)
    ):
        raise ValueError(f"constraints must be a list of Constraint objects, not {given!r}.")
    constraints = list(given or ())
    words = config.force_words_ids
    if words is not None and (not isinstance(words, (list, tuple)) or not words):
        raise ValueError(f"force_words_ids must be a list that is not empty, not {words!r}.")
    for word in words or ():
        if not isinstance(word, (list, tuple)) or not word:
            raise ValueError(
                f"force_words_ids has the entry {word!r}; each must be a list of token ids, or of such lists."
            )
        nested = isinstance(word[0], (list, tuple))
        constraints.append(DisjunctiveConstraint(list(word)) if nested else PhrasalConstraint(list(word)))
    return constraints


def _tokens_of(constraint: Constraint) -> list[int]:
    tokens = getattr(constraint, "token_ids", [])
    return [t for entry in tokens for t in (entry if isinstance(entry, list) else [entry])]


def _shortest(constraint: Constraint) -> int:
    if isinstance(constraint, DisjunctiveConstraint):
        return min(len(tokens) for tokens in constraint.token_ids)
    return constraint.seqlen
