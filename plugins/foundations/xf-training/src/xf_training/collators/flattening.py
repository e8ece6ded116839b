"""The collator that joins all rows into one without padding; positions that start again keep them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xf import logging

from .default import Batch, DefaultDataCollator, framework
from .padding import to_list

logger = logging.get_logger(__name__)


class DataCollatorWithFlattening(DefaultDataCollator):
    """One row of all rows' tokens, for attention that keeps sequences apart by their positions (no padding at all).

    Args:
        return_position_ids: positions that start at 0 for every row.
        separator_id: the label of each row's first token, which no earlier row may predict.
        return_flash_attn_kwargs: also `cu_seq_lens_q`, `cu_seq_lens_k`, `max_length_q`, `max_length_k`.
        return_seq_idx: also `seq_idx`, the number of the row that each token comes from.
    """

    def __init__(
        self,
        *args: Any,
        return_position_ids: bool = True,
        separator_id: int = -100,
        return_flash_attn_kwargs: bool = False,
        return_seq_idx: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.return_position_ids = return_position_ids
        self.separator_id = separator_id
        self.return_flash_attn_kwargs = return_flash_attn_kwargs
        self.return_seq_idx = return_seq_idx
        logger.warning_once(
            "The rows of a batch become one: use an attention implementation that keeps them apart by position_ids or "
            "cu_seq_lens, or they attend to each other."
        )

    def __call__(
        self, features: Sequence[dict[str, Any]], return_tensors: str | None = None, separator_id: int | None = None
    ) -> Batch:
        tensors = framework(return_tensors or self.return_tensors)
        separator = self.separator_id if separator_id is None else separator_id
        rows = [to_list(row["input_ids"]) for row in features]
        labelled = "labels" in features[0]
        labels = [to_list(row["labels"]) for row in features] if labelled else rows
        lengths = [len(row) for row in rows]
        flat: dict[str, list[int]] = {
            "input_ids": [token for row in rows for token in row],
            "labels": [label for row in labels for label in [separator, *row[1:]]],
        }
        if self.return_position_ids:
            flat["position_ids"] = [position for length in lengths for position in range(length)]
        if self.return_seq_idx:
            flat["seq_idx"] = [number for number, length in enumerate(lengths) for _ in range(length)]
        batch: Batch = {name: _tensor([values], tensors, name == "seq_idx") for name, values in flat.items()}
        if self.return_flash_attn_kwargs:
            ends = _tensor(np.cumsum([0, *lengths]).tolist(), tensors, True)
            batch |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends}
            batch |= {"max_length_q": max(lengths), "max_length_k": max(lengths)}
        return batch


def _tensor(values: list[Any], return_tensors: str, short: bool) -> Any:
    """int64, or int32 for what attention kernels take."""
    if return_tensors == "pt":
        return torch.tensor(values, dtype=torch.int32 if short else torch.int64)
    return np.array(values, dtype=np.int32 if short else np.int64)
