"""Longformer's tokenizer on the `tokenizers` library (arXiv:2004.05150)."""

from __future__ import annotations

from xf_tokenizers.byte_level_families import RobertaTokenizerFast


class LongformerTokenizerFast(RobertaTokenizerFast):
    """RoBERTa's pipeline: <s> text </s> and <s> text </s></s> text </s>; all token types are 0."""


class LongformerTokenizer(LongformerTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
