"""Permutation language modelling (XLNet, Yang et al. 2019): spans are predicted in a random order of the sequence."""

# Legend: B rows, T tokens of a row (even)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .default import Batch, DataCollatorMixin
from .language_modeling import IGNORED, stacked


@dataclass
class DataCollatorForPermutationLanguageModeling(DataCollatorMixin):
    """Makes `perm_mask`, `target_mapping` and `labels` for a model that predicts spans in permuted order.

    Args:
        tokenizer: knows the mask token and which tokens are special.
        plm_probability: the share of tokens that are predicted; each span of n tokens stands in a context of n / share.
        max_span_length: the longest span.
        return_tensors: "pt" or "np".
    """

    tokenizer: Any
    plm_probability: float = 1 / 6
    max_span_length: int = 5
    return_tensors: str = "pt"

    def torch_call(self, examples: Sequence[Any]) -> Batch:
        """A batch of torch tensors; each example a list of ids or a row with `input_ids`, all of even length."""
        names = ("input_ids", "perm_mask", "target_mapping", "labels")
        return dict(zip(names, self.torch_mask_tokens(self._stack(examples, "pt")), strict=True))

    def numpy_call(self, examples: Sequence[Any]) -> Batch:
        """A batch of NumPy arrays."""
        names = ("input_ids", "perm_mask", "target_mapping", "labels")
        return dict(zip(names, self.numpy_mask_tokens(self._stack(examples, "np")), strict=True))

    def _stack(self, examples: Sequence[Any], return_tensors: str) -> Any:
        rows = [row["input_ids"] if isinstance(row, Mapping) else row for row in examples]
        return stacked(rows, self.tokenizer, return_tensors)

    def _check(self, inputs: Any) -> None:
        if self.tokenizer.mask_token is None:
            raise ValueError(f"{type(self.tokenizer).__name__} has no mask token, which permutation modelling needs.")
        if inputs.shape[1] % 2:
            raise ValueError(
                f"The rows have {inputs.shape[1]} tokens; permutation modelling needs an even number, so that no token "
                f"sees itself when two halves are permuted. Pad them, e.g. with pad_to_multiple_of=2."
            )

    def _never(self, inputs: Any) -> np.ndarray:
        """Special tokens and padding: never predicted."""
        get = self.tokenizer.get_special_tokens_mask
        special = np.array([get(row, already_has_special_tokens=True) for row in inputs.tolist()], dtype=bool)
        if self.tokenizer.pad_token_id is not None:
            special |= np.asarray(inputs) == self.tokenizer.pad_token_id
        return special

    def _spans(self, length: int, draw: Any) -> np.ndarray:
        """Which tokens of one row are in a predicted span; draw(low, high) is a random integer below high."""
        chosen = np.zeros(length, dtype=bool)
        start = 0
        while start < length:
            span = draw(1, self.max_span_length + 1)
            context = int(span / self.plm_probability)
            first = start + draw(0, context - span + 1)
            chosen[first : first + span] = True
            start += context
        return chosen

    def torch_mask_tokens(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """inputs (B, T, changed in place), perm_mask (B, T, T), target_mapping (B, T, T), labels (B, T)."""
        self._check(inputs)
        length = inputs.shape[1]
        draw = lambda low, high: int(torch.randint(low, high, (1,)))  # noqa: E731
        chosen = torch.from_numpy(np.stack([self._spans(length, draw) for _ in range(len(inputs))]))
        never = torch.from_numpy(self._never(inputs))
        order = [torch.arange(length).reshape(-1, length // 2).transpose(0, 1) for _ in range(len(inputs))]
        positions = torch.stack([o[torch.randperm(length // 2)].transpose(0, 1).flatten() for o in order])
        return self._masks(inputs, chosen, never, positions, torch)  # type: ignore[return-value]

    def numpy_mask_tokens(self, inputs: Any) -> tuple[Any, Any, Any, Any]:
        """As `torch_mask_tokens`, on NumPy arrays."""
        self._check(inputs)
        length = inputs.shape[1]
        draw = lambda low, high: int(np.random.randint(low, high))  # noqa: E731
        chosen = np.zeros(inputs.shape, dtype=bool)
        positions = np.zeros(inputs.shape, dtype=np.int64)
        for spans, row in zip(chosen, positions, strict=True):
            spans[:] = self._spans(length, draw)
            halves = np.arange(length).reshape(-1, length // 2).T
            np.random.shuffle(halves)
            row[:] = halves.T.flatten()
        return self._masks(inputs, chosen, self._never(inputs), positions, np)

    def _masks(self, inputs: Any, chosen: Any, never: Any, positions: Any, library: Any) -> tuple[Any, Any, Any, Any]:
        chosen = chosen & ~never
        labels = library.where(chosen, inputs, IGNORED)
        inputs[chosen] = self.tokenizer.mask_token_id
        # what is neither predicted nor special can be seen by all, itself too: its place in the order is before all
        positions = library.where(~(chosen | never), -1, positions)
        hidden = (positions[:, :, None] <= positions[:, None, :]) & chosen[:, None, :]
        mapping = library.zeros(hidden.shape, dtype=library.float32)
        diagonal = library.arange(inputs.shape[1])
        mapping[:, diagonal, diagonal] = 1.0
        floats = hidden.float() if library is torch else hidden.astype(np.float32)
        return inputs, floats, mapping, labels
