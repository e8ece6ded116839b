"""Processors of speech models: alternating codebooks (Bark) and timestamps (Whisper).

Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from xf.interfaces.logits import LogitsProcessor


class AlternatingCodebooksLogitsProcessor(LogitsProcessor):
    """Tokens alternate between two codebooks, which lie behind the semantic vocabulary: first, second, first ...

    input_start_len: length of the prompt, after which the first codebook begins.
    """

    def __init__(self, input_start_len: int, semantic_vocab_size: int, codebook_size: int) -> None:
        if not isinstance(input_start_len, int) or input_start_len < 0:
            raise ValueError(f"input_start_len must be an integer of at least 0, not {input_start_len!r}.")
        self.input_start_len = input_start_len
        self.semantic_vocab_size, self.codebook_size = semantic_vocab_size, codebook_size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        second = (input_ids.shape[-1] - self.input_start_len) % 2 == 1
        boundary = self.semantic_vocab_size + self.codebook_size
        allowed = scores.clone()
        if second:
            allowed[:, :boundary] = -math.inf
        else:
            allowed[:, : self.semantic_vocab_size] = -math.inf
            allowed[:, boundary:] = -math.inf
        return allowed


class WhisperTimeStampLogitsProcessor(LogitsProcessor):
    """The timestamp rules of arXiv:2212.04356 (section 2.3 and the published decoder): pairs that never go back in
    time.

    generate_config: holds no_timestamps_token_id, eos_token_id and max_initial_timestamp_index. begin_index: length of
    the forced prompt.
    """

    def __init__(
        self, generate_config: Any, begin_index: int, _detect_timestamp_from_logprob: bool | None = None
    ) -> None:
        self.no_timestamps_token_id = generate_config.no_timestamps_token_id
        self.timestamp_begin = generate_config.no_timestamps_token_id + 1
        self.eos_token_id = generate_config.eos_token_id or generate_config.bos_token_id
        flag = _detect_timestamp_from_logprob
        self._detect_timestamp_from_logprob = (
            getattr(generate_config, "_detect_timestamp_from_logprob", True) if flag is None else flag
        )
        self.begin_index = begin_index
        self.max_initial_timestamp_index = getattr(generate_config, "max_initial_timestamp_index", None)

    def set_begin_index(self, begin_index: int) -> None:
        """Move the end of the forced prompt."""
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        allowed = scores.clone()
        allowed[:, self.no_timestamps_token_id] = -math.inf
        first = self.timestamp_begin
        for row, tokens in enumerate(input_ids):
            answer = tokens[self.begin_index :].tolist()
            self._keep_order(answer, allowed[row])
        if input_ids.shape[1] == self.begin_index:  # every answer begins with a timestamp
            allowed[:, :first] = -math.inf
            if self.max_initial_timestamp_index is not None:
                allowed[:, first + self.max_initial_timestamp_index + 1 :] = -math.inf
        if self._detect_timestamp_from_logprob:
            log_probs_BV = allowed.float().log_softmax(dim=-1)
            any_time_B = log_probs_BV[:, first:].logsumexp(dim=-1)
            best_text_B = log_probs_BV[:, :first].amax(dim=-1)
            allowed[:, :first] = allowed[:, :first].masked_fill((any_time_B > best_text_B)[:, None], -math.inf)
        return allowed

    def _keep_order(self, answer: list[int], scores_V: Tensor) -> None:
        """Forbid, in place, what may not follow the answer so far."""
        first = self.timestamp_begin
        last_is_time = len(answer) >= 1 and answer[-1] >= first
        before_is_time = len(answer) < 2 or answer[-2] >= first
        if last_is_time and before_is_time:  # a pair is complete: text or the end
            scores_V[first:] = -math.inf
        elif last_is_time:  # a single timestamp after text: its partner or the end
            eos = self.eos_token_id
            scores_V[: eos if isinstance(eos, int) else min(eos)] = -math.inf
        times = [token for token in answer if token >= first]
        if times:  # a segment may not be empty, so only the second of a pair may equal the last time
            earliest = times[-1] if last_is_time and not before_is_time else times[-1] + 1
            scores_V[first:earliest] = -math.inf
