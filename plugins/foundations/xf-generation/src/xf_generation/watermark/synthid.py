"""SynthIDTextWatermarkLogitsProcessor: tournament sampling (Dathathri et al. 2024, doi:10.1038/s41586-024-08025-4).

Every n-gram gets, for each of the secret keys, one pseudorandom bit, its g-value. Layer after layer of the tournament
moves probability to tokens whose bit is 1. The hash is the authors' published one: a linear congruential step per item.
Shapes: B rows, T tokens, N n-grams or contexts, D keys (the depth), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsContext, LogitsProcessor

from .configs import SynthIDTextWatermarkingConfig

_MULTIPLIER, _INCREMENT = 6364136223846793005, 1  # Knuth's MMIX generator, modulo 2**64


class SynthIDTextWatermarkLogitsProcessor(LogitsProcessor):
    """Moves probability to tokens that win the tournament. Arguments: see `SynthIDTextWatermarkingConfig`.

    What it knows of the past are the tokens since its first call; a context that was marked before is not marked again.
    Raises: ValueError for settings that cannot work.
    """

    options = {"watermarking_config": None}
    order = 800  # after everything that shapes the distribution

    def __init__(
        self,
        ngram_len: int,
        keys: list[int],
        sampling_table_size: int,
        sampling_table_seed: int,
        context_history_size: int,
        device: str | torch.device,
        skip_first_ngram_calls: bool = False,
        debug_mode: bool = False,
    ) -> None:
        SynthIDTextWatermarkingConfig(
            ngram_len, keys, context_history_size, sampling_table_seed, sampling_table_size
        ).validate()
        self.ngram_len, self.context_history_size = ngram_len, context_history_size
        self.device = torch.device(device)
        self.keys = torch.tensor(keys, device=self.device)
        generator = torch.Generator(device=self.device).manual_seed(sampling_table_seed)
        self.sampling_table = torch.randint(0, 2, (sampling_table_size,), generator=generator, device=self.device)
        self.skip_first_ngram_calls, self.debug_mode = skip_first_ngram_calls, debug_mode
        self._calls = 0
        self._prompt_length = 0
        self._text: Tensor | None = None  # (B, tokens since the first call)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        config = options["watermarking_config"]
        if not isinstance(config, SynthIDTextWatermarkingConfig):
            return None
        return config.construct_processor(0, context.device)

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        _check_two_axes(input_ids)
        if self.debug_mode:
            scores = torch.ones_like(scores)
        text_BT = self._follow(input_ids)
        if self.skip_first_ngram_calls and self._calls < self.ngram_len:
            return scores
        width = self.ngram_len - 1
        padded = torch.nn.functional.pad(text_BT, (width, 0))
        contexts_BNC = padded.unfold(1, width, 1) if width else padded.new_empty(len(padded), padded.shape[1] + 1, 0)
        if self.skip_first_ngram_calls:
            contexts_BNC = contexts_BNC[:, width:]  # those before were not marked
        contexts_BNC = contexts_BNC[:, -self.context_history_size - 1 :]
        hashes_BN = self._hash(contexts_BNC)
        repeated_B1 = (hashes_BN[:, :-1] == hashes_BN[:, -1:]).any(dim=1, keepdim=True)
        return torch.where(repeated_B1, scores, self._tournament(scores, hashes_BN[:, -1]))

    def _follow(self, input_ids: Tensor) -> Tensor:
        """(B, tokens since the first call). Rows may have changed places since (beams): the text itself is read."""
        self._calls += 1
        if self._text is None or self._text.shape[0] != input_ids.shape[0]:
            self._calls, self._prompt_length = 1, input_ids.shape[1]
            self._text = input_ids[:, :0]
        elif input_ids.shape[1] == self._prompt_length + self._calls - 1:
            self._text = input_ids[:, self._prompt_length :]
        else:  # someone hands over a part of the text: its last token is the new one
            self._text = torch.cat([self._text, input_ids[:, -1:]], dim=1)
        return self._text

    def _tournament(self, scores_BV: Tensor, context_B: Tensor) -> Tensor:
        """Log probabilities (B, V) after all layers; context_B: hashes of the contexts."""
        tokens_1V1 = torch.arange(scores_BV.shape[1], device=context_B.device)[None, :, None]
        ngrams_BV = self.accumulate_hash(context_B[:, None], tokens_1V1)
        probs_BV = scores_BV.softmax(dim=1)
        for key in self.keys:
            g_BV = self.sample_g_values(self.accumulate_hash(ngrams_BV, key[None]))
            mass_B1 = (g_BV * probs_BV).sum(dim=1, keepdim=True)
            probs_BV = probs_BV * (1 + g_BV - mass_B1)
        log_probs_BV = probs_BV.log()
        return log_probs_BV.masked_fill(~log_probs_BV.isfinite(), torch.finfo(scores_BV.dtype).min)

    # ---- hashes ---------------------------------------------------------------------------------------------------

    def accumulate_hash(
        self, current_hash: Tensor, data: Tensor, multiplier: int = _MULTIPLIER, increment: int = _INCREMENT
    ) -> Tensor:
        """current_hash (...) with the items of data (..., items) hashed in one after the other; int64 that wraps."""
        for item in data.unbind(-1):
            current_hash = (current_hash + item) * multiplier + increment
        return current_hash

    def _hash(self, items: Tensor) -> Tensor:
        """Hashes (...) of items (..., count)."""
        start = torch.ones(items.shape[:-1], dtype=torch.long, device=items.device)
        return self.accumulate_hash(start, items)

    def compute_ngram_keys(self, ngrams: Tensor) -> Tensor:
        """(B, N, D) a hash for every n-gram of (B, N, ngram_len) and key.

        Raises: ValueError for another shape.
        """
        if ngrams.ndim != 3 or ngrams.shape[2] != self.ngram_len:
            raise ValueError(
                f"n-grams must be (batch, count, {self.ngram_len}); they have shape {tuple(ngrams.shape)}."
            )
        return self.accumulate_hash(self._hash(ngrams)[..., None], self.keys[:, None])

    def sample_g_values(self, ngram_keys: Tensor) -> Tensor:
        """The g-values, 0 or 1, of hashes of any shape."""
        return self.sampling_table[ngram_keys % len(self.sampling_table)]

    # ---- what detectors read ----------------------------------------------------------------------------------------

    def compute_g_values(self, input_ids: Tensor) -> Tensor:
        """(B, T - ngram_len + 1, D) the g-values of all n-grams of a text (B, T).

        Raises: ValueError for a text shorter than one n-gram.
        """
        _check_two_axes(input_ids)
        self._check_length(input_ids, self.ngram_len)
        return self.sample_g_values(self.compute_ngram_keys(input_ids.unfold(1, self.ngram_len, 1)))

    def compute_context_repetition_mask(self, input_ids: Tensor) -> Tensor:
        """(B, T - ngram_len + 1) bool: False at n-grams whose context was among the context_history_size before it."""
        _check_two_axes(input_ids)
        width = self.ngram_len - 1
        self._check_length(input_ids, self.ngram_len)
        if width == 0:
            first = torch.arange(input_ids.shape[1], device=input_ids.device) == 0
            return first.expand(input_ids.shape)
        hashes_BN = self._hash(input_ids[:, :-1].unfold(1, width, 1))
        seen_BN = torch.zeros_like(hashes_BN, dtype=torch.bool)
        for back in range(1, min(self.context_history_size, hashes_BN.shape[1] - 1) + 1):
            seen_BN[:, back:] |= hashes_BN[:, back:] == hashes_BN[:, :-back]
        return ~seen_BN

    def compute_eos_token_mask(self, input_ids: Tensor, eos_token_id: int) -> Tensor:
        """(B, T) bool: True before the first end token of a text (B, T)."""
        _check_two_axes(input_ids)
        return (input_ids == eos_token_id).cumsum(dim=1) == 0

    def expected_mean_g_value(self, vocab_size: int, coinflip_prob: float = 0.5) -> float:
        """The mean g-value of marked text under equal probabilities of all tokens (section 2 of the supplement)."""
        return coinflip_prob + coinflip_prob * (1 - coinflip_prob) * (1 - 1 / vocab_size)

    def _check_length(self, input_ids: Tensor, least: int) -> None:
        if input_ids.shape[1] < least:
            raise ValueError(
                f"The text has {input_ids.shape[1]} tokens; at least {least} (ngram_len) are needed to look for a mark."
            )


def _check_two_axes(input_ids: Tensor) -> None:
    if input_ids.ndim != 2:
        raise ValueError(f"input_ids must be (batch, tokens); it has shape {tuple(input_ids.shape)}.")
