"""DistilBERT's tokenizer on the `tokenizers` library: BERT's (arXiv:1910.01108)."""

from __future__ import annotations

from xf_tokenizers.wordpiece_families import BertTokenizerFast


class DistilBertTokenizerFast(BertTokenizerFast):
    """WordPiece with [CLS] text [SEP] and [CLS] text [SEP] text [SEP]; the model takes no token types."""

    model_input_names = ["input_ids", "attention_mask"]


class DistilBertTokenizer(DistilBertTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
