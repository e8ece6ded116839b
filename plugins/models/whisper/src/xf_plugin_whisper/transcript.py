"""One transcript from what the model said about the overlapping chunks of a recording.

Each chunk overlaps its neighbours by a stride. Where two transcripts meet, they are joined in the middle of the part in
which they agree best; timestamps that fall into a stride are left to the neighbour that has more context.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from xf import logging
from xf_plugin_whisper.languages import LANGUAGES
from xf_plugin_whisper.timestamps import SEGMENT_STEPS, WindowClock
from xf_plugin_whisper.words import group_into_words

logger = logging.get_logger(__name__)
Times = list[tuple[float, float]]


def decode_asr(
    tokenizer: Any,
    model_outputs: Iterable[Mapping[str, Any]],
    *,
    return_timestamps: bool | str | None,
    return_language: bool | None,
    time_precision: float,
    segment_size: int = SEGMENT_STEPS,
) -> tuple[str, dict[str, Any]]:
    """The text of a recording, and {"chunks": ...} where timestamps or languages are asked for.

    Args:
        tokenizer: a Whisper tokenizer.
        model_outputs: for each chunk "tokens" (1, tokens), "stride" (length, left, right) in seconds if there is one,
            and for words "token_timestamps" (1, tokens) in seconds.
        return_timestamps: False, True (chunks between timestamps) or "word".
        return_language: add the language of each chunk.
        time_precision: seconds to a timestamp token.
        segment_size: timestamp tokens to a window.
    """
    builder = _Builder(tokenizer, return_timestamps, bool(return_language), time_precision, segment_size)
    for output in model_outputs:
        builder.read(output)
    return builder.finish()


class _Builder:
    """Reads the tokens of the chunks in order and collects finished pieces of the transcript."""

    def __init__(
        self, tokenizer: Any, timestamps: bool | str | None, language: bool, precision: float, segment_size: int
    ) -> None:
        self.tokenizer = tokenizer
        self.timestamps, self.by_word, self.return_language = timestamps, timestamps == "word", language
        self.precision, self.segment_size = precision, segment_size
        self.first_timestamp = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
        self.special = set(tokenizer.all_special_ids)
        self.pieces: list[dict[str, Any]] = []
        self.offset = 0.0  # seconds from the start of the recording to that of the chunk
        self.language: str | None = None  # the latest that was heard
        self.skipping = False  # between a timestamp in the right stride and the next timestamp
        self._open_piece()

    def _open_piece(self) -> None:
        self.piece: dict[str, Any] = {"language": self.language, "timestamp": [None, None], "text": ""}
        self.heard: list[list[int]] = []  # tokens of the piece, one list for each chunk that heard it
        self.heard_times: list[Times] = []
        self.tokens: list[int] = []
        self.times: Times = []

    def _keep_tokens(self) -> None:
        self.heard.append(self.tokens)
        self.heard_times.append(self.times)
        self.tokens, self.times = [], []

    def _close_piece(self) -> None:
        tokens, times = join_overlapping(self.heard, self.heard_times if self.by_word else None)
        self.piece["text"] = self.tokenizer.decode(tokens)
        if self.by_word:
            self.piece["words"] = self._words(tokens, times)
        self.pieces.append(self.piece)
        self._open_piece()

    def _words(self, tokens: list[int], times: Times) -> list[dict[str, Any]]:
        words = []
        for word in group_into_words(self.tokenizer, tokens, self.piece["language"]):
            span = (times[word.indices[0]][0], times[word.indices[-1]][1])
            words.append({"text": word.text, "timestamp": span})
            if self.return_language:
                words[-1]["language"] = self.piece["language"]
        return words

    def read(self, output: Mapping[str, Any]) -> None:
        """Take in the tokens of one chunk."""
        ids: list[int] = output["tokens"][0].tolist()
        token_times = output["token_timestamps"][0].tolist() if self.by_word else []
        kept = self.tokenizer.strip_prompt(ids)
        token_times = token_times[len(ids) - len(kept) :]
        first_kept, last_kept, length, right = self.first_timestamp, None, 0.0, 0.0
        if "stride" in output:
            length, left, right = output["stride"]
            self.offset -= left
            if left:
                first_kept = left / self.precision + self.first_timestamp
            if right:
                last_kept = self._first_in_right_stride(kept, length - right)
        clock = WindowClock(kept, self.first_timestamp, self.segment_size)
        for index, token in enumerate(kept):
            if token in self.special:
                self._special_token(token)
            elif token >= self.first_timestamp:
                self._timestamp(token, clock.read(index, self.precision), first_kept, last_kept)
            else:
                self.tokens.append(token)
                if self.by_word:
                    self.times.append(self._token_span(token_times, index))
        self.offset += length - right
        if self.tokens:
            self._keep_tokens()
        elif not any(self.heard):
            self._open_piece()

    def _first_in_right_stride(self, ids: list[int], right_start: float) -> int | None:
        """The timestamp from which on all lie in the right stride; the last one counts as lying there."""
        found: int | None = None
        for token in reversed(ids):
            if token >= self.first_timestamp:
                if found is not None and (token - self.first_timestamp) * self.precision < right_start:
                    break
                found = token
        return found

    def _token_span(self, token_times: list[float], index: int) -> tuple[float, float]:
        start = 0.0 if index == 0 else token_times[index - 1]
        return round(start + self.offset, 2), round(token_times[index] + self.offset, 2)

    def _special_token(self, token: int) -> None:
        language = LANGUAGES.get(self.tokenizer.decode([token])[2:-2])
        if language is None:
            return
        if self.language not in (None, language) and not self.timestamps:
            self._keep_tokens()  # without timestamps pieces are cut where the language changes
            self._close_piece()
        self.language = self.piece["language"] = language

    def _timestamp(self, token: int, seconds: float, first_kept: float, last_kept: int | None) -> None:
        time = round(seconds + self.offset, 2)
        if last_kept and token >= last_kept:
            self.skipping = True
        elif self.skipping or (self.heard and token < first_kept):
            self.skipping = False
        elif self.piece["timestamp"][0] is None:
            self.piece["timestamp"][0] = time
        elif time != self.piece["timestamp"][0]:
            self.piece["timestamp"][1] = time
            self._keep_tokens()
            self._close_piece()

    def finish(self) -> tuple[str, dict[str, Any]]:
        """Close what is open and give out the transcript."""
        if self.heard:
            if self.timestamps:
                logger.warning(
                    "The transcript does not end with a timestamp: the recording may have been cut off in the middle "
                    "of a word. Was the WhisperTimeStampLogitsProcessor used during generation?"
                )
            self._close_piece()
        text = "".join(piece["text"] for piece in self.pieces)
        if not (self.timestamps or self.return_language):
            return text, {}
        for piece in self.pieces:
            timestamp, language = tuple(piece.pop("timestamp")), piece.pop("language")
            words, said = piece.pop("words", None), piece.pop("text")
            if self.return_language:
                piece["language"] = language
            if self.timestamps:
                piece["timestamp"] = timestamp
            piece["text"] = said
            if words is not None:
                piece["words"] = words
        if self.by_word:
            return text, {"chunks": [word for piece in self.pieces for word in piece["words"]]}
        return text, {"chunks": self.pieces}


def join_overlapping(sequences: list[list[int]], times: list[Times] | None = None) -> tuple[list[int], Times]:
    """Join token sequences of overlapping chunks in the middle of their best overlaps.

    An overlap of i tokens scores the share of equal tokens, plus i / 10000, so that longer ones win ties; with `times`
    a token also has to lie no later in the left sequence than in the right one.
    """
    joined: list[int] = []
    joined_times: Times = []
    left, left_times = sequences[0], times[0] if times else []
    for number, right in enumerate(sequences[1:], start=1):
        right_times = times[number] if times else []
        left_begin, left_end, right_begin, right_end = _best_overlap(
            left, right, (left_times, right_times) if times else None
        )
        left_cut, right_cut = (left_begin + left_end) // 2, (right_begin + right_end) // 2
        joined += left[:left_cut]
        joined_times += left_times[:left_cut]
        left, left_times = right[right_cut:], right_times[right_cut:]
    return joined + left, joined_times + left_times


def _best_overlap(left: list[int], right: list[int], times: tuple[Times, Times] | None) -> tuple[int, int, int, int]:
    """Ends of the best overlap in both sequences, (len(left), len(left), 0, 0) if none has two equal tokens."""
    best, place = 0.0, (len(left), len(left), 0, 0)
    left_ids, right_ids = np.array(left), np.array(right)
    for size in range(1, len(left) + len(right)):
        left_begin, left_end = max(0, len(left) - size), min(len(left), len(left) + len(right) - size)
        right_begin, right_end = max(0, size - len(left)), min(len(right), size)
        equal = left_ids[left_begin:left_end] == right_ids[right_begin:right_end]
        if times is not None:
            starts_left = np.array(times[0], dtype=float).reshape(-1, 2)[left_begin:left_end]
            starts_right = np.array(times[1], dtype=float).reshape(-1, 2)[right_begin:right_end]
            equal &= _not_later(starts_left, starts_right)
        matches = int(equal.sum())
        score = matches / size + size / 10000.0
        if matches > 1 and score > best:
            best, place = score, (left_begin, left_end, right_begin, right_end)
    return place


def _not_later(left_N2: Any, right_N2: Any) -> Any:
    """Whether spans lie no later: compared by start, then by end."""
    starts_equal = left_N2[:, 0] == right_N2[:, 0]
    return (left_N2[:, 0] < right_N2[:, 0]) | (starts_equal & (left_N2[:, 1] <= right_N2[:, 1]))
