"""From labelled tokens to words, from words to entities.

Labels in the IOB scheme (Ramshaw and Marcus 1995, cmp-lg/9505040) begin with B- or I-; others count as inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xf.utils import ExplicitEnum


class AggregationStrategy(ExplicitEnum):
    """How tokens become entities.

    NONE: they stay tokens. SIMPLE: neighbours with one label join. FIRST, AVERAGE, MAX: words are never split; a word
    takes the label of its first token, of the mean scores, or of its surest token.
    """

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"

    @property
    def needs_words(self) -> bool:
        """Whether it must know which tokens make a word."""
        return self in (AggregationStrategy.FIRST, AggregationStrategy.AVERAGE, AggregationStrategy.MAX)


@dataclass
class Token:
    """One token: its text, its scores (L,), its index in the input, and where it stands in the sentence."""

    word: str
    scores: Any
    index: int
    start: int | None = None
    end: int | None = None
    is_subword: bool = False


def aggregate(
    tokens: list[Token], strategy: AggregationStrategy, id2label: Mapping[int, str], tokenizer: Any
) -> list[dict[str, Any]]:
    """The entities of one text, as the pipeline returns them."""
    if strategy.needs_words:
        return _entities([_word(group, strategy, id2label, tokenizer) for group in _words(tokens)], tokenizer)
    labelled = [
        {
            "entity": id2label[int(token.scores.argmax())],
            "score": float(token.scores.max()),
            "index": token.index,
            "word": token.word,
            "start": token.start,
            "end": token.end,
        }
        for token in tokens
    ]
    return labelled if strategy == AggregationStrategy.NONE else _entities(labelled, tokenizer)


def _words(tokens: list[Token]) -> list[list[Token]]:
    """Runs of tokens that make a word."""
    words: list[list[Token]] = []
    for token in tokens:
        if token.is_subword and words:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _word(
    tokens: list[Token], strategy: AggregationStrategy, id2label: Mapping[int, str], tokenizer: Any
) -> dict[str, Any]:
    """One word with the label that the strategy gives it."""
    if strategy == AggregationStrategy.AVERAGE:
        scores_L = np.mean(np.stack([token.scores for token in tokens]), axis=0)
    elif strategy == AggregationStrategy.MAX:
        scores_L = max(tokens, key=lambda token: float(token.scores.max())).scores
    else:
        scores_L = tokens[0].scores
    best = int(scores_L.argmax())
    return {
        "entity": id2label[best],
        "score": float(scores_L[best]),
        "word": tokenizer.convert_tokens_to_string([token.word for token in tokens]),
        "start": tokens[0].start,
        "end": tokens[-1].end,
    }


def _tag(label: str) -> tuple[str, str]:
    """(B or I, what it is) of a label; a label without a prefix counts as inside."""
    return (label[0], label[2:]) if label.startswith(("B-", "I-")) else ("I", label)


def _entities(parts: list[dict[str, Any]], tokenizer: Any) -> list[dict[str, Any]]:
    """Join neighbours of one tag; a B- begins a new entity."""
    groups: list[list[dict[str, Any]]] = []
    for part in parts:
        begins, tag = _tag(part["entity"])
        if groups and begins != "B" and tag == _tag(groups[-1][-1]["entity"])[1]:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [
        {
            "entity_group": group[0]["entity"].split("-", 1)[-1],
            "score": float(np.nanmean([part["score"] for part in group])),
            "word": tokenizer.convert_tokens_to_string([part["word"] for part in group]),
            "start": group[0]["start"],
            "end": group[-1]["end"],
        }
        for group in groups
    ]


def longest_of_overlapping(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that overlap (windows share text), the longest, then the surest; in the order of the text."""
    kept: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda e: e["start"]):
        if kept and kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            length, before = entity["end"] - entity["start"], kept[-1]["end"] - kept[-1]["start"]
            if length > before or (length == before and entity["score"] > kept[-1]["score"]):
                kept[-1] = entity
        else:
            kept.append(entity)
    return kept
