"""Data collators: rows of a data set become a batch (spec: data_collator.md).

A collator is called with a list of rows and gives a dict of tensors. `return_tensors` is "pt" for torch or "np" for
NumPy, of the collator or of the call.
"""

from __future__ import annotations

from .default import DataCollatorMixin, DefaultDataCollator, default_data_collator
from .flattening import DataCollatorWithFlattening
from .language_modeling import DataCollatorForLanguageModeling
from .padding import (
    DataCollatorForMultipleChoice,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
)
from .permutation import DataCollatorForPermutationLanguageModeling
from .whole_word import DataCollatorForWholeWordMask

__all__ = [
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForPermutationLanguageModeling",
    "DataCollatorForSeq2Seq",
    "DataCollatorForTokenClassification",
    "DataCollatorForWholeWordMask",
    "DataCollatorMixin",
    "DataCollatorWithFlattening",
    "DataCollatorWithPadding",
    "DefaultDataCollator",
    "default_data_collator",
]
