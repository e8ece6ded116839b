"""DeBERTa's tokenizer on the `tokenizers` library (arXiv:2006.03654)."""

from __future__ import annotations

from xf_tokenizers.family import ByteLevelTokenizerFast, literal, mask


class DebertaTokenizerFast(ByteLevelTokenizerFast):
    """BPE on bytes with [CLS] text [SEP] and [CLS] text [SEP] text [SEP].

    add_prefix_space: put a space before the text, so that its first word is as any other.
    """

    model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    defaults = {
        "errors": "replace", "bos_token": "[CLS]", "eos_token": "[SEP]", "sep_token": "[SEP]", "cls_token": "[CLS]",
        "unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": mask("[MASK]", normalized=True),
        "add_prefix_space": False,
    }  # fmt: skip
    file_defaults = {
        "bos_token": literal("[CLS]"), "eos_token": literal("[SEP]"), "sep_token": literal("[SEP]"),
        "cls_token": literal("[CLS]"), "unk_token": literal("[UNK]"), "pad_token": literal("[PAD]"),
        "add_bos_token": False,
    }  # fmt: skip
    single = "{cls_token}:0 $A:0 {sep_token}:0"
    pair = "{cls_token}:0 $A:0 {sep_token}:0 $B:1 {sep_token}:1"


class DebertaTokenizer(DebertaTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
