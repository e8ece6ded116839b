"""The collator for language models: masked (Devlin et al. 2019, section 3.1) or predicting the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .default import Batch, DataCollatorMixin

IGNORED = -100  # the label that the losses leave out


def stacked(rows: Sequence[Any], tokenizer: Any, return_tensors: str, multiple: int | None = None) -> Any:
    """Rows of ids as one tensor; where their lengths differ, filled with the pad token on the tokenizer's side."""
    if return_tensors == "pt":
        rows = [torch.as_tensor(row, dtype=torch.long) for row in rows]
    else:
        rows = [np.array(row, dtype=np.int64) for row in rows]
    length = max(len(row) for row in rows)
    if multiple:
        length = -(-length // multiple) * multiple
    if any(len(row) != length for row in rows) and tokenizer.pad_token_id is None:
        raise ValueError(
            f"Rows differ in length (up to {length}) and {type(tokenizer).__name__} has no pad token: set "
            f"tokenizer.pad_token, e.g. to tokenizer.eos_token."
        )
    make = torch.full if return_tensors == "pt" else np.full
    result = make((len(rows), length), 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
    if return_tensors == "np":
        result = result.astype(np.int64)
    for i, row in enumerate(rows):
        result[i, slice(len(row)) if tokenizer.padding_side == "right" else slice(length - len(row), None)] = row
    return result


@dataclass
class DataCollatorForLanguageModeling(DataCollatorMixin):
    """Pads rows and makes labels: of masked tokens, or, with mlm=False, of all tokens but the padding.

    Args:
        tokenizer: pads, and knows the mask token and which tokens are special (those are never masked).
        mlm: masked language modelling. mlm_probability: the share of tokens that are to be predicted.
        mask_replace_prob, random_replace_prob: of those, the share that becomes the mask token, and any token; the
            rest stays as it is. 0.8 and 0.1 are BERT's.
        pad_to_multiple_of: e.g. 8.
        return_tensors: "pt" or "np".
        seed: draw from a generator of this collator, so that masks do not depend on other draws; each worker of a data
            loader adds its number.
    Raises: ValueError for shares outside 0 to 1, or for a tokenizer without a mask token where mlm is on.
    """

    tokenizer: Any
    mlm: bool = True
    mlm_probability: float | None = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    tf_experimental_compile: bool = False
    return_tensors: str = "pt"
    seed: int | None = None
    generator: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mlm:
            if getattr(self.tokenizer, "mask_token", None) is None:
                raise ValueError(
                    f"{type(self.tokenizer).__name__} has no mask token, which masked language modelling needs. "
                    f"Pass mlm=False to predict the next token."
                )
            if self.mlm_probability is None or not 0 <= self.mlm_probability <= 1:
                raise ValueError(f"mlm_probability={self.mlm_probability} must be between 0 and 1.")
        for name in ("mask_replace_prob", "random_replace_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be between 0 and 1.")
        if self.mask_replace_prob + self.random_replace_prob > 1:
            total = self.mask_replace_prob + self.random_replace_prob
            raise ValueError(f"mask_replace_prob and random_replace_prob are {total} together; at most 1 is possible.")
        if self.tf_experimental_compile:
            raise ValueError("tf_experimental_compile=True needs TensorFlow; xf runs on torch.")

    def torch_call(self, examples: Sequence[Any]) -> Batch:
        """A batch of torch tensors; each example a list of ids or a row with `input_ids`."""
        return self._collate(examples, "pt")

    def numpy_call(self, examples: Sequence[Any]) -> Batch:
        """A batch of NumPy arrays."""
        return self._collate(examples, "np")

    def _collate(self, examples: Sequence[Any], return_tensors: str) -> Batch:
        self._start_generator(return_tensors)
        if isinstance(examples[0], Mapping):
            multiple = self.pad_to_multiple_of
            batch: Batch = self.tokenizer.pad(examples, return_tensors=return_tensors, pad_to_multiple_of=multiple)
        else:
            batch = {"input_ids": stacked(examples, self.tokenizer, return_tensors, self.pad_to_multiple_of)}
        special = batch.pop("special_tokens_mask", None)
        if self.mlm:
            mask = self.torch_mask_tokens if return_tensors == "pt" else self.numpy_mask_tokens
            batch["input_ids"], batch["labels"] = mask(batch["input_ids"], special_tokens_mask=special)
            return batch
        labels = batch["input_ids"].clone() if return_tensors == "pt" else np.copy(batch["input_ids"])
        if self.tokenizer.pad_token_id is not None:
            labels[labels == self.tokenizer.pad_token_id] = IGNORED
        batch["labels"] = labels
        return batch

    def _start_generator(self, return_tensors: str) -> None:
        if self.seed is None or self.generator is not None:
            return
        worker = torch.utils.data.get_worker_info()
        seed = self.seed + (worker.id if worker else 0)
        torch_generator = return_tensors == "pt"
        self.generator = torch.Generator().manual_seed(seed) if torch_generator else np.random.default_rng(seed)

    def _is_special(self, inputs: Any, special_tokens_mask: Any) -> np.ndarray:
        """Which tokens are special, as booleans."""
        if special_tokens_mask is not None:
            return np.asarray(special_tokens_mask, dtype=bool)
        rows = inputs.tolist()
        get = self.tokenizer.get_special_tokens_mask
        return np.array([get(row, already_has_special_tokens=True) for row in rows], dtype=bool)

    def torch_mask_tokens(self, inputs: Tensor, special_tokens_mask: Any | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (changed in place) and labels of masked language modelling: -100 where nothing is predicted."""
        chances = torch.full(inputs.shape, float(self.mlm_probability or 0))
        chances.masked_fill_(torch.from_numpy(self._is_special(inputs, special_tokens_mask)), 0.0)
        return self._replace_torch(inputs, self._drawn(chances))

    def _drawn(self, chances: Tensor) -> Tensor:
        return torch.bernoulli(chances, generator=self.generator).bool()

    def _replace_torch(self, inputs: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Of the chosen tokens most become the mask, some any token; the labels are what the chosen ones were."""
        labels = inputs.masked_fill(~chosen, IGNORED)
        masked = self._drawn(torch.full(labels.shape, float(self.mask_replace_prob))) & chosen
        inputs[masked] = self.tokenizer.convert_tokens_to_ids(self.tokenizer.mask_token)
        if self.mask_replace_prob == 1 or self.random_replace_prob == 0:
            return inputs, labels
        share = self.random_replace_prob / (1 - self.mask_replace_prob)
        random = self._drawn(torch.full(labels.shape, share)) & chosen & ~masked
        words = torch.randint(len(self.tokenizer), labels.shape, dtype=torch.long, generator=self.generator)
        inputs[random] = words[random]
        return inputs, labels

    def numpy_mask_tokens(self, inputs: Any, special_tokens_mask: Any | None = None) -> tuple[Any, Any]:
        """As `torch_mask_tokens`, on NumPy arrays."""
        chances = np.full(inputs.shape, self.mlm_probability)
        chances[self._is_special(inputs, special_tokens_mask)] = 0
        source = self.generator if self.generator is not None else np.random
        return self._replace_numpy(inputs, source.binomial(1, chances, size=chances.shape).astype(bool))

    def _replace_numpy(self, inputs: Any, chosen: Any) -> tuple[Any, Any]:
        source = self.generator if self.generator is not None else np.random
        labels = np.where(chosen, inputs, IGNORED)
        masked = source.binomial(1, self.mask_replace_prob, size=labels.shape).astype(bool) & chosen
        inputs[masked] = self.tokenizer.mask_token_id
        if self.mask_replace_prob == 1 or self.random_replace_prob == 0:
            return inputs, labels
        share = self.random_replace_prob / (1 - self.mask_replace_prob)
        random = source.binomial(1, share, size=labels.shape).astype(bool) & chosen & ~masked
        inputs[random] = self._random_words(random)
        return inputs, labels

    def _random_words(self, where: Any) -> Any:
        """Ids for the places that get any token."""
        if self.generator is not None:
            return self.generator.integers(low=0, high=len(self.tokenizer), size=np.count_nonzero(where))
        return np.random.randint(low=0, high=len(self.tokenizer), size=np.count_nonzero(where), dtype=np.int64)

    def tf_mask_tokens(self, *args: Any, **kwargs: Any) -> Any:
        """ValueError: xf runs on torch."""
        raise ValueError("tf_mask_tokens needs TensorFlow; xf runs on torch. Use torch_mask_tokens.")
