"""BERT's tokenizer on the `tokenizers` library: words, then the longest pieces of them (arXiv:1609.08144, 4.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from xf_tokenizers.templates import template
from xf_tokenizers.tokenizer_fast import PreTrainedTokenizerFast
from xf_tokenizers.wordpiece import read_vocab, wordpiece_tokenizer, write_vocab

from .tokenization_python import BertTokenizer

VOCAB_FILES_NAMES = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}


class BertTokenizerFast(PreTrainedTokenizerFast):
    """WordPiece with [CLS] text [SEP] and [CLS] text [SEP] text [SEP].

    vocab_file: vocab.txt. tokenizer_file: tokenizer.json. do_lower_case, tokenize_chinese_chars (each a word of its
    own), strip_accents (if do_lower_case, by default): what is done to the text; they win over a tokenizer.json.
    """

    vocab_files_names = VOCAB_FILES_NAMES
    slow_tokenizer_class = BertTokenizer

    def __init__(
        self,
        vocab_file: str | None = None,
        tokenizer_file: str | None = None,
        do_lower_case: bool = True,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if tokenizer_file is None:  # as the tokenizer in pure Python does; files say for themselves
            kwargs.setdefault("clean_up_tokenization_spaces", True)
        super().__init__(
            vocab_file,
            tokenizer_file=tokenizer_file,
            do_lower_case=do_lower_case,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            **kwargs,
        )
        self.do_lower_case = do_lower_case
        self._set_normalizer(do_lower_case, tokenize_chinese_chars, strip_accents)
        if self._tokenizer.post_processor is None:
            cls, sep = self.cls_token, self.sep_token
            self._tokenizer.post_processor = template(
                self._tokenizer, f"{cls}:0 $A:0 {sep}:0", f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1"
            )

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """WordPiece from vocab.txt."""
        if args[0] is None:
            raise ValueError(
                f"{type(self).__name__} needs vocab.txt (vocab_file=) or tokenizer.json (tokenizer_file=)."
            )
        return wordpiece_tokenizer(
            read_vocab(args[0]),
            unk_token=str(kwargs["unk_token"]),
            lowercase=kwargs["do_lower_case"],
            strip_accents=kwargs["strip_accents"],
            tokenize_chinese_chars=kwargs["tokenize_chinese_chars"],
        )

    def _set_normalizer(self, lowercase: bool, chinese: bool, strip_accents: bool | None) -> None:
        """Make a file's normalizer do what was asked."""
        normalizer = self._tokenizer.normalizer
        state = {} if normalizer is None else json.loads(normalizer.__getstate__())
        asked = {"lowercase": lowercase, "handle_chinese_chars": chinese, "strip_accents": strip_accents}
        if state.get("type") == "BertNormalizer" and any(state[key] != value for key, value in asked.items()):
            self._tokenizer.normalizer = normalizers.BertNormalizer(clean_text=state["clean_text"], **asked)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.txt; returns its path."""
        path = Path(save_directory) / (f"{filename_prefix}-" * bool(filename_prefix) + VOCAB_FILES_NAMES["vocab_file"])
        write_vocab(path, self._tokenizer.get_vocab(with_added_tokens=False))
        return (str(path),)
