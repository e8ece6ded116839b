"""The base class of tokenizers in pure Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken

from xf import logging
from xf.utils.enums import PaddingStrategy, TensorType

from .batch_encoding import BatchEncoding, TruncationStrategy
from .tokenizer import PreTrainedTokenizerBase
from .trie import Trie

logger = logging.get_logger(__name__)


class PreTrainedTokenizer(PreTrainedTokenizerBase):
    """A tokenizer in pure Python.

    A subclass provides `vocab_size`, `get_vocab`, `_tokenize`, `_convert_token_to_id` and `_convert_id_to_token`, and
    may provide `convert_tokens_to_string`, `build_inputs_with_special_tokens`, `save_vocabulary` and
    `prepare_for_tokenization`. Its __init__ loads the vocabulary first and then calls this one, which adds the special
    tokens.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.tokens_trie = Trie()
        if not hasattr(self, "_added_tokens_decoder"):
            self._added_tokens_decoder: dict[int, AddedToken] = {}
        self._added_tokens_decoder.update(kwargs.pop("added_tokens_decoder", None) or {})
        self._added_tokens_encoder = {str(token): index for index, token in self._added_tokens_decoder.items()}
        super().__init__(**kwargs)
        missing = [token for token in self.all_special_tokens_extended if str(token) not in self._added_tokens_encoder]
        self._add_tokens(missing, special_tokens=True)
        self._update_trie()

    # What subclasses provide

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens."""
        raise NotImplementedError

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        """The tokens of a text that holds no added token."""
        raise NotImplementedError

    def _convert_token_to_id(self, token: str) -> int | None:
        raise NotImplementedError

    def _convert_id_to_token(self, index: int) -> str | None:
        raise NotImplementedError

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens)

    def prepare_for_tokenization(
        self, text: str, is_split_into_words: bool = False, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        """Change a text before it is split, using up arguments of the call; the others are returned."""
        return text, kwargs

    # Vocabulary

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The added tokens: token to id, in the order of ids."""
        return dict(sorted(self._added_tokens_encoder.items(), key=lambda item: item[1]))

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        return dict(sorted(self._added_tokens_decoder.items()))

    @added_tokens_decoder.setter
    def added_tokens_decoder(self, value: dict[int, AddedToken | str]) -> None:
        for index, token in value.items():
            if not isinstance(index, int) or not isinstance(token, (str, AddedToken)):
                raise TypeError(f"added tokens are given as id: str or AddedToken, not {index!r}: {token!r}")
            self._added_tokens_decoder[index] = AddedToken(token) if isinstance(token, str) else token
            self._added_tokens_encoder[str(token)] = index
        self._update_trie()

    def get_added_vocab(self) -> dict[str, int]:
        return self._added_tokens_encoder

    def __len__(self) -> int:
        return len({**self.get_vocab(), **self._added_tokens_encoder})

    def _add_tokens(self, new_tokens: Sequence[str | AddedToken], special_tokens: bool = False) -> int:
        vocabulary = {**self.get_vocab(), **self._added_tokens_encoder}
        following = len(vocabulary)
        count = 0
        for token in new_tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"a token is a str or an AddedToken, not {type(token).__name__}")
            if isinstance(token, str):
                known = str(token) in self._added_tokens_encoder
                special = token in self.all_special_tokens or special_tokens
                token = AddedToken(token, rstrip=False, lstrip=False, normalized=not special, special=special)
                if known or not token.content:
                    continue
            elif special_tokens and not token.special:
                flags = {key: getattr(token, key) for key in ("single_word", "lstrip", "rstrip", "normalized")}
                token = AddedToken(token.content, special=True, **flags)
            if not str(token) or token in self._added_tokens_decoder.values():
                continue
            if not token.special and token.normalized and getattr(self, "do_lower_case", False):
                token.content = token.content.lower()
            if token.content in vocabulary:
                index = vocabulary[token.content]
            else:
                while following in self._added_tokens_decoder:
                    following += 1
                index, following = following, following + 1
                vocabulary[token.content] = index
                count += 1
            if token.special and str(token) not in self.all_special_tokens:
                self._special_tokens_map["additional_special_tokens"].append(token)
            self._added_tokens_decoder[index] = token
            self._added_tokens_encoder[token.content] = index
        self._update_trie()
        return count

    def _update_trie(self, unique_no_split_tokens: Iterable[str] = ()) -> None:
        self.tokens_trie.update(map(str, self._added_tokens_decoder.values()), unique_no_split_tokens)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of several; the unknown token's for what the vocabulary lacks."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._convert_token_to_id_with_added_voc(tokens)
        return [self._convert_token_to_id_with_added_voc(token) for token in tokens]

    def _convert_token_to_id_with_added_voc(self, token: str | None) -> int | None:
        if token is None:
            return None
        index = self._added_tokens_encoder.get(token)
        return self._convert_token_to_id(token) if index is None else index

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the tokens of several."""
        if isinstance(ids, int):
            return self._token(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else frozenset()
        return [self._token(index) for index in map(int, ids) if index not in skipped]

    def _token(self, index: int) -> str | None:
        added = self._added_tokens_decoder.get(index)
        return self._convert_id_to_token(index) if added is None else added.content

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return len(self.build_inputs_with_special_tokens([], [] if pair else None))

    # Splitting

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The tokens of a text, as strings; added tokens stay whole.

        Args:
            text: the text.
            pair: not used here: a pair is encoded by calling the tokenizer.
            add_special_tokens: not used here.
            kwargs: `split_special_tokens`, and whatever `prepare_for_tokenization` of the class takes.
        """
        split_special = kwargs.pop("split_special_tokens", self.split_special_tokens)
        text, kwargs = self.prepare_for_tokenization(text, **kwargs)
        if kwargs:
            logger.warning(f"Keyword arguments {kwargs} not recognized.")
        if getattr(self, "do_lower_case", False):
            text = self._lowered(text)
        pieces = [text] if split_special else self.tokens_trie.split(text)
        tokens: list[str] = []
        for piece, is_added in self._with_flags(pieces, split_special):
            if is_added:
                tokens.append(piece)
            elif piece:
                tokens.extend(self._tokenize(piece))
        return tokens

    def _lowered(self, text: str) -> str:
        """`text` in lower case, but for the tokens that are not normalized."""
        kept = [token.content for token in self._added_tokens_decoder.values() if token.special or not token.normalized]
        if not kept:
            return text.lower()
        pattern = "|".join(map(re.escape, sorted(kept, key=len, reverse=True)))
        pieces = re.split(f"({pattern})", text)
        return "".join(piece if i % 2 else piece.lower() for i, piece in enumerate(pieces))

    def _with_flags(self, pieces: list[str], split_special: bool) -> list[tuple[str, bool]]:
        """The pieces with what the flags of added tokens do to their neighbours; whether each is an added token."""
        added = {} if split_special else self._added_tokens_encoder
        if split_special:
            plain = {token.content for token in self._added_tokens_decoder.values() if not token.special}
            added = {content: index for content, index in self._added_tokens_encoder.items() if content in plain}
        result = list(pieces)
        for i in range(len(result)):
            piece = result[i]
            if piece not in added:
                continue
            token = self._added_tokens_decoder[added[piece]]
            left = result[i - 1] if i > 0 else ""
            right = result[i + 1] if i + 1 < len(result) else ""
            if token.rstrip and right:
                right = result[i + 1] = right.lstrip()
            if token.lstrip and left:
                left = result[i - 1] = left.rstrip()
            if token.single_word and left and left[-1] != " ":
                result[i - 1], result[i] = left + piece, ""
            elif token.single_word and right and right[0] != " ":
                result[i + 1], result[i] = piece + right, ""
        return [(piece, piece in added) for piece in result]

    # Encoding

    def _ids(self, text: Any, is_split_into_words: bool, **kwargs: Any) -> list[int]:
        """The ids of a text, of words, or of tokens; ids stay as they are."""
        if isinstance(text, str):
            ids: list[int] = self.convert_tokens_to_ids(self.tokenize(text, **kwargs))
            return ids
        if isinstance(text, (list, tuple)) and all(isinstance(item, str) for item in text):
            if is_split_into_words:
                words = (self.tokenize(word, is_split_into_words=True, **kwargs) for word in text)
                text = [token for word in words for token in word]
            return list(self.convert_tokens_to_ids(text))
        if isinstance(text, (list, tuple)) and all(isinstance(item, int) for item in text):
            return list(text)
        kinds = "a string, a list of words" if is_split_into_words else "a string, a list of tokens"
        raise ValueError(f"Input {text!r} is not valid: it must be {kinds} or a list of ids")

    def _encode_plus(
        self, text: Any, text_pair: Any = None, return_tensors: str | TensorType | None = None, **options: Any
    ) -> BatchEncoding:
        prepare, tokenize = _divided(options)
        first = self._ids(text, **tokenize)
        second = None if text_pair is None else self._ids(text_pair, **tokenize)
        return self.prepare_for_model(
            first, second, return_tensors=return_tensors, prepend_batch_axis=return_tensors is not None, **prepare
        )

    def _batch_encode_plus(
        self, batch_text_or_text_pairs: Any, return_tensors: str | TensorType | None = None, **options: Any
    ) -> BatchEncoding:
        prepare, tokenize = _divided(options)
        words = tokenize["is_split_into_words"]
        inputs = []
        for item in batch_text_or_text_pairs:
            pair = isinstance(item, (list, tuple)) and not (
                words and not (item and isinstance(item[0], (list, tuple)))
            ) and not (item and isinstance(item[0], int))  # fmt: skip
            first, second = item if pair else (item, None)
            inputs.append((self._ids(first, **tokenize), None if second is None else self._ids(second, **tokenize)))
        padding, of = prepare.pop("padding"), prepare.pop("pad_to_multiple_of")
        side, attention = prepare.pop("padding_side"), prepare.pop("return_attention_mask")
        columns: dict[str, list[Any]] = {}
        for first, second in inputs:
            row = self.prepare_for_model(
                first, second, padding=PaddingStrategy.DO_NOT_PAD, return_attention_mask=False, **prepare
            )
            for key, value in row.items():
                columns.setdefault(key, []).append(value)
        if not columns:
            columns = {name: [] for name in self.model_input_names}
        padded = self.pad(
            columns,
            padding=padding.value,
            max_length=prepare["max_length"],
            pad_to_multiple_of=of,
            padding_side=side,
            return_attention_mask=attention,
        )
        return BatchEncoding(padded, tensor_type=return_tensors)

    # Decoding

    def _decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
        **kwargs: Any,
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens=skip_special_tokens)
        special = set(self.all_special_tokens)
        apart = {token for token in self._added_tokens_encoder if token not in special}
        apart |= {t for t in self.additional_special_tokens if (self.convert_tokens_to_ids(t) or 0) >= self.vocab_size}
        texts: list[str] = []
        run: list[str] = []
        for token in tokens:
            if skip_special_tokens and token in special:
                continue
            if token in apart:
                if run:
                    texts.append(self.convert_tokens_to_string(run))
                    run = []
                texts.append(token)
            else:
                run.append(token)
        if run:
            texts.append(self.convert_tokens_to_string(run))
        text = (" " if spaces_between_special_tokens else "").join(texts)
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        return self.clean_up_tokenization(text) if clean else text


def _divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments for `prepare_for_model`, and the others, which are for `tokenize`."""
    if options.pop("return_offsets_mapping", False):
        raise NotImplementedError(
            "return_offsets_mapping needs a fast tokenizer (a class built on the `tokenizers` library); "
            "a tokenizer in pure Python does not keep track of characters"
        )
    prepare = {name: options.pop(name) for name in _PREPARED if name in options}
    prepare["padding"] = options.pop("padding_strategy", PaddingStrategy.DO_NOT_PAD)
    prepare["truncation"] = options.pop("truncation_strategy", TruncationStrategy.DO_NOT_TRUNCATE)
    for name in ("max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask"):
        prepare.setdefault(name, None)
    options.setdefault("is_split_into_words", False)
    return prepare, options


_PREPARED = (
    "add_special_tokens", "max_length", "stride", "pad_to_multiple_of", "padding_side", "return_token_type_ids",
    "return_attention_mask", "return_overflowing_tokens", "return_special_tokens_mask", "return_length", "verbose",
)  # fmt: skip
