"""BERT's tokenizer in pure Python (arXiv:1810.04805). For the same with speed see `BertTokenizerFast`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xf_tokenizers.slow import PreTrainedTokenizer
from xf_tokenizers.wordpiece import read_vocab, write_vocab
from xf_tokenizers.wordpiece_python import BasicTokenizer, WordpieceTokenizer

__all__ = ["BasicTokenizer", "BertTokenizer", "WordpieceTokenizer"]


class BertTokenizer(PreTrainedTokenizer):
    """WordPiece with [CLS] text [SEP] and [CLS] text [SEP] text [SEP], in pure Python.

    vocab_file: vocab.txt, one token a line. do_basic_tokenize: split into words first (False where that is done
    already). Further arguments: see `BasicTokenizer`.
    Raises: ValueError for a vocabulary that is not there or is none.
    """

    vocab_files_names = {"vocab_file": "vocab.txt"}

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = True,
        **kwargs: Any,
    ) -> None:
        if not vocab_file or not Path(vocab_file).is_file():
            raise ValueError(f"{type(self).__name__} needs vocab.txt; there is no file {vocab_file!r}.")
        self.vocab = read_vocab(vocab_file)
        self.ids_to_tokens = {index: token for token, index in self.vocab.items()}
        self.do_basic_tokenize = do_basic_tokenize
        if do_basic_tokenize:
            self.basic_tokenizer = BasicTokenizer(do_lower_case, never_split, tokenize_chinese_chars, strip_accents)
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab, unk_token=str(unk_token))
        super().__init__(
            do_lower_case=do_lower_case,
            do_basic_tokenize=do_basic_tokenize,
            never_split=never_split,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **kwargs,
        )

    @property
    def do_lower_case(self) -> bool:
        """Whether texts are turned into lower case."""
        return self.do_basic_tokenize and self.basic_tokenizer.do_lower_case

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        return {**self.vocab, **self.added_tokens_encoder}

    def _tokenize(self, text: str, split_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        if not self.do_basic_tokenize:
            return self.wordpiece_tokenizer.tokenize(text)
        kept = () if split_special_tokens else self.all_special_tokens
        pieces: list[str] = []
        for word in self.basic_tokenizer.tokenize(text, never_split=kept):
            whole = word in self.basic_tokenizer.never_split
            pieces += [word] if whole else self.wordpiece_tokenizer.tokenize(word)
        return pieces

    def _convert_token_to_id(self, token: str) -> int | None:
        return self.vocab.get(token, self.vocab.get(str(self.unk_token)))

    def _convert_id_to_token(self, index: int) -> str | None:
        return self.ids_to_tokens.get(index, self.unk_token)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace(" ##", "").strip()

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""
        first = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return first if token_ids_1 is None else [*first, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for [CLS] A [SEP], 1 for B [SEP]."""
        return [0] * (len(token_ids_0) + 2) + ([] if token_ids_1 is None else [1] * (len(token_ids_1) + 1))

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 at special tokens, 0 at others."""
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
        mask = [1, *[0] * len(token_ids_0), 1]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), 1]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.txt; returns its path."""
        path = Path(save_directory) / (f"{filename_prefix}-" * bool(filename_prefix) + "vocab.txt")
        write_vocab(path, self.vocab)
        return (str(path),)
