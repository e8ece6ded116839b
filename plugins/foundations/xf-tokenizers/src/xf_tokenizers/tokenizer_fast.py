"""Tokenizers on the `tokenizers` library.

The library's object keeps truncation and padding as settings of its own, and calls of several threads would see each
other's. Here the shared object never has any: a call that truncates borrows a clone (the model is shared, so a clone
costs microseconds), and padding is done on the encodings of the call.
"""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer

from xf import logging
from xf.checkpoint.atomic import write_atomic
from xf.utils.enums import PaddingStrategy, TensorType

from .arguments import has_surrogates
from .backend import clone_tokenizer, read_tokenizer_file
from .backend_vocabulary import BackendVocabulary
from .batch_encoding import BatchEncoding, TruncationStrategy
from .columns import Columns, PaddedWhenRead
from .lengths import check_side
from .tokenizer import PreTrainedTokenizerBase
from .tokenizer_files import FULL_TOKENIZER_FILE

logger = logging.get_logger(__name__)

#: How many clones of the backend are kept for calls to come.
_SPARE_CLONES = 16
_FEW = 4


class PreTrainedTokenizerFast(BackendVocabulary):
    """A tokenizer on the `tokenizers` library.

    A class for one family adds defaults for special tokens, and `build_backend` for its own vocabulary files.

    Args:
        tokenizer_object: a `tokenizers.Tokenizer`; it is copied.
        tokenizer_file: the path of a tokenizer.json.
        add_prefix_space: override what the pre-tokenizer of the file does.
        kwargs: the arguments of `PreTrainedTokenizerBase`.

    Raises:
        ValueError: nothing to build from, or a broken file.
    """

    vocab_files_names: dict[str, str] = {"tokenizer_file": FULL_TOKENIZER_FILE}
    is_fast = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        tokenizer_object = kwargs.pop("tokenizer_object", None)
        tokenizer_file = kwargs.pop("tokenizer_file", None)
        from_slow = kwargs.pop("from_slow", False)
        added_tokens = dict(kwargs.pop("added_tokens_decoder", None) or {})
        own = kwargs.pop("own_tokenizer_object", False)
        tokens_of_backend = kwargs.pop("tokens_of_backend", False)
        if tokenizer_object is not None:
            backend = tokenizer_object if own else copy.deepcopy(tokenizer_object)
        elif tokenizer_file is not None and not from_slow:
            backend = read_tokenizer_file(tokenizer_file)
        else:
            backend = self.build_backend(*args, **kwargs)
        self._clones: deque[tuple[tuple[int, str], Tokenizer]] = deque()
        self._tokenizer: Tokenizer = backend
        if tokens_of_backend:
            present = {token.content: token for token in backend.get_added_tokens_decoder().values()}
            for key in self.SPECIAL_TOKENS_ATTRIBUTES[:-1]:
                if kwargs.get(key) is not None:
                    kwargs[key] = present.get(str(kwargs[key]), kwargs[key])
        self._file_settings = (backend.truncation, backend.padding)
        _apply_file_settings(self._file_settings, kwargs)
        backend.no_truncation()
        backend.no_padding()
        super().__init__(**kwargs)
        if self.split_special_tokens:
            backend.encode_special_tokens = True
        self._add_initial_tokens(added_tokens)
        self.add_prefix_space: bool = kwargs.get("add_prefix_space", False)
        if kwargs.get("add_prefix_space") is not None:
            self._set_prefix_space(self.add_prefix_space)

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """Make the backend from vocabulary files, given the arguments of the class. For subclasses."""
        raise ValueError(
            f"{type(self).__name__} cannot be made without a tokenizer.json (tokenizer_file=) or a "
            "tokenizers.Tokenizer (tokenizer_object=). A checkpoint with vocabulary files alone needs the tokenizer "
            "class of its family."
        )

    def _add_initial_tokens(self, added_tokens: dict[int, AddedToken]) -> None:
        """Add the tokens of the configuration, then the special tokens, that the backend does not have in that form."""
        present = {index: repr(token) for index, token in self.added_tokens_decoder.items()}
        tokens: list[str | AddedToken] = [
            token for index, token in sorted(added_tokens.items()) if repr(token) not in present.values()
        ]
        known = {*self.added_tokens_encoder, *map(str, tokens)}
        tokens += [token for token in self.all_special_tokens_extended if str(token) not in known]
        special = set(self.all_special_tokens)
        for i, token in enumerate(tokens):
            is_special = (isinstance(token, AddedToken) and token.special) or str(token) in special
            if isinstance(token, AddedToken):
                token.special = is_special
            else:
                tokens[i] = AddedToken(token, special=is_special)
        if tokens:
            self.add_tokens(tokens)

    def _set_prefix_space(self, add_prefix_space: bool) -> None:
        """Change a byte-level pre-tokenizer that does otherwise."""
        pre_tokenizer = self._tokenizer.pre_tokenizer
        state = {} if pre_tokenizer is None else json.loads(pre_tokenizer.__getstate__())
        if state.get("add_prefix_space", add_prefix_space) != add_prefix_space:
            pre_tokenizer.add_prefix_space = add_prefix_space
            self._tokenizer.pre_tokenizer = pre_tokenizer

    # The backend

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The `tokenizers.Tokenizer` below."""
        return self._tokenizer

    def _borrow(
        self, truncation: dict[str, Any] | None, split_special_tokens: bool
    ) -> tuple[Tokenizer, tuple[int, str] | None]:
        """A backend with the settings of one call, and the state it was cloned from if it is to be given back."""
        shared = self._tokenizer
        plain = shared.truncation is None and shared.padding is None
        if truncation is None and plain and bool(shared.encode_special_tokens) == split_special_tokens:
            return shared, None
        state = (shared.get_vocab_size(), repr(shared.normalizer))
        try:
            made, backend = self._clones.pop()
        except IndexError:
            made = (-1, "")
        if made != state:
            backend = clone_tokenizer(shared)
        # Somebody may have replaced these on the shared object; the normalizer is part of the state instead, because
        # setting it rebuilds the index of added tokens.
        backend.model, backend.pre_tokenizer = shared.model, shared.pre_tokenizer
        backend.post_processor = shared.post_processor
        backend.encode_special_tokens = split_special_tokens
        if truncation is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(**truncation)
        return backend, state

    def _encode_batch(
        self,
        batch: Sequence[Any],
        add_special_tokens: bool,
        is_pretokenized: bool,
        truncation: dict[str, Any] | None,
        split_special_tokens: bool,
    ) -> list[Encoding]:
        backend, state = self._borrow(truncation, split_special_tokens)
        try:
            return backend.encode_batch(batch, add_special_tokens=add_special_tokens, is_pretokenized=is_pretokenized)
        except TypeError as error:
            if any(has_surrogates(item) for item in batch):
                raise ValueError("a text is not valid Unicode: it holds a lone surrogate") from error
            raise ValueError(
                f"the batch holds something other than texts ({error}). Give strings or pairs of strings, or lists of "
                "strings with is_split_into_words=True; lists of ids go into `prepare_for_model`."
            ) from error
        except BaseException as error:
            # The backend panics, with an error that is no Exception, where a stride is too long for a piece.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"the text could not be encoded: {error}") from None
        finally:
            if state is not None and len(self._clones) < _SPARE_CLONES:
                self._clones.append((state, backend))

    def _view(self) -> PreTrainedTokenizerFast:
        view = copy.copy(self)
        view._tokenizer, view._clones = clone_tokenizer(self._tokenizer), deque()
        return view

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_clones"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _clones=deque())

    def set_truncation_and_padding(  # fmt: skip
        self,
        padding_strategy: PaddingStrategy,
        truncation_strategy: TruncationStrategy,
        max_length: int | None,
        stride: int,
        pad_to_multiple_of: int | None,
        padding_side: str | None = None,
    ) -> None:
        """Set what direct calls of `backend_tokenizer` do. Calls of this tokenizer have their own settings."""
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if truncation_strategy is not TruncationStrategy.DO_NOT_TRUNCATE:
            self._tokenizer.enable_truncation(**self._truncation(truncation_strategy, max_length, stride))
        if padding_strategy is not PaddingStrategy.DO_NOT_PAD:
            length = max_length if padding_strategy is PaddingStrategy.MAX_LENGTH else None
            pad = self._padding(padding_side or self.padding_side)
            self._tokenizer.enable_padding(length=length, pad_to_multiple_of=pad_to_multiple_of, **pad)

    def _padding(self, side: str) -> dict[str, Any]:
        return {"direction": check_side(side), "pad_id": self.pad_token_id, "pad_type_id": self.pad_token_type_id,
                "pad_token": self.pad_token}  # fmt: skip

    def _truncation(self, strategy: TruncationStrategy, max_length: int | None, stride: int) -> dict[str, Any]:
        side = check_side(self.truncation_side, "truncation_side")
        return {"max_length": max_length, "stride": stride, "strategy": strategy.value, "direction": side}

    # Encoding

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        return self(text, pair, add_special_tokens=add_special_tokens, **kwargs).tokens()

    def _encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        batch = [(text, text_pair)] if text_pair else [text]  # an empty second text counts as none
        encoded = self._batch_encode_plus(batch, **options)
        if options.get("return_tensors") is None and not options.get("return_overflowing_tokens"):
            for key, value in encoded.items():
                if value and isinstance(value[0], list):
                    encoded[key] = value[0]
        self._eventual_warn_about_too_long_sequence(
            encoded["input_ids"], options.get("max_length"), options.get("verbose", True)
        )
        return encoded

    def _batch_encode_plus(  # type: ignore[override]  # fmt: skip
        self,
        batch_text_or_text_pairs: Any,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
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
        split_special_tokens: bool = False,
    ) -> BatchEncoding:
        batch = batch_text_or_text_pairs
        if not isinstance(batch, (tuple, list)):
            raise TypeError(f"batch_text_or_text_pairs has to be a list or a tuple (got {type(batch)})")
        truncation = None
        if truncation_strategy is not TruncationStrategy.DO_NOT_TRUNCATE:
            assert max_length is not None
            truncation = self._truncation(truncation_strategy, max_length, stride)
            if add_special_tokens:
                self._tell_if_too_short(batch, is_split_into_words, max_length)
        found = self._encode_batch(batch, add_special_tokens, is_split_into_words, truncation, split_special_tokens)
        rows, samples = found, list(range(len(found)))
        if return_overflowing_tokens:
            pieces = [[encoding, *encoding.overflowing] for encoding in found]
            samples = [i for i, piece in enumerate(pieces) for _ in piece]
            rows = list(chain.from_iterable(pieces))
        columns = Columns(rows, check_side(padding_side or self.padding_side), return_tensors is not None)
        if padding_strategy is not PaddingStrategy.DO_NOT_PAD:
            columns.pad(max_length if padding_strategy is PaddingStrategy.MAX_LENGTH else None, pad_to_multiple_of)
        if max_length is None and rows and max(columns.lengths) > self.model_max_length:
            longest = max(rows, key=len)
            self._eventual_warn_about_too_long_sequence(longest.ids, max_length, verbose)

        def wanted(choice: bool | None, name: str) -> bool:
            return name in self.model_input_names if choice is None else choice

        data: dict[str, Any] = {"input_ids": columns.numbers("ids", self.pad_token_id)}
        if wanted(return_token_type_ids, "token_type_ids"):
            # Many rows: it costs less to find out that all types are 0 than to fetch them.
            zero = len(rows) > _FEW and not _has_pairs(batch, is_split_into_words) and not self._has_types()
            data["token_type_ids"] = columns.numbers(None if zero else "type_ids", self.pad_token_type_id)
        if wanted(return_attention_mask, "attention_mask"):
            data["attention_mask"] = columns.attention()
        if return_special_tokens_mask:
            data["special_tokens_mask"] = columns.numbers("special_tokens_mask", 1)
        if return_offsets_mapping:
            data["offset_mapping"] = columns.filled([row.offsets for row in rows], (0, 0))
        if return_length:
            data["length"] = [max(length, columns.width * columns.padded) for length in columns.lengths]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = samples
        encodings: Sequence[Encoding] = rows
        if columns.padded:
            encodings = PaddedWhenRead(rows, columns.width, self._padding(columns.side))
        return BatchEncoding(data, encodings, tensor_type=return_tensors)

    def _tell_if_too_short(self, batch: Sequence[Any], split: bool, max_length: int) -> None:
        """The backend truncates nothing where the special tokens alone are too many; it does not say so."""
        pair = _has_pairs(batch, split)
        added = self.num_special_tokens_to_add(pair)
        if added > max_length:
            self._advise(
                "no room for special tokens",
                f"max_length={max_length} leaves no room for the {added} special tokens of "
                f"{'a pair' if pair else 'a text'}: nothing is truncated. Use at least {added}.",
            )

    # Saving and training

    @property
    def can_save_slow_tokenizer(self) -> bool:
        """Whether vocabulary files of the family's own format can be written."""
        return type(self).save_vocabulary is not PreTrainedTokenizerBase.save_vocabulary

    def _save_pretrained(
        self,
        save_directory: str,
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        if legacy_format and not self.can_save_slow_tokenizer:
            raise ValueError(
                f"{type(self).__name__} has no vocabulary files to save: leave out legacy_format, or set it to False"
            )
        names = file_names
        if legacy_format is not False and self.can_save_slow_tokenizer:
            names = super()._save_pretrained(save_directory, names, legacy_format, filename_prefix)
        if not legacy_format:
            path = Path(save_directory) / (f"{filename_prefix}-" * bool(filename_prefix) + FULL_TOKENIZER_FILE)
            write_atomic(path, self._backend_json())
            names = (*names, str(path))
        return names

    def _backend_json(self) -> str:
        """tokenizer.json, with the truncation and padding of the file it was read from."""
        truncation, padding = self._file_settings
        backend = self._tokenizer
        if truncation or padding:
            backend = clone_tokenizer(backend)
            if truncation:
                backend.enable_truncation(**truncation)
            if padding:
                backend.enable_padding(**padding)
        return str(backend.to_str(pretty=True))

    def train_new_from_iterator(  # fmt: skip
        self,
        text_iterator: Iterable[Any],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: list[str | AddedToken] | None = None,
        special_tokens_map: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> PreTrainedTokenizerFast:
        """A tokenizer with the same pipeline and special tokens, and a vocabulary learned from new texts.

        Args:
            text_iterator: batches of texts.
            vocab_size: how many tokens to learn.
            length: how many texts there are, for the progress bar.
            new_special_tokens: special tokens to add.
            special_tokens_map: special tokens to rename, old to new.
            kwargs: for the trainer of the `tokenizers` library.
        """
        from .training import train_new_from_iterator  # which imports this module

        return train_new_from_iterator(
            self, text_iterator, vocab_size, length, new_special_tokens, special_tokens_map, **kwargs
        )


def _has_pairs(batch: Sequence[Any], is_split_into_words: bool) -> bool:
    return any(isinstance(item, tuple) or (isinstance(item, list) and not is_split_into_words) for item in batch)


def _apply_file_settings(settings: tuple[dict[str, Any] | None, dict[str, Any] | None], kwargs: dict[str, Any]) -> None:
    """What tokenizer.json says of truncation and padding becomes the default of the arguments of that name."""
    truncation, padding = settings
    if truncation is not None:
        kwargs.setdefault("max_length", truncation["max_length"])
        kwargs.setdefault("truncation_side", truncation["direction"])
        kwargs.setdefault("stride", truncation["stride"])
        kwargs.setdefault("truncation_strategy", truncation["strategy"])
    if padding is not None:
        kwargs.setdefault("pad_token", padding["pad_token"])
        kwargs.setdefault("pad_token_type_id", padding["pad_type_id"])
        kwargs.setdefault("padding_side", padding["direction"])
        kwargs.setdefault("max_length", padding["length"])
        kwargs.setdefault("pad_to_multiple_of", padding["pad_to_multiple_of"])
