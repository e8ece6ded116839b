"""Collators that pad: the rows with the tokenizer's padding, and labels with what the loss does not count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .default import Batch, DataCollatorMixin, framework

LABEL_NAMES = ("label", "labels")


def to_list(values: Any) -> list[Any]:
    """Tensors and arrays as lists."""
    return list(values.tolist() if hasattr(values, "tolist") else values)


def labels_tensor(rows: list[list[int]], return_tensors: str) -> Any:
    """Equally long rows of labels as integers."""
    return torch.tensor(rows, dtype=torch.int64) if return_tensors == "pt" else np.array(rows, dtype=np.int64)


def label_name(row: Any) -> str | None:
    """Which of `label` and `labels` a row has."""
    return next((name for name in LABEL_NAMES if name in row), None)


def padded_labels(rows: list[list[int]], length: int, pad: int, side: str) -> list[list[int]]:
    """Each row filled up to `length` on the side where the tokenizer pads."""
    if side not in ("left", "right"):
        raise ValueError(f"padding_side={side!r} of the tokenizer is neither 'left' nor 'right'.")
    fill = [[pad] * (length - len(row)) for row in rows]
    return [row + more if side == "right" else more + row for row, more in zip(rows, fill, strict=True)]


@dataclass
class DataCollatorWithPadding:
    """Pads the rows with the tokenizer; `label` and `label_ids` become `labels`.

    Args:
        tokenizer: whose `pad` is called.
        padding: True or "longest", "max_length" (with max_length), or False.
        max_length: the length of "max_length". pad_to_multiple_of: e.g. 8, for tensor cores.
        return_tensors: "pt" or "np".
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Sequence[dict[str, Any]]) -> Batch:
        batch: Batch = self.tokenizer.pad(
            features,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors=framework(self.return_tensors),
        )
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


@dataclass
class DataCollatorForTokenClassification(DataCollatorMixin):
    """Pads the rows, and their labels, one per token, with `label_pad_token_id` (the loss leaves -100 out)."""

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = -100
    return_tensors: str = "pt"

    def torch_call(self, features: Sequence[dict[str, Any]]) -> Batch:
        """A batch of torch tensors."""
        return self._collate(features, "pt")

    def numpy_call(self, features: Sequence[dict[str, Any]]) -> Batch:
        """A batch of NumPy arrays."""
        return self._collate(features, "np")

    def _collate(self, features: Sequence[dict[str, Any]], return_tensors: str) -> Batch:
        name = label_name(features[0])
        unlabelled = [{key: value for key, value in row.items() if key != name} for row in features]
        batch: Batch = self.tokenizer.pad(
            unlabelled,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors=return_tensors,
        )
        if name is not None:
            labels = [to_list(row[name]) for row in features]
            length = batch["input_ids"].shape[1]
            padded = padded_labels(labels, length, self.label_pad_token_id, self.tokenizer.padding_side)
            batch[name] = labels_tensor(padded, return_tensors)
        return batch


@dataclass
class DataCollatorForSeq2Seq:
    """Pads inputs and labels separately, each to its own length.

    Args as for `DataCollatorForTokenClassification`; model: where it can shift labels to the right, the batch also
    holds `decoder_input_ids`, which label smoothing needs.
    """

    tokenizer: Any
    model: Any | None = None
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = -100
    return_tensors: str = "pt"

    def __call__(self, features: Sequence[dict[str, Any]], return_tensors: str | None = None) -> Batch:
        tensors = framework(return_tensors or self.return_tensors)
        name = label_name(features[0])
        labels = [row[name] for row in features] if name else None
        if labels is not None and all(row is None for row in labels):
            labels = None
        unlabelled = [{key: value for key, value in row.items() if key != name} for row in features]
        batch: Batch = self.tokenizer.pad(
            unlabelled,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors=tensors,
        )
        batch["labels"] = None if labels is None else self._labels([to_list(row) for row in labels], tensors)
        if labels is not None and hasattr(self.model, "prepare_decoder_input_ids_from_labels"):
            shifted = self.model.prepare_decoder_input_ids_from_labels(labels=torch.as_tensor(batch["labels"]))
            batch["decoder_input_ids"] = shifted if tensors == "pt" else shifted.numpy()
        return batch

    def _labels(self, labels: list[list[int]], return_tensors: str) -> Any:
        length = max(len(row) for row in labels)
        if self.padding in (False, "do_not_pad"):
            length = 0
        elif self.padding == "max_length" and self.max_length is not None:
            length = max(self.max_length, length)
        elif self.pad_to_multiple_of:
            length = -(-length // self.pad_to_multiple_of) * self.pad_to_multiple_of
        padded = padded_labels(labels, length, self.label_pad_token_id, self.tokenizer.padding_side)
        return labels_tensor(padded, return_tensors)


@dataclass
class DataCollatorForMultipleChoice(DataCollatorMixin):
    """Rows of several choices each: pads over all choices and gives tensors of (rows, choices, tokens)."""

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def torch_call(self, features: Sequence[dict[str, Any]]) -> Batch:
        """A batch of torch tensors."""
        return self._collate(features, "pt")

    def numpy_call(self, features: Sequence[dict[str, Any]]) -> Batch:
        """A batch of NumPy arrays."""
        return self._collate(features, "np")

    def _collate(self, features: Sequence[dict[str, Any]], return_tensors: str) -> Batch:
        name = label_name(features[0])
        columns = [key for key in features[0] if key != name]
        if not columns:
            raise ValueError("Rows of choices hold nothing but labels; they need input_ids, one list per choice.")
        choices = len(features[0][columns[0]])
        if uneven := [i for i, row in enumerate(features) if len(row[columns[0]]) != choices]:
            raise ValueError(f"Rows {uneven} of the batch do not have {choices} choices as row 0 has.")
        flat = [{key: row[key][i] for key in columns} for row in features for i in range(choices)]
        padded = self.tokenizer.pad(
            flat,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors=return_tensors,
        )
        batch: Batch = {key: value.reshape(len(features), choices, -1) for key, value in padded.items()}
        if name is not None:
            labels = [row[name] for row in features]
            batch["labels"] = torch.tensor(labels, dtype=torch.int64) if return_tensors == "pt" else np.array(labels)
        return batch
