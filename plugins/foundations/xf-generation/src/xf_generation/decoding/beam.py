"""Beam search and beam sampling (Graves 2012, arXiv:1211.3711; length penalty: arXiv:1609.08144, section 7).

Every row keeps num_beams unfinished texts ("running") and the best num_beams finished ones. A step makes K candidates
of the running ones; those that end join the finished, the best others run on.

Shapes: B batch, N beams, K candidates, T tokens so far, G generated so far, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..run import Recorder, Run
from ..scores import check_scores
from ..stepping import Stepper
from .base import DecodingStrategy

NEVER = -1.0e9  # the score of what must lose against every real candidate


@dataclass
class Texts:
    """Some texts per row with their scores: tokens (B, *, T), scores (B, *), beams (B, *, G) the row of each token."""

    tokens: Tensor
    scores: Tensor
    beams: Tensor

    def pick(self, index_BX: Tensor) -> Texts:
        """Those at index_BX (B, X), in that order."""
        return Texts(gather(self.tokens, index_BX), self.scores.gather(1, index_BX), gather(self.beams, index_BX))

    def join(self, other: Texts) -> Texts:
        """Both, one after the other."""
        mine, theirs = vars(self).values(), vars(other).values()
        return Texts(*(torch.cat(pair, dim=1) for pair in zip(mine, theirs, strict=True)))


def gather(x_BYZ: Tensor, index_BX: Tensor) -> Tensor:
    """(B, X, Z): the entries index_BX of dimension 1."""
    return x_BYZ.gather(1, index_BX[..., None].expand(-1, -1, x_BYZ.shape[2]))


class BeamSearch(DecodingStrategy):
    """Beam search; with do_sample=True candidates are drawn instead of ranked."""

    streams = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        config = run.config
        self.beams, self.batch_size = int(config.num_beams), run.batch_size
        # every end token could take a candidate's place, and N must be left to run on
        self.candidates = max(2, 1 + len(run.eos_tokens)) * self.beams
        self.early, self.penalty = config.early_stopping, float(config.length_penalty)
        self.device = run.tokens.device

    @classmethod
    def rows_per_input(cls, config: Any) -> int:
        return int(config.num_beams)

    def decode(self) -> Any:
        run, record = self.run, Recorder.wanted_by(self.run)
        step = Stepper(run)
        running = self._start()
        finished = Texts(running.tokens, torch.full_like(running.scores, NEVER), running.beams)  # places to be taken
        ended_BN = torch.zeros(self.batch_size, self.beams, dtype=torch.bool, device=self.device)
        hopeful_B1 = torch.ones(self.batch_size, 1, dtype=torch.bool, device=self.device)
        unfinished = True
        while run.keep_going(unfinished):
            tokens = running.tokens.flatten(0, 1)
            outputs = step(tokens)
            if not unfinished:
                continue
            scores = self._scores(tokens, outputs, record)
            drawn = self._candidates(running, scores)
            ends_BK = self._ends(drawn, record)
            finished, ended_BN = self._finish(finished, ended_BN, hopeful_B1, drawn, ends_BK)
            running, parents = self._run_on(drawn, ends_BK)
            step.reorder(parents)
            hopeful_B1 = self._hope(hopeful_B1, running, finished, ended_BN)
            unfinished = self._unfinished(hopeful_B1, ended_BN, ends_BK)
        return self._result(finished, record, step)

    def _start(self) -> Texts:
        """All beams hold the prompt; only the first may be continued, or all would do the same."""
        tokens = self.run.tokens.unflatten(0, (self.batch_size, self.beams))
        scores = torch.full((self.batch_size, self.beams), NEVER, device=self.device)
        scores[:, 0] = 0.0
        return Texts(tokens, scores, tokens.new_empty(self.batch_size, self.beams, 0))

    def _scores(self, tokens: Tensor, outputs: Any, record: Recorder | None) -> Tensor:
        """(B, N, V) processed log probabilities of the next token."""
        logits = outputs.logits[:, -1].to(torch.float32, copy=True)
        scores: Tensor = self.run.processors(tokens, logits.log_softmax(dim=-1))
        check_scores(scores)
        if record is not None:
            record.add(outputs, logits, scores)
        return scores.unflatten(0, (self.batch_size, self.beams))

    def _candidates(self, running: Texts, scores_BNV: Tensor) -> Texts:
        """K texts that are one token longer, the best or drawn ones, with the sum of their log probabilities."""
        vocabulary = scores_BNV.shape[-1]
        total = (scores_BNV + running.scores[..., None]).flatten(1)
        if self.run.config.do_sample:
            index_BK = self.run.draw(total, self.candidates)
            scores_BK = total.gather(1, index_BK)
        else:
            scores_BK, index_BK = total.topk(min(self.candidates, total.shape[1]))
        parent_BK, token_BK1 = index_BK // vocabulary, (index_BK % vocabulary)[..., None]
        row_BK1 = (parent_BK + self.beams * torch.arange(self.batch_size, device=self.device)[:, None])[..., None]
        tokens = torch.cat([gather(running.tokens, parent_BK), token_BK1], dim=-1)
        return Texts(tokens, scores_BK, torch.cat([gather(running.beams, parent_BK), row_BK1], dim=-1))

    def _ends(self, drawn: Texts, record: Recorder | None) -> Tensor:
        """Bool (B, K): which candidates end."""
        scores = tuple(record.scores) if record is not None and record.scores is not None else None
        ends: Tensor = self.run.criteria(drawn.tokens.flatten(0, 1), scores)
        return ends.unflatten(0, drawn.scores.shape)

    def _run_on(self, drawn: Texts, ends_BK: Tensor) -> tuple[Texts, Tensor]:
        """The best N candidates that do not end, and the rows (B N,) of the cache that they continue."""
        best = (drawn.scores + ends_BK * NEVER).topk(self.beams)[1]
        running = drawn.pick(best)
        running.scores = (drawn.scores + ends_BK * NEVER).gather(1, best)
        return running, running.beams[..., -1].flatten()

    def _finish(
        self, finished: Texts, ended_BN: Tensor, hopeful_B1: Tensor, drawn: Texts, ends_BK: Tensor
    ) -> tuple[Texts, Tensor]:
        """The best N finished texts after those that end now have joined, and which of the N are real."""
        top = torch.arange(drawn.scores.shape[1], device=self.device) < self.beams
        joins_BK = ends_BK & top
        length = drawn.beams.shape[-1]
        scores_BK = drawn.scores / length**self.penalty
        scores_BK = scores_BK + ~joins_BK * NEVER + ~hopeful_B1 * NEVER
        if self.early is True:
            scores_BK = scores_BK + ended_BN.all(dim=1, keepdim=True) * NEVER
        now = Texts(drawn.tokens, scores_BK, drawn.beams)
        joined = self._longer(finished).join(now)
        real = torch.cat([ended_BN, joins_BK], dim=1)
        best = joined.scores.topk(self.beams)[1]
        return joined.pick(best), real.gather(1, best)

    def _longer(self, finished: Texts) -> Texts:
        """Finished texts with room for one more token: padding, and no beam."""
        # the padding token; where that is 0 the first end token, as published beam search results have it
        pad = self.run.pad_token or (self.run.eos_tokens[0] if self.run.eos_tokens else -1)
        tokens = torch.nn.functional.pad(finished.tokens, (0, 1), value=pad)
        return Texts(tokens, finished.scores, torch.nn.functional.pad(finished.beams, (0, 1), value=-1))

    def _hope(self, hopeful_B1: Tensor, running: Texts, finished: Texts, ended_BN: Tensor) -> Tensor:
        """Rows where a running text could still beat the worst finished one."""
        length = running.beams.shape[-1]
        if self.early == "never" and self.penalty > 0.0:
            length = self.run.max_length - self.run.prompt_length
        best_B1 = running.scores[:, :1] / length**self.penalty
        worst_B1 = torch.where(ended_BN, finished.scores.amin(dim=1, keepdim=True), NEVER)
        return hopeful_B1 & (best_B1 > worst_B1).any(dim=-1, keepdim=True)

    def _unfinished(self, hopeful_B1: Tensor, ended_BN: Tensor, ends_BK: Tensor) -> bool:
        """Whether another step can change the result."""
        open_beam = not (self.early is True and bool(ended_BN.all()))
        return open_beam and bool(hopeful_B1.any()) and not bool(ends_BK.all())

    def _result(self, finished: Texts, record: Recorder | None, step: Stepper) -> Any:
        returned = int(self.run.config.num_return_sequences or 1)
        best = Texts(*(value[:, :returned].flatten(0, 1) for value in vars(finished).values()))
        generated = int((best.beams >= 0).sum(dim=1).max())
        sequences = best.tokens[:, : self.run.prompt_length + generated]
        if record is None:
            return sequences
        scores = best.scores if self.run.config.output_scores else None
        return record.finish(
            sequences, step.cache, sequences_scores=scores, beam_indices=best.beams[:, :generated], beams=True
        )
