"""Greedy search and sampling: one token per row and step.

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..run import Recorder, TokenBuffer
from ..scores import check_scores, explain_scores
from ..stepping import Stepper
from .base import DecodingStrategy, Ending


class Sample(DecodingStrategy):
    """Draw the next token from the processed distribution, or take the likeliest one without do_sample."""

    def decode(self) -> Any:
        run = self.run
        step, ending, record = self.make_stepper(), Ending(run), Recorder.wanted_by(run)
        buffer = TokenBuffer(run.tokens, run.max_length)
        keep_scores = record is not None and record.scores is not None
        all_scores: list[Tensor] = record.scores if keep_scores and record.scores is not None else []
        if run.streamer is not None:
            run.streamer.put(run.tokens.cpu())
        last_B1 = buffer.view
        unfinished = True
        while run.keep_going(unfinished):
            outputs = step.next(last_B1) if step.is_short else step(buffer.view)
            if not unfinished:
                continue  # other ranks still need this one to take part in their forward passes
            logits_BV = outputs.logits[:, -1]
            if record is not None or run.processors:
                logits_BV = logits_BV.to(torch.float32, copy=True)
            scores_BV = self.contrasted(outputs, logits_BV)
            if run.processors:
                scores_BV = run.processors(buffer.view, scores_BV)
            if buffer.length == run.prompt_length:
                check_scores(scores_BV)
            next_B = self._choose(scores_BV)
            if record is not None:
                record.add(outputs, logits_BV, scores_BV)
            next_B = ending.fill(next_B)
            last_B1 = buffer.append(next_B)
            if run.streamer is not None:
                run.streamer.put(next_B.cpu())
            unfinished = ending.update(buffer.view, next_B, tuple(all_scores) if keep_scores else scores_BV)
            unfinished = unfinished and not getattr(run.streamer, "closed", False)
        check_scores(scores_BV)  # NaN stays in the cache once it is there, so the last step shows it
        if run.streamer is not None:
            run.streamer.end()
        sequences = buffer.view.clone()
        return sequences if record is None else record.finish(sequences, step.cache)

    def make_stepper(self) -> Stepper:
        """What runs the model."""
        return Stepper(self.run)

    def contrasted(self, outputs: Any, logits_BV: Tensor) -> Tensor:
        """The scores (B, V) that processors begin with: here the logits."""
        return logits_BV

    def _choose(self, scores_BV: Tensor) -> Tensor:
        """(B,) drawn, or the likeliest; where processors could forbid everything, it is checked that they did not."""
        if self.run.config.do_sample:
            return self.run.draw(scores_BV).squeeze(1)
        if not self.run.processors:
            return scores_BV.argmax(dim=-1)
        best_B, next_B = scores_BV.max(dim=-1)
        if not bool(best_B.isfinite().all()):
            explain_scores(scores_BV)
        return next_B
