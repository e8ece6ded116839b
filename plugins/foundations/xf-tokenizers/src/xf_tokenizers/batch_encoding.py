"""What a tokenizer returns: a dictionary of model inputs that can also be asked how tokens, words and characters align.

Nothing here imports torch before tensors of torch are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from xf import logging
from xf.utils.enums import ExplicitEnum, PaddingStrategy, TensorType
from xf.utils.tensors import is_torch_tensor, tensor_converter, to_tensor

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

__all__ = [
    "BatchEncoding",
    "CharSpan",
    "ExplicitEnum",
    "PaddingStrategy",
    "TensorType",
    "TokenSpan",
    "TruncationStrategy",
]

logger = logging.get_logger(__name__)
Self = TypeVar("Self", bound="BatchEncoding")


class TruncationStrategy(ExplicitEnum):
    """Values of the `truncation` argument."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"


class CharSpan(NamedTuple):
    """Characters `start` to `end` (exclusive) of the original string."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens `start` to `end` (exclusive) of an encoded sequence."""

    start: int
    end: int


class BatchEncoding(dict[str, Any]):
    """The model inputs made by a tokenizer.

    A dictionary (`input_ids`, `attention_mask`, ...), whose keys are also attributes. With a fast tokenizer an integer
    key gives the backend's encoding of that item, and the methods below map between tokens, words and characters.

    Args:
        data: the model inputs, lists or tensors of shape [batch, tokens] or, for one item, [tokens].
        encoding: the backend's encoding, or one for each item of the batch.
        tensor_type: "pt" or "np" turns lists into tensors.
        prepend_batch_axis: add a batch axis while turning into tensors.
        n_sequences: how many sequences (1, or 2 for pairs) each item was made of.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: None | str | TensorType = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data or {})
        encodings = encoding if encoding is None or isinstance(encoding, Sequence) else [encoding]
        self._encodings: Sequence[Encoding] | None = encodings
        self._n_sequences = n_sequences
        if n_sequences is None and self._encodings:
            self._n_sequences = self._encodings[0].n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def data(self) -> dict[str, Any]:
        """The model inputs as a dictionary (this object itself)."""
        return self

    @property
    def n_sequences(self) -> int | None:
        """1 for single sequences, 2 for pairs, None if unknown."""
        return self._n_sequences

    @property
    def is_fast(self) -> bool:
        """Whether the alignment methods are available."""
        return self._encodings is not None

    @property
    def encodings(self) -> list[Encoding] | None:
        """The backend's encodings, one for each item, or None without a fast tokenizer."""
        if self._encodings is not None and not isinstance(self._encodings, list):
            self._encodings = list(self._encodings)
        return self._encodings

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return super().__getitem__(item)
        if self._encodings is not None:
            return self._encodings[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.items()}
        raise KeyError(
            f"invalid key {item!r}: use a string, a slice, or (only with the output of a fast tokenizer) an integer"
        )

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no attribute or key {name!r}; its keys are {list(self)}")

    def __getstate__(self) -> dict[str, Any]:
        return {"_encodings": self.encodings, "_n_sequences": self._n_sequences}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def copy(self) -> BatchEncoding:
        """A shallow copy."""
        return type(self)(dict(self), self._encodings, n_sequences=self._n_sequences)

    # Alignment

    def _encoding(self, index: int, method: str) -> Encoding:
        if not self._encodings:
            raise ValueError(
                f"{method}() is not available: this output holds no encodings of a fast tokenizer "
                "(a class built on the `tokenizers` library)"
            )
        return self._encodings[index]

    def _locate(self, method: str, first: int, second: int | None) -> tuple[Encoding, int]:
        """The encoding and the index inside it, from the documented (batch index, index) or (index) arguments."""
        encoding = self._encoding(0 if second is None else first, method)
        index = first if second is None else second
        return encoding, index + len(encoding) if index < 0 and method.startswith("token") else index

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The token strings of an item."""
        return self._encoding(batch_index, "tokens").tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token 0 or 1, the sequence it comes from; None for tokens that were added around the text."""
        return self._encoding(batch_index, "sequence_ids").sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token the index of its word; None for tokens that were added around the text."""
        return self._encoding(batch_index, "word_ids").word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """The older name of `word_ids`."""
        return self.word_ids(batch_index)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The sequence (0 or 1) of a token, None for an added one. Call with (token) or (item, token)."""
        encoding, index = self._locate("token_to_sequence", batch_or_token_index, token_index)
        return encoding.token_to_sequence(index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The word of a token, None for an added one. Call with (token) or (item, token)."""
        encoding, index = self._locate("token_to_word", batch_or_token_index, token_index)
        word = encoding.token_to_word(index)
        # The backend answers (sequence, word) or a word, depending on its version.
        return word[1] if isinstance(word, tuple) else word

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token, None for an added one. Call with (token) or (item, token)."""
        encoding, index = self._locate("token_to_chars", batch_or_token_index, token_index)
        span = encoding.token_to_chars(index)
        if span is not None and isinstance(span[1], tuple):
            span = span[1]
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word, None if it has none. Call with (word) or (item, word)."""
        encoding, index = self._locate("word_to_tokens", batch_or_word_index, word_index)
        span = encoding.word_to_tokens(index, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan:
        """The characters of a word; ValueError if there is no such word. Call with (word) or (item, word)."""
        encoding, index = self._locate("word_to_chars", batch_or_word_index, word_index)
        span = encoding.word_to_chars(index, sequence_index)
        if span is None:
            raise ValueError(f"there is no word {index} in sequence {sequence_index}")
        return CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that holds a character, None for white space. Call with (character) or (item, character)."""
        encoding, index = self._locate("char_to_token", batch_or_char_index, char_index)
        return encoding.char_to_token(index, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that holds a character, None for white space. Call with (character) or (item, character)."""
        encoding, index = self._locate("char_to_word", batch_or_char_index, char_index)
        return encoding.char_to_word(index, sequence_index)

    # Tensors

    def convert_to_tensors(
        self: Self, tensor_type: str | TensorType | None = None, prepend_batch_axis: bool = False
    ) -> Self:
        """Turn all values into tensors, in place.

        Args:
            tensor_type: "pt", "np", or None to do nothing.
            prepend_batch_axis: put each value into a batch of one.

        Raises:
            ValueError: the values are ragged, or the type is unknown.
        """
        if tensor_type is None:
            return self
        convert = tensor_converter(tensor_type)
        for key, value in self.items():
            if not (is_torch_tensor(value) if convert is to_tensor else isinstance(value, np.ndarray)):
                try:
                    self[key] = convert([value] if prepend_batch_axis else value)
                except (ValueError, TypeError, RuntimeError) as error:
                    raise ValueError(self._tensor_error(key)) from error
        return self

    def _tensor_error(self, key: str) -> str:
        if key == "overflowing_tokens":
            return (
                "Unable to create tensor returning overflowing tokens of different lengths: leave out "
                "return_tensors, or pad and use a fast tokenizer"
            )
        return (
            f"Unable to create tensor of `{key}`: its rows have different lengths, or hold something other than "
            "numbers. Activate padding and/or truncation with 'padding=True' 'truncation=True'."
        )

    def to(self: Self, device: str | int | torch.device, *, non_blocking: bool = False) -> Self:
        """Send all tensors to a device (in place)."""
        import torch

        if not isinstance(device, (str, int, torch.device)):
            logger.warning(f"BatchEncoding.to() moves to a device; {device!r} is none, so nothing was done.")
            return self
        for key, value in self.items():
            if isinstance(value, torch.Tensor):
                self[key] = value.to(device=device, non_blocking=non_blocking)
        return self
