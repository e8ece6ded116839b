"""BART's tokenizer on the `tokenizers` library (arXiv:1910.13461)."""

from __future__ import annotations

from xf_tokenizers.byte_level_families import RobertaTokenizerFast
from xf_tokenizers.family import mask


class BartTokenizerFast(RobertaTokenizerFast):
    """RoBERTa's pipeline: <s> text </s> and <s> text </s></s> text </s>; all token types are 0."""

    file_defaults = {**RobertaTokenizerFast.file_defaults, "mask_token": mask("<mask>", normalized=True)}


class BartTokenizer(BartTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
