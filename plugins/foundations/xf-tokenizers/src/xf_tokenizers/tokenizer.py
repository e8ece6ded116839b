"""The base of all tokenizers: encoding text to model inputs, decoding ids to text.

Every call is a function of its arguments: padding, truncation and the like are never stored, so threads that ask for
different things do not disturb each other. This module does not import torch.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
from collections.abc import Iterator
from typing import Any

from tokenizers import AddedToken

from xf import logging
from xf.utils.tensors import to_py_obj

from .arguments import OPTIONS, STRATEGY_OPTIONS, check_text
from .batch_encoding import (
    BatchEncoding,
    CharSpan,
    ExplicitEnum,
    PaddingStrategy,
    TensorType,
    TokenSpan,
    TruncationStrategy,
)
from .chat_template import ChatTemplateMixin
from .lengths import LARGE_INTEGER, VERY_LARGE_INTEGER, check_side
from .special_tokens import SpecialTokensMixin
from .token_sequences import TokenSequencesMixin
from .tokenizer_files import TokenizerFilesMixin, added_token_to, chat_template_from

__all__ = [
    "LARGE_INTEGER", "VERY_LARGE_INTEGER", "AddedToken", "BatchEncoding", "CharSpan", "ExplicitEnum",
    "PaddingStrategy", "PreTrainedTokenizerBase", "SpecialTokensMixin", "TensorType", "TokenSpan",
    "TruncationStrategy",
]  # fmt: skip

logger = logging.get_logger(__name__)

TextInput = str
PreTokenizedInput = list[str]
EncodedInput = list[int]
Text = TextInput | PreTokenizedInput | EncodedInput
Texts = TextInput | PreTokenizedInput | list[PreTokenizedInput]
Padding = bool | str | PaddingStrategy
Truncation = bool | str | TruncationStrategy | None


_ELSEWHERE = {
    "ExtensionsTrie": ".trie",
    "PreTrainedTokenizer": ".slow",
    "PreTrainedTokenizerFast": ".tokenizer_fast",
    "Trie": ".trie",
}


def __getattr__(name: str) -> Any:
    # The documented modules have all tokenizer classes in one place; here each is imported when it is asked for.
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(_ELSEWHERE[name], __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)


class PreTrainedTokenizerBase(ChatTemplateMixin, TokenSequencesMixin, TokenizerFilesMixin):
    """What `PreTrainedTokenizer` and `PreTrainedTokenizerFast` share.

    Args:
        model_max_length: the longest input of the model in tokens; "no limit" (1e30) where it is left out.
        padding_side: "right" or "left".
        truncation_side: "right" or "left".
        chat_template: a template, or several by name.
        model_input_names: the inputs of the model's forward, the main one first.
        bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token: str or AddedToken.
        additional_special_tokens: more special tokens, without names.
        extra_special_tokens: the model's own special tokens by name, `{"image_token": "<image>"}`.
        clean_up_tokenization_spaces: remove spaces before punctuation when decoding.
        split_special_tokens: split special tokens in the text like any other text.
    """

    _auto_class: str | None = None
    model_input_names: list[str] = ["input_ids", "token_type_ids", "attention_mask"]
    padding_side: str = "right"
    truncation_side: str = "right"
    slow_tokenizer_class: type | None = None
    is_fast: bool = False

    def __init__(self, **kwargs: Any) -> None:
        self.init_inputs: tuple[Any, ...] = ()
        self.init_kwargs: dict[str, Any] = copy.deepcopy(kwargs)
        self.name_or_path: str = kwargs.pop("name_or_path", "")
        self._processor_class: str | None = kwargs.pop("processor_class", None)
        limit = kwargs.pop("model_max_length", kwargs.pop("max_len", None))
        self.model_max_length = VERY_LARGE_INTEGER if limit is None else limit
        self.padding_side = check_side(kwargs.pop("padding_side", self.padding_side), "padding_side")
        self.truncation_side = check_side(kwargs.pop("truncation_side", self.truncation_side), "truncation_side")
        self.model_input_names = kwargs.pop("model_input_names", self.model_input_names)
        self.clean_up_tokenization_spaces = bool(kwargs.pop("clean_up_tokenization_spaces", False))
        self.split_special_tokens = bool(kwargs.pop("split_special_tokens", False))
        self.deprecation_warnings: dict[str, bool] = {}
        self.chat_template = chat_template_from(kwargs.pop("chat_template", None), type(self).__name__)
        super().__init__(**kwargs)
        self.extra_special_tokens: dict[str, Any] = kwargs.pop("extra_special_tokens", None) or {}
        self._set_model_specific_special_tokens(self.extra_special_tokens)

    # What subclasses provide

    def get_vocab(self) -> dict[str, int]:
        """The vocabulary with added tokens: token to id."""
        raise NotImplementedError

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens."""
        raise NotImplementedError

    def get_added_vocab(self) -> dict[str, int]:
        """The added tokens: token to id."""
        raise NotImplementedError

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        raise NotImplementedError

    def __len__(self) -> int:
        """The size of the vocabulary with added tokens."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        return True

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text that a sequence of tokens stands for."""
        raise NotImplementedError

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The tokens of a text (or of a pair of texts), as strings."""
        raise NotImplementedError

    def _encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        raise NotImplementedError

    def _batch_encode_plus(self, batch_text_or_text_pairs: Any, **options: Any) -> BatchEncoding:
        raise NotImplementedError

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        raise NotImplementedError

    def _switch_to_input_mode(self) -> None:
        """Called before inputs are encoded, on a view of the tokenizer: a class may change its special tokens."""

    def _switch_to_target_mode(self) -> None:
        """Called before targets (`text_target`) are encoded, on a view of the tokenizer."""

    def _view(self) -> PreTrainedTokenizerBase:
        """A copy whose settings can change without this tokenizer noticing; vocabulary and model are shared."""
        return copy.copy(self)

    def _in_mode(self, method: str) -> PreTrainedTokenizerBase:
        """This tokenizer, or a view of it that was switched to inputs or targets."""
        if getattr(type(self), method) is getattr(PreTrainedTokenizerBase, method):
            return self
        view = self._view()
        getattr(view, method)()
        return view

    # Encoding

    def __call__(  # fmt: skip
        self,
        text: Texts | None = None,
        text_pair: Texts | None = None,
        text_target: Texts | None = None,
        text_pair_target: Texts | None = None,
        add_special_tokens: bool = True,
        padding: Padding = False,
        truncation: Truncation = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of either.

        Args:
            text: a string, a batch of strings, or (is_split_into_words) words; words of a batch are lists of lists.
            text_pair: the second texts, of the same form.
            text_target: texts to encode as targets; with `text` their ids are added as `labels`.
            text_pair_target: second texts of the targets.
            add_special_tokens: put the model's special tokens around.
            padding: True or "longest" (in the batch), "max_length", or False.
            truncation: True or "longest_first", "only_first", "only_second", or False.
            max_length: in tokens; the model's own where it is left out.
            stride: with return_overflowing_tokens, how many tokens consecutive pieces share.
            is_split_into_words: the input is split into words already.
            pad_to_multiple_of: round the padded length up.
            padding_side: "right" or "left" instead of the tokenizer's setting.
            return_tensors: "pt" or "np" instead of lists.
            return_token_type_ids: by default as the model needs it, as is the next.
            return_attention_mask: 1 for tokens, 0 for padding.
            return_overflowing_tokens: return what truncation cuts off as well, as further rows; a fast tokenizer adds
                `overflow_to_sample_mapping`.
            return_special_tokens_mask: 1 for special tokens, 0 for text.
            return_offsets_mapping: (start, end) characters of each token; fast tokenizers only.
            return_length: the number of tokens of each row.
            verbose: give advice in the log.
            kwargs: passed on, for example `split_special_tokens`.

        Raises:
            ValueError: an input of the wrong type, rows of different number, arguments that contradict each other.
        """
        options = {name: value for name, value in locals().items() if name in OPTIONS}
        options.update(kwargs)
        if text is None and text_target is None:
            raise ValueError("You need to specify either `text` or `text_target`.")
        encodings: BatchEncoding | None = None
        if text is not None:
            encodings = self._in_mode("_switch_to_input_mode")._call_one(text, text_pair, **options)
        if text_target is None:
            assert encodings is not None
            return encodings
        targets = self._in_mode("_switch_to_target_mode")._call_one(text_target, text_pair_target, **options)
        if encodings is None:
            return targets
        encodings["labels"] = targets["input_ids"]
        return encodings

    def _call_one(
        self, text: Any, text_pair: Any = None, is_split_into_words: bool = False, **options: Any
    ) -> BatchEncoding:
        check_text(text, "text", is_split_into_words)
        if text_pair is not None:
            check_text(text_pair, "text_pair", is_split_into_words)
        if is_split_into_words:
            batched = isinstance(text, (list, tuple)) and bool(text) and isinstance(text[0], (list, tuple))
        else:
            batched = isinstance(text, (list, tuple))
        if not batched:
            return self.encode_plus(text, text_pair, is_split_into_words=is_split_into_words, **options)
        if isinstance(text_pair, str):
            raise TypeError("when tokenizing batches of text, `text_pair` must be a list or tuple as long as `text`.")
        if text_pair is not None and len(text) != len(text_pair):
            raise ValueError(
                f"batch length of `text`: {len(text)} does not match batch length of `text_pair`: {len(text_pair)}."
            )
        batch = list(zip(text, text_pair, strict=True)) if text_pair is not None else text
        return self.batch_encode_plus(batch, is_split_into_words=is_split_into_words, **options)

    def encode(  # fmt: skip
        self,
        text: Text,
        text_pair: Text | None = None,
        add_special_tokens: bool = True,
        padding: Padding = False,
        truncation: Truncation = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> Any:
        """The ids of a text or a pair: `encode_plus(...)["input_ids"]`."""
        options = {name: value for name, value in locals().items() if name in OPTIONS}
        return self.encode_plus(text, text_pair, **options, **kwargs)["input_ids"]

    def encode_plus(  # fmt: skip
        self,
        text: Text,
        text_pair: Text | None = None,
        add_special_tokens: bool = True,
        padding: Padding = False,
        truncation: Truncation = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode one text or one pair; the arguments are those of calling the tokenizer."""
        options = {name: value for name, value in locals().items() if name in OPTIONS}
        return self._encode_plus(text, text_pair, **self._resolved(options, kwargs))

    def batch_encode_plus(  # fmt: skip
        self,
        batch_text_or_text_pairs: list[Any],
        add_special_tokens: bool = True,
        padding: Padding = False,
        truncation: Truncation = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode a batch of texts or of pairs; the arguments are those of calling the tokenizer."""
        options = {name: value for name, value in locals().items() if name in OPTIONS}
        return self._batch_encode_plus(batch_text_or_text_pairs, **self._resolved(options, kwargs))

    def _resolved(self, options: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The options of a call with strategies in place of `padding` and `truncation`."""
        asked = {name: options[name] for name in STRATEGY_OPTIONS}
        padding, truncation, max_length, kwargs = self._get_padding_truncation_strategies(**asked, **kwargs)
        del options["padding"], options["truncation"]
        kwargs.setdefault("split_special_tokens", self.split_special_tokens)
        return {**options, **kwargs, "padding_strategy": padding, "truncation_strategy": truncation,
                "max_length": max_length}  # fmt: skip

    # Decoding

    def decode(  # fmt: skip
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        """The text of a sequence of ids (a list, array, tensor, or one id).

        Args:
            token_ids: shape [tokens].
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: remove spaces before punctuation; by default the tokenizer's setting.
            kwargs: for the decoding of the class.
        """
        kwargs.update(clean_up_tokenization_spaces=clean_up_tokenization_spaces)
        return self._decode(to_py_obj(token_ids), skip_special_tokens=skip_special_tokens, **kwargs)

    def batch_decode(  # fmt: skip
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`decode` for each sequence of a batch (shape [batch, tokens])."""
        kwargs.update(clean_up_tokenization_spaces=clean_up_tokenization_spaces)
        return [self.decode(ids, skip_special_tokens=skip_special_tokens, **kwargs) for ids in to_py_obj(sequences)]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces that tokenization leaves before English punctuation and contractions."""
        for piece in (" .", " ?", " !", " ,"):
            out_string = out_string.replace(piece, piece[1:])
        out_string = out_string.replace(" ' ", "'")
        for piece in (" n't", " 'm", " 's", " 've", " 're"):
            out_string = out_string.replace(piece, piece[1:])
        return out_string

    # The rest

    @property
    def max_len_single_sentence(self) -> int:
        """The longest text in tokens that fits the model together with the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """The longest pair of texts in tokens that fits the model together with the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    @classmethod
    def convert_added_tokens(cls, obj: Any, save: bool = False, add_type_field: bool = True) -> Any:
        """Added tokens inside lists and dictionaries as JSON objects."""
        return added_token_to(obj, with_special=save, with_type=add_type_field)

    def _set_processor_class(self, processor_class: str) -> None:
        self._processor_class = processor_class

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoTokenizer") -> None:
        """Name the auto class that a saved tokenizer is to be loaded with."""
        cls._auto_class = auto_class

    @contextlib.contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """The older way to encode targets; `text_target=` does it without changing the tokenizer."""
        self._advise("as_target_tokenizer", "`as_target_tokenizer` is deprecated: pass the targets as `text_target=`.")
        self._switch_to_target_mode()
        try:
            yield
        finally:
            self._switch_to_input_mode()

    def prepare_seq2seq_batch(  # fmt: skip
        self,
        src_texts: list[str],
        tgt_texts: list[str] | None = None,
        max_length: int | None = None,
        max_target_length: int | None = None,
        padding: str = "longest",
        return_tensors: str | TensorType | None = None,
        truncation: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """The older way to encode inputs and targets; `text_target=` does it in one call."""
        self._advise("prepare_seq2seq_batch", "`prepare_seq2seq_batch` is deprecated: pass targets as `text_target=`.")
        options = {"padding": padding, "return_tensors": return_tensors, "truncation": truncation, **kwargs}
        limit = self.model_max_length if max_length is None else max_length
        inputs = self(src_texts, max_length=limit, **options)
        if tgt_texts is not None:
            targets = self(text_target=tgt_texts, max_length=max_target_length or limit, **options)
            inputs["labels"] = targets["input_ids"]
        return inputs

    def __repr__(self) -> str:
        added = "".join(f"\t{index}: {token!r},\n" for index, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path='{self.name_or_path}', vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, padding_side='{self.padding_side}', "
            f"truncation_side='{self.truncation_side}', special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, "
            f"added_tokens_decoder={{\n{added}}}\n)"
        )
