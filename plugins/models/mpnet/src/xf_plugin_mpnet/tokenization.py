"""MPNet's tokenizer on the `tokenizers` library (arXiv:2004.09297)."""

from __future__ import annotations

from xf_tokenizers.family import literal, mask
from xf_tokenizers.wordpiece_families import BertTokenizerFast


class MPNetTokenizerFast(BertTokenizerFast):
    """WordPiece with <s> text </s> and <s> text </s></s> text </s>; the model takes no token types."""

    model_input_names = ["input_ids", "attention_mask"]
    defaults = {
        "do_lower_case": True, "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
        "unk_token": "[UNK]", "pad_token": "<pad>", "mask_token": mask("<mask>", normalized=False),
        "tokenize_chinese_chars": True, "strip_accents": None,
    }  # fmt: skip
    file_defaults = {
        **BertTokenizerFast.file_defaults, "bos_token": literal("<s>"), "eos_token": literal("</s>"),
        "sep_token": literal("</s>"), "cls_token": literal("<s>"), "unk_token": literal("[UNK]"),
        "pad_token": literal("<pad>"),
    }  # fmt: skip
    pair = "{cls_token}:0 $A:0 {sep_token}:0 {sep_token}:0 $B:1 {sep_token}:1"

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Zeros: MPNet has no token types."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))


class MPNetTokenizer(MPNetTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""
