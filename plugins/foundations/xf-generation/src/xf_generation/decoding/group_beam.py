"""Group (diverse) beam search: groups of beams that are pushed apart (arXiv:1610.02424).

Shapes: R rows (batch times beams), S rows of one group (batch times group size), T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..beam_scorers import BeamSearchScorer
from ..run import Recorder, Run
from ..scores import check_scores
from ..stepping import Stepper
from .base import DecodingStrategy
from .beam import NEVER

BeamPath = tuple[int, ...]


class GroupBeamSearch(DecodingStrategy):
    """At every step the groups choose one after the other; a later one pays for tokens that earlier ones chose."""

    streams = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        config = run.config
        self.beams, self.groups = int(config.num_beams), int(config.num_beam_groups)
        self.size, self.batch_size = self.beams // self.groups, run.batch_size
        self.ends = list(run.eos_tokens) or None
        self.scorer = BeamSearchScorer(
            run.batch_size,
            self.beams,
            run.tokens.device,
            float(config.length_penalty),
            config.early_stopping,
            int(config.num_return_sequences or 1),
            self.groups,
            run.max_length,
        )

    @classmethod
    def rows_per_input(cls, config: Any) -> int:
        return int(config.num_beams)

    def decode(self) -> Any:
        run, record = self.run, Recorder.wanted_by(self.run)
        step = Stepper(run)
        tokens = run.tokens
        rows = self._rows_of_groups()
        sums_R = torch.full((tokens.shape[0],), NEVER, dtype=torch.float32, device=tokens.device)
        for rows_S in rows:
            sums_R[rows_S[:: self.size]] = 0.0
        paths: list[list[BeamPath]] = [[() for _ in rows_S] for rows_S in rows]
        unfinished = True
        while run.keep_going(unfinished):
            outputs = step(tokens)
            if not unfinished:
                continue
            logits = outputs.logits[:, -1].to(torch.float32, copy=True)
            next_R, parent_R = torch.zeros_like(sums_R, dtype=torch.long), torch.zeros_like(sums_R, dtype=torch.long)
            processed = torch.zeros_like(logits)
            for group, rows_S in enumerate(rows):
                chosen = self._choose(group, rows_S, tokens, logits, processed, sums_R, next_R, paths[group])
                next_R[rows_S], parent_R[rows_S] = chosen
            if record is not None:
                record.add(outputs, logits, processed)
            tokens = torch.cat([tokens[parent_R], next_R[:, None]], dim=1)
            step.reorder(parent_R)
            scores = tuple(record.scores) if record is not None and record.scores is not None else None
            unfinished = not (self.scorer.is_done or bool(run.criteria(tokens, scores).all()))
        return self._result(tokens, sums_R, paths, record, step)

    def _rows_of_groups(self) -> list[Tensor]:
        """Per group the rows (S,) of its beams, text by text."""
        rows = torch.arange(self.batch_size * self.beams, device=self.run.tokens.device)
        grouped = rows.view(self.batch_size, self.groups, self.size)
        return [grouped[:, group].reshape(-1) for group in range(self.groups)]

    def _choose(
        self,
        group: int,
        rows_S: Tensor,
        tokens: Tensor,
        logits: Tensor,
        processed: Tensor,
        sums_R: Tensor,
        chosen_R: Tensor,
        paths: list[BeamPath],
    ) -> tuple[Tensor, Tensor]:
        """One step of a group: (tokens (S,), rows they continue (S,)); updates its sums, paths and processed scores."""
        group_tokens = tokens[rows_S]
        scores = logits[rows_S].log_softmax(dim=-1)
        scores = self.run.processors(group_tokens, scores, current_tokens=chosen_R, beam_group_idx=group)
        check_scores(scores)
        processed[rows_S] = scores
        total = (scores + sums_R[rows_S, None]).view(self.batch_size, -1)
        kept = max(2, 1 + len(self.run.eos_tokens)) * self.size
        best, flat = total.topk(min(kept, total.shape[1]))
        vocabulary = logits.shape[-1]
        picked = self.scorer.process(
            group_tokens,
            best,
            flat % vocabulary,
            flat // vocabulary,
            pad_token_id=self.run.pad_token,
            eos_token_id=self.ends,
            beam_indices=paths,
            group_index=group,
            decoder_prompt_len=self.run.prompt_length,
        )
        inner_S = picked["next_beam_indices"]
        sums_R[rows_S] = picked["next_beam_scores"]
        came_by = rows_S[inner_S]
        paths[:] = [paths[i] + (row,) for i, row in zip(inner_S.tolist(), came_by.tolist(), strict=True)]
        return picked["next_beam_tokens"], came_by

    def _result(
        self, tokens: Tensor, sums_R: Tensor, paths: list[list[BeamPath]], record: Recorder | None, step: Stepper
    ) -> Any:
        by_row: list[BeamPath] = [()] * tokens.shape[0]
        for rows_S, group_paths in zip(self._rows_of_groups(), paths, strict=True):
            for row, path in zip(rows_S.tolist(), group_paths, strict=True):
                by_row[row] = path
        final = self.scorer.finalize(
            tokens,
            sums_R,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            self.run.max_length,
            pad_token_id=self.run.pad_token,
            eos_token_id=self.ends,
            beam_indices=by_row,
            decoder_prompt_len=self.run.prompt_length,
        )
        return finish_scored(final, record, step)


def finish_scored(final: Mapping[str, Tensor], record: Recorder | None, step: Stepper) -> Any:
    """What a scorer's finalize found, as `generate` returns it: scores and beams where scores were asked for."""
    if record is None:
        return final["sequences"]
    asked = bool(record.run.config.output_scores)
    return record.finish(
        final["sequences"],
        step.cache,
        sequences_scores=final["sequence_scores"] if asked else None,
        beam_indices=final["beam_indices"] if asked else None,
        beams=True,
    )
