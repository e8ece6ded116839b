"""Timestamp tokens in a sequence of ids: reading them as times, and cutting the sequence at them.

Timestamps count from the start of their window of 30 s (1500 steps of 0.02 s). A long transcript is the tokens of its
windows one after the other, so a time that goes back tells that the next window has begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TIME_PRECISION = 0.02  # seconds to a timestamp token (arXiv:2212.04356, section 2.3)
SEGMENT_STEPS = 1500  # timestamp tokens to a window of 30 s


class WindowClock:
    """Follows the timestamps of a transcript and says how much time the finished windows took, in steps."""

    def __init__(self, ids: Sequence[int], first_timestamp: int, segment_size: int = SEGMENT_STEPS) -> None:
        self.ids, self.first, self.segment_size = ids, first_timestamp, segment_size
        self.latest = 0.0
        self.before = 0.0
        self.passed = 0.0
        self.last_is_void = False  # the timestamp before the one just read began a segment that was read again

    def ended_single(self, index: int) -> bool:
        """Whether what precedes `index` is text and then one timestamp: such a window was read to its end."""
        return index >= 2 and not (self.ids[index - 1] >= self.first and self.ids[index - 2] >= self.first)

    def read(self, index: int, precision: float = 1.0) -> float:
        """The time of the timestamp token at `index` since the start of the first window, in units of `precision`."""
        step = (self.ids[index] - self.first) * precision
        self.last_is_void = step < self.latest and not self.ended_single(index)
        if self.last_is_void:
            self.latest = self.before
            self.passed += self.before
        elif step < self.latest:
            self.passed += self.segment_size * precision
        self.before, self.latest = self.latest, step
        return step + self.passed


def split_at_timestamps(
    ids: Sequence[int], first_timestamp: int, precision: float = TIME_PRECISION
) -> Iterator[tuple[Sequence[int], float, float]]:
    """The pieces of a sequence between pairs of timestamps: (ids with their timestamps, start, end) in seconds."""
    marks = [token >= first_timestamp for token in ids]
    cuts = [i + 1 for i in range(len(ids) - 1) if marks[i] and marks[i + 1]]
    if not any(marks) or (not cuts and sum(marks) <= 1):
        return
    last_mark = max(i for i, mark in enumerate(marks) if mark)
    if last_mark + 1 not in cuts:
        cuts.append(last_mark + 1)
    begin = marks.index(True)
    latest, passed = 0, 0
    for cut in cuts:
        piece = ids[begin:cut]
        if len(piece) > 1:
            start, end = piece[0] - first_timestamp, piece[-1] - first_timestamp
            if start < latest:  # the next window
                single = begin >= 2 and not (marks[begin - 2] and marks[begin - 1])
                passed += SEGMENT_STEPS if single else latest
            latest = end
            yield piece, start * precision + passed * precision, end * precision + passed * precision
        begin = cut
