"""BERT's tokenizer on the `tokenizers` library, which many families share: words, then the longest pieces of them."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer, normalizers

from .family import FamilyTokenizerFast, file_name
from .wordpiece import read_vocab, wordpiece_tokenizer, write_vocab


class BertTokenizerFast(FamilyTokenizerFast):
    """WordPiece (arXiv:1609.08144, 4.1) with [CLS] text [SEP] and [CLS] text [SEP] text [SEP].

    vocab_file: vocab.txt. tokenizer_file: tokenizer.json. do_lower_case, tokenize_chinese_chars (each a word of its
    own), strip_accents (if do_lower_case, by default): what is done to the text; they win over a tokenizer.json.
    """

    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    defaults = {
        "do_lower_case": True, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
        "mask_token": "[MASK]", "tokenize_chinese_chars": True, "strip_accents": None,
    }  # fmt: skip
    file_defaults = {"do_basic_tokenize": True, "never_split": None, "clean_up_tokenization_spaces": True}
    single = "{cls_token}:0 $A:0 {sep_token}:0"
    pair = "{cls_token}:0 $A:0 {sep_token}:0 $B:1 {sep_token}:1"

    def __init__(self, vocab_file: str | None = None, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(vocab_file, tokenizer_file=tokenizer_file, **kwargs)

    def finish(self, made: bool) -> None:
        super().finish(made)
        self.do_lower_case: bool = self.init_kwargs["do_lower_case"]
        names = {"lowercase": "do_lower_case", "handle_chinese_chars": "tokenize_chinese_chars",
                 "strip_accents": "strip_accents"}  # fmt: skip
        asked = {key: self.init_kwargs[name] for key, name in names.items()}
        normalizer = self._tokenizer.normalizer
        state = {} if normalizer is None else json.loads(normalizer.__getstate__())
        if state.get("type") == "BertNormalizer" and any(state[key] != value for key, value in asked.items()):
            self._tokenizer.normalizer = normalizers.BertNormalizer(clean_text=state["clean_text"], **asked)

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """WordPiece from vocab.txt."""
        self.needs(vocab_file=args[0])
        return wordpiece_tokenizer(
            read_vocab(args[0]),
            unk_token=str(kwargs["unk_token"]),
            lowercase=kwargs["do_lower_case"],
            strip_accents=kwargs["strip_accents"],
            tokenize_chinese_chars=kwargs["tokenize_chinese_chars"],
        )

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.txt; returns its path."""
        path = file_name(save_directory, filename_prefix, self.vocab_files_names["vocab_file"])
        write_vocab(path, self._tokenizer.get_vocab(with_added_tokens=False))
        return (str(path),)
