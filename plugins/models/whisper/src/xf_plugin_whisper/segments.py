"""Segments of a transcript: cutting what was decoded for a window at its timestamps, and joining segments again.

A segment is a dictionary: "start" and "end" in seconds, "tokens" (with its timestamps), "idxs" (where they stand in the
sequence of the window), "result" (what was decoded for the window), and "token_timestamps" where asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Segment = dict[str, Any]
FRAME_SECONDS = 0.01  # to a frame of the features
STEP_SECONDS = 0.02  # to a timestamp token; two frames
FRAMES_PER_STEP = 2


def cut_into_segments(
    tokens: Tensor,
    offset: Tensor,
    frames: int,
    first_timestamp: float,
    result: Any,
    prompt_length: int,
    step_seconds: float = STEP_SECONDS,
    frame_seconds: float = FRAME_SECONDS,
) -> tuple[list[Segment], int]:
    """The segments of one window, and how many frames they cover: there the next window begins.

    Args:
        tokens: (tokens,) decoded after the prompt, without the end token.
        offset: seconds from the start of the recording to that of the window.
        frames: of sound in the window.
        first_timestamp: id of <|0.00|>.
        result: kept in each segment.
        prompt_length: tokens before `tokens` in the sequence.
    """
    marks = tokens >= first_timestamp
    cuts = (torch.nonzero(marks[:-1] & marks[1:])[:, 0] + 1).tolist()
    if not cuts:  # one segment from the start of the window to its only or last timestamp
        times = tokens[marks].tolist()
        steps = times[-1] - int(first_timestamp) if times else int(frames * frame_seconds / step_seconds)
        return [_segment(tokens, offset, 0.0, steps * step_seconds, 0, result, prompt_length)], frames
    ends_single = marks[-2:].tolist() == [False, True]  # the model heard no speech after it
    if ends_single:
        cuts.append(len(tokens))
    else:
        cuts[-1] += 1  # the last segment keeps the timestamp of the unfinished one that follows
    segments = []
    begin = 0
    for number, cut in enumerate(cuts):
        piece = tokens[begin:cut]
        last = -2 if number == len(cuts) - 1 and not ends_single else -1
        start, end = (int(piece[i]) - int(first_timestamp) for i in (0, last))
        segments.append(_segment(piece, offset, start * step_seconds, end * step_seconds, begin, result, prompt_length))
        begin = cut
    covered = frames if ends_single else (int(tokens[begin - 2]) - int(first_timestamp)) * FRAMES_PER_STEP
    return segments, covered


def _segment(
    piece: Tensor, offset: Tensor, start: float, end: float, begin: int, result: Any, prompt_length: int
) -> Segment:
    indices = (prompt_length + begin, prompt_length + begin + len(piece))
    segment: Segment = {
        "start": offset + start,
        "end": offset + end,
        "tokens": piece,
        "idxs": indices,
        "result": result,
    }
    if isinstance(result, dict) and "token_timestamps" in result:
        segment["token_timestamps"] = result["token_timestamps"][slice(*indices)] + offset.to(torch.float32)
    return segment


def joined_tokens(segments: list[Segment], first_timestamp: float | None = None, key: str = "tokens") -> Tensor | None:
    """The tokens (or times) of segments one after the other, None if there are none.

    With `first_timestamp` the last of two timestamps at the end of a segment is left out: the next segment has it.
    """
    pieces = []
    for segment in segments:
        piece = segment[key]
        if first_timestamp is not None and len(piece) > 2 and bool((piece[-2:] >= first_timestamp).all()):
            piece = piece[:-1]
        pieces.append(piece)
    return torch.cat(pieces) if pieces else None


def pad_rows(rows: list[Tensor], value: float, left: bool = False) -> Tensor:
    """Rows of different lengths as one tensor, filled up with `value` on one side."""
    length = max(map(len, rows))
    padded = rows[0].new_full((len(rows), length), value)
    for index, row in enumerate(rows):
        padded[index, length - len(row) if left else 0 : length if left else len(row)] = row
    return padded
