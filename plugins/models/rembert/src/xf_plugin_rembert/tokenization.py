"""RemBERT's tokenizer on the `tokenizers` library (arXiv:2010.12821)."""

from __future__ import annotations

from xf_tokenizers.family import mask
from xf_tokenizers.sentencepiece_families import BertLikeSentencePieceFast


class RemBertTokenizerFast(BertLikeSentencePieceFast):
    """Unigram with [CLS] text [SEP] and [CLS] text [SEP] text [SEP], the text standardized first.

    do_lower_case: turn it into lower case. keep_accents: False removes them. remove_space is kept for the files.
    """

    vocab_files_names = {"vocab_file": "sentencepiece.model", "tokenizer_file": "tokenizer.json"}
    spaces_early = True
    defaults = {
        "do_lower_case": True, "remove_space": True, "keep_accents": False, "bos_token": "[CLS]", "eos_token": "[SEP]",
        "unk_token": "<unk>", "sep_token": "[SEP]", "pad_token": "<pad>", "cls_token": "[CLS]",
        "mask_token": mask("[MASK]", normalized=True),
    }  # fmt: skip
    file_defaults = {"do_lower_case": False, "keep_accents": True, "unk_token": "[UNK]", "pad_token": "[PAD]"}


class RemBertTokenizer(RemBertTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
