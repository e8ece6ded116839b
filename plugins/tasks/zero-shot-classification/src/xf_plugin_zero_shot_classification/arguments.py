"""What zero-shot classification accepts: texts, labels, a hypothesis."""

from __future__ import annotations

from typing import Any

from xf_pipelines.formats import ArgumentHandler


class ZeroShotClassificationArgumentHandler(ArgumentHandler):
    """Pairs every text with the hypothesis of every label."""

    @staticmethod
    def _parse_labels(labels: str | list[str]) -> list[str]:
        if isinstance(labels, str):
            return [label.strip() for label in labels.split(",") if label.strip()]
        return labels

    def __call__(
        self, sequences: str | list[str], labels: str | list[str], hypothesis_template: str
    ) -> tuple[list[list[str]], list[str]]:
        """([[text, hypothesis], ...] for all texts and labels, the texts as a list).

        Raises: ValueError without texts or labels, or for a template that has no place for the label.
        """
        if len(labels) == 0 or len(sequences) == 0:
            raise ValueError("Give at least one label and at least one sequence: candidate_labels=[...].")
        if hypothesis_template.format(labels[0]) == hypothesis_template:
            raise ValueError(
                f"hypothesis_template {hypothesis_template!r} has no place for the label: put {{}} where it belongs."
            )
        texts = [sequences] if isinstance(sequences, str) else sequences
        pairs: list[list[Any]] = [[text, hypothesis_template.format(label)] for text in texts for label in labels]
        return pairs, texts
