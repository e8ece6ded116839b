"""ALBERT's tokenizer on the `tokenizers` library (arXiv:1909.11942)."""

from __future__ import annotations

from xf_tokenizers.family import mask
from xf_tokenizers.sentencepiece_families import BertLikeSentencePieceFast


class AlbertTokenizerFast(BertLikeSentencePieceFast):
    """Unigram with [CLS] text [SEP] and [CLS] text [SEP] text [SEP], the text standardized first.

    do_lower_case: turn it into lower case. keep_accents: False removes them. remove_space is kept for the files.
    """

    vocab_files_names = {"vocab_file": "spiece.model", "tokenizer_file": "tokenizer.json"}
    defaults = {
        "do_lower_case": True, "remove_space": True, "keep_accents": False, "bos_token": "[CLS]", "eos_token": "[SEP]",
        "unk_token": "<unk>", "sep_token": "[SEP]", "pad_token": "<pad>", "cls_token": "[CLS]",
        "mask_token": mask("[MASK]", normalized=False),
    }  # fmt: skip
    file_defaults = {"sp_model_kwargs": {}}


class AlbertTokenizer(AlbertTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
