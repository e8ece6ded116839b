"""BERT's tokenizer in pure Python, step by step: `BasicTokenizer` makes words, `WordpieceTokenizer` pieces of them.

Sources: arXiv:1810.04805; arXiv:1609.08144, section 4.1. For the same with speed see `BertTokenizerFast`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xf_tokenizers.slow import PreTrainedTokenizer
from xf_tokenizers.wordpiece import read_vocab, write_vocab

# Blocks of Chinese characters in Unicode: unified ideographs, their extensions A to E, compatibility ideographs
_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
# ASCII that is no letter, digit, space or control character counts as punctuation, "$" and "`" included
_ASCII_PUNCTUATION = ((33, 47), (58, 64), (91, 96), (123, 126))


def is_punctuation(character: str) -> bool:
    """Whether a character stands for itself."""
    code = ord(character)
    ascii_mark = any(first <= code <= last for first, last in _ASCII_PUNCTUATION)
    return ascii_mark or unicodedata.category(character).startswith("P")


def is_chinese(character: str) -> bool:
    """Whether a character is from a block of Chinese characters."""
    return any(first <= ord(character) <= last for first, last in _CHINESE)


def _is_control(character: str) -> bool:
    return character not in "\t\n\r" and unicodedata.category(character).startswith("C")


def _is_space(character: str) -> bool:
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


class BasicTokenizer:
    """Text to words: clean, split at spaces and punctuation, lower case, no accents.

    never_split: words that stay as they are. tokenize_chinese_chars: each Chinese character is a word. strip_accents:
    if do_lower_case, by default. do_split_on_punc: punctuation is a word of its own.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_split_on_punc: bool = True,
    ) -> None:
        self.do_lower_case = do_lower_case
        self.never_split = set(never_split or ())
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.do_split_on_punc = do_split_on_punc

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """The words of `text`; never_split: further words that stay as they are."""
        kept = self.never_split.union(never_split or ())
        text = _clean(text)
        if self.tokenize_chinese_chars:
            text = "".join(f" {c} " if is_chinese(c) else c for c in text)
        words: list[str] = []
        for word in unicodedata.normalize("NFC", text).split():
            if word in kept:
                words.append(word)
                continue
            if self.do_lower_case:
                word = word.lower()
            if self.strip_accents or (self.strip_accents is None and self.do_lower_case):
                word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
            words += _split_at_punctuation(word) if self.do_split_on_punc else [word]
        return " ".join(words).split()


def _clean(text: str) -> str:
    """No control characters, and every white space a space."""
    kept = (c for c in text if ord(c) not in (0, 0xFFFD) and not _is_control(c))
    return "".join(" " if _is_space(c) else c for c in kept)


def _split_at_punctuation(word: str) -> list[str]:
    parts, begins = [""], True
    for character in word:
        if is_punctuation(character):
            parts.append(character)
            begins = True
        elif begins:
            parts.append(character)
            begins = False
        else:
            parts[-1] += character
    return [part for part in parts if part]


class WordpieceTokenizer:
    """Words to pieces: from the left, always the longest that the vocabulary has; pieces inside a word begin with ##.

    A word that cannot be made, or is longer than max_input_chars_per_word, becomes unk_token.
    """

    def __init__(self, vocab: Mapping[str, int], unk_token: str, max_input_chars_per_word: int = 100) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str) -> list[str]:
        """The pieces of words that are separated by spaces."""
        return [piece for word in text.split() for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces, begin = [], 0
        while begin < len(word):
            prefix = "##" if begin else ""
            end = next((e for e in range(len(word), begin, -1) if prefix + word[begin:e] in self.vocab), None)
            if end is None:
                return [self.unk_token]
            pieces.append(prefix + word[begin:end])
            begin = end
        return pieces


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
