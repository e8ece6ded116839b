"""ELECTRA's tokenizer on the `tokenizers` library: BERT's (arXiv:2003.10555)."""

from __future__ import annotations

from xf_tokenizers.wordpiece_families import BertTokenizerFast


class ElectraTokenizerFast(BertTokenizerFast):
    """WordPiece with [CLS] text [SEP] and [CLS] text [SEP] text [SEP]."""


class ElectraTokenizer(ElectraTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
