"""Contrastive search (arXiv:2202.06417): likely tokens whose states do not repeat those of the text.

Shapes: B rows, k candidates per row, T tokens so far, C hidden width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..run import Recorder, Run, TokenBuffer
from ..scores import check_scores
from ..stepping import Stepper
from .base import DecodingStrategy, Ending


class ContrastiveSearch(DecodingStrategy):
    """The token with the best (1 - alpha) probability - alpha (largest cosine to an earlier state) among the top_k.

    alpha is penalty_alpha. low_memory=True runs the candidates one after the other, not as one batch.
    """

    crops_cache = True
    keeps_logits = False  # the states of the whole prompt are needed

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.alpha, self.count = float(run.config.penalty_alpha), int(run.config.top_k)
        self.sequential = bool(run.config.low_memory)
        self.batch_size = run.tokens.shape[0]
        self.state_name = "decoder_hidden_states" if run.is_encoder_decoder else "hidden_states"

    @classmethod
    def check(cls, model: Any, config: Any, streamer: Any) -> None:
        super().check(model, config, streamer)
        if not config.use_cache:
            raise ValueError("Contrastive search (penalty_alpha) needs use_cache=True.")

    def decode(self) -> Any:
        run, record = self.run, Recorder.wanted_by(self.run)
        step, ending = Stepper(run, output_hidden_states=True), Ending(run)
        buffer = TokenBuffer(run.tokens, run.max_length)
        if run.streamer is not None:
            run.streamer.put(run.tokens.cpu())
        outputs = step(run.tokens)
        step.needs_cropping("Contrastive search")
        states_BTC: Tensor = getattr(outputs, self.state_name)[-1]
        logits_BV = outputs.logits[:, -1].to(torch.float32, copy=True)
        if not self.sequential:
            step.repeat_rows(self.count)
        unfinished = True
        while run.keep_going(unfinished):
            scores_BV = run.processors(buffer.view, logits_BV)
            check_scores(scores_BV)
            probs_Bk, tokens_Bk = scores_BV.softmax(dim=-1).topk(self.count)
            if record is not None:
                record.add(outputs, logits_BV, scores_BV)
            outputs, next_B, states_BC, logits_BV = self._best(step, states_BTC, probs_Bk, tokens_Bk)
            states_BTC = torch.cat([states_BTC, states_BC[:, None]], dim=1)
            next_B = ending.fill(next_B)
            buffer.append(next_B)
            if run.streamer is not None:
                run.streamer.put(next_B.cpu())
            scores = tuple(record.scores) if record is not None and record.scores is not None else scores_BV
            unfinished = ending.update(buffer.view, next_B, scores) and not getattr(run.streamer, "closed", False)
        if run.streamer is not None:
            run.streamer.end()
        sequences = buffer.view.clone()
        if record is None:
            return sequences
        step.cache.crop(-1)  # the last token was run ahead
        if not self.sequential:
            step.cache.batch_select_indices(torch.arange(self.batch_size, device=sequences.device) * self.count)
        return record.finish(sequences, step.cache)

    def _best(
        self, step: Stepper, states_BTC: Tensor, probs_Bk: Tensor, tokens_Bk: Tensor
    ) -> tuple[Any, Tensor, Tensor, Tensor]:
        """Run the candidates and keep the best: (its outputs, tokens (B,), states (B, C), logits (B, V))."""
        rows_B = torch.arange(self.batch_size, device=tokens_Bk.device)
        if self.sequential:
            candidates = []
            for one in range(self.count):
                ran = step.next(tokens_Bk[:, one : one + 1])
                candidates.append(getattr(ran, self.state_name)[-1][:, -1])
                step.take_back()
            best_B = self._rank(states_BTC, torch.stack(candidates, dim=1), probs_Bk)
            outputs = step.next(tokens_Bk[rows_B, best_B, None])
            states_BC, logits_BV = getattr(outputs, self.state_name)[-1][:, -1], outputs.logits[:, -1].float()
        else:
            ran = step.next(tokens_Bk.reshape(-1, 1))
            candidates_BkC = getattr(ran, self.state_name)[-1][:, -1].unflatten(0, tokens_Bk.shape)
            best_B = self._rank(states_BTC, candidates_BkC, probs_Bk)
            chosen_B = rows_B * self.count + best_B
            step.reorder(chosen_B.repeat_interleave(self.count))
            outputs = _select(ran, chosen_B)
            states_BC, logits_BV = candidates_BkC[rows_B, best_B], outputs.logits[:, -1].float()
        return outputs, tokens_Bk[rows_B, best_B], states_BC, logits_BV.clone()

    def _rank(self, states_BTC: Tensor, candidates_BkC: Tensor, probs_Bk: Tensor) -> Tensor:
        """(B,) which candidate is best."""
        cosine_BkT = F.normalize(candidates_BkC, dim=-1, eps=0.0) @ F.normalize(states_BTC, dim=-1, eps=0.0).mT
        mask = None if self.run.is_encoder_decoder else self.run.model_kwargs.get("attention_mask")
        if mask is not None and mask.ndim == 2:
            prompt_BT = mask[:: len(mask) // self.batch_size, : self.run.prompt_length]
            prompt_BT = F.pad(prompt_BT, (0, cosine_BkT.shape[-1] - prompt_BT.shape[1]), value=1)
            cosine_BkT = cosine_BkT.masked_fill(prompt_BT[:, None] == 0, torch.finfo(cosine_BkT.dtype).min)
        return ((1.0 - self.alpha) * probs_Bk - self.alpha * cosine_BkT.amax(dim=-1)).argmax(dim=-1)


def _select(outputs: Any, rows: Tensor) -> Any:
    """The outputs of some rows: logits, states and attentions (the cache and the encoder's states are left out)."""

    def chosen(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.index_select(0, rows)
        return tuple(chosen(item) for item in value) if isinstance(value, tuple) else value

    kept = {name: value for name, value in outputs.items() if not name.startswith(("past_key_values", "encoder_"))}
    return type(outputs)(**{name: chosen(value) for name, value in kept.items()})
