"""Masked language modelling by whole words: all pieces of a chosen word are predicted together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xf import logging

from .default import Batch
from .language_modeling import DataCollatorForLanguageModeling, stacked
from .padding import to_list

logger = logging.get_logger(__name__)


class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """Chooses words instead of tokens; a token that begins with `##` goes on with the word before it.

    That is WordPiece's way of writing: other tokenizers need `DataCollatorForLanguageModeling`. A row may hold
    `chinese_ref`, the positions whose token continues a word though it is written without `##`.
    """

    def _collate(self, examples: Sequence[Any], return_tensors: str) -> Batch:
        self._start_generator(return_tensors)
        rows = [row if isinstance(row, Mapping) else {"input_ids": row} for row in examples]
        ids = stacked([row["input_ids"] for row in rows], self.tokenizer, return_tensors, self.pad_to_multiple_of)
        masks = [self._chosen_words(self._tokens(row)) for row in rows]
        length = ids.shape[1]
        if self.tokenizer.padding_side == "right":
            padded = [mask + [0] * (length - len(mask)) for mask in masks]
        else:
            padded = [[0] * (length - len(mask)) + mask for mask in masks]
        mask = self.torch_mask_tokens if return_tensors == "pt" else self.numpy_mask_tokens
        inputs, labels = mask(ids, torch.tensor(padded) if return_tensors == "pt" else np.array(padded))
        return {"input_ids": inputs, "labels": labels}

    def _tokens(self, row: Mapping[str, Any]) -> list[str]:
        tokens = list(self.tokenizer.convert_ids_to_tokens(to_list(row["input_ids"])))
        for position in to_list(row["chinese_ref"]) if "chinese_ref" in row else ():
            if position < len(tokens):
                tokens[position] = "##" + tokens[position]
        return tokens

    def _chosen_words(self, tokens: list[str], max_predictions: int = 512) -> list[int]:
        """1 for each token of a chosen word; words are taken in random order while the share of tokens allows it."""
        words: list[list[int]] = []
        for position, token in enumerate(tokens):
            if token in ("[CLS]", "[SEP]"):
                continue
            if words and token.startswith("##"):
                words[-1].append(position)
            else:
                words.append([position])
        words = self._shuffled(words)
        assert self.mlm_probability is not None
        wanted = min(max_predictions, max(1, round(len(tokens) * self.mlm_probability)))
        chosen: set[int] = set()
        for word in words:
            if len(chosen) >= wanted:
                break
            if len(chosen) + len(word) <= wanted:
                chosen.update(word)
        return [int(position in chosen) for position in range(len(tokens))]

    def _shuffled(self, words: list[list[int]]) -> list[list[int]]:
        if self.seed is None:
            random.shuffle(words)
            return words
        if isinstance(self.generator, torch.Generator):
            order = torch.randperm(len(words), generator=self.generator).tolist()
        else:
            order = self.generator.permutation(len(words)).tolist()
        return [words[i] for i in order]

    def torch_mask_tokens(self, inputs: Tensor, mask_labels: Any) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Inputs (changed in place) and labels; mask_labels: 1 for each token that is to be predicted."""
        chosen = torch.as_tensor(mask_labels).bool() & ~torch.from_numpy(self._never(inputs))
        return self._replace_torch(inputs, chosen)

    def numpy_mask_tokens(self, inputs: Any, mask_labels: Any) -> tuple[Any, Any]:  # type: ignore[override]
        """As `torch_mask_tokens`, on NumPy arrays."""
        return self._replace_numpy(inputs, np.asarray(mask_labels).astype(bool) & ~self._never(inputs))

    def _random_words(self, where: Any) -> Any:
        """Drawn for every token, so that the words do not depend on which places get one."""
        if self.generator is not None:
            return self.generator.integers(low=0, high=len(self.tokenizer), size=where.shape)[where]
        return np.random.randint(low=0, high=len(self.tokenizer), size=where.shape, dtype=np.int64)[where]

    def _never(self, inputs: Any) -> np.ndarray:
        special = self._is_special(inputs, None)
        if self.tokenizer.pad_token_id is not None:
            special |= np.asarray(inputs) == self.tokenizer.pad_token_id
        return special
