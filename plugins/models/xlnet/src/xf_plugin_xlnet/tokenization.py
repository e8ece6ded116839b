"""XLNet's tokenizer on the `tokenizers` library (arXiv:1906.08237)."""

from __future__ import annotations

from xf_tokenizers.family import mask
from xf_tokenizers.sentencepiece_families import BertLikeSentencePieceFast


class XLNetTokenizerFast(BertLikeSentencePieceFast):
    """Unigram with text <sep> <cls> and text <sep> text <sep> <cls>, padded on the left; <cls> has the token type 2.

    do_lower_case: turn it into lower case. keep_accents: False removes them. remove_space is kept for the files.
    """

    vocab_files_names = {"vocab_file": "spiece.model", "tokenizer_file": "tokenizer.json"}
    padding_side = "left"
    defaults = {
        "do_lower_case": False, "remove_space": True, "keep_accents": False, "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "sep_token": "<sep>", "pad_token": "<pad>", "cls_token": "<cls>",
        "mask_token": mask("<mask>", normalized=False), "additional_special_tokens": ["<eop>", "<eod>"],
    }  # fmt: skip
    file_defaults = {"sp_model_kwargs": {}}
    single = "$A:0 {sep_token}:0 {cls_token}:2"
    pair = "$A:0 {sep_token}:0 $B:1 {sep_token}:1 {cls_token}:2"

    def finish(self, made: bool) -> None:
        super().finish(made)
        self._pad_token_type_id = 3  # the type of padding, after those of texts and of <cls>


class XLNetTokenizer(XLNetTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
