"""Lists of token ids: which strategies a call asks for, truncation, special tokens around, padding.

Everything here is a function of its arguments and of the tokenizer's settings; nothing is remembered between calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xf import logging
from xf.utils.tensors import is_torch_tensor, to_py_obj

from . import prepare
from .batch_encoding import BatchEncoding, PaddingStrategy, TensorType, TruncationStrategy
from .lengths import LARGE_INTEGER, check_side, multiple
from .special_tokens import SpecialTokensMixin

logger = logging.get_logger(__name__)


_NO_TRUNCATION = (
    "Truncation was not explicitly activated but `max_length` is provided a specific value, please use "
    "`truncation=True` to explicitly truncate examples to max length. Defaulting to 'longest_first'."
)
_NO_MAX_LENGTH = (
    "`max_length` is ignored when `padding`=`True` and there is no truncation strategy. To pad to max length, use "
    "`padding='max_length'`."
)
_NO_LENGTH = (
    "Asking to pad or truncate to max_length but no maximum length is provided and the model has no predefined "
    "maximum length. Default to neither."
)


class TokenSequencesMixin(SpecialTokensMixin):
    """Padding, truncation and special tokens for lists of ids."""

    model_input_names: list[str]
    model_max_length: int
    padding_side: str
    truncation_side: str

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens are put around a sequence, or a pair of sequences."""
        raise NotImplementedError

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """One sequence of ids from one or two, with the special tokens of the model; here without any."""
        return token_ids_0 + (token_ids_1 or [])

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The token types of what `build_inputs_with_special_tokens` makes: 0 for the first sequence, then 1."""
        first = len(self.build_inputs_with_special_tokens(token_ids_0))
        both = len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))
        return [0] * first + [1] * (both - first)

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for special tokens, 0 for text.

        Args:
            token_ids_0: ids of the first sequence.
            token_ids_1: ids of the second sequence.
            already_has_special_tokens: `token_ids_0` holds the special tokens: find them by their ids. Otherwise the
                mask is that of what `build_inputs_with_special_tokens` would make.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError("with already_has_special_tokens=True give one formatted sequence, not two")
            special = set(self.all_special_ids)
            return [int(token in special) for token in token_ids_0]
        # Ids that no vocabulary has mark the text.
        marks = self.build_inputs_with_special_tokens(
            [-1] * len(token_ids_0), None if token_ids_1 is None else [-1] * len(token_ids_1)
        )
        return [int(token != -1) for token in marks]

    # Strategies

    def _get_padding_truncation_strategies(  # fmt: skip
        self,
        padding: bool | str | PaddingStrategy | None = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        verbose: bool = True,
        **kwargs: Any,
    ) -> tuple[PaddingStrategy, TruncationStrategy, int | None, dict[str, Any]]:
        """The strategies that the arguments of a call mean, the length they act on, and the arguments that are left.

        Raises:
            ValueError: an unknown strategy; padding without a padding token; a length no multiple of what was asked.
        """
        advise = self._advise if verbose else lambda key, message: None
        if max_length is not None and padding is False and truncation is None:
            advise("max_length without truncation", _NO_TRUNCATION)
            truncation = "longest_first"
        if padding is True and max_length is not None and truncation in (None, False, "do_not_truncate"):
            advise("max_length with padding", _NO_MAX_LENGTH)
        longest, untouched = PaddingStrategy.LONGEST, PaddingStrategy.DO_NOT_PAD
        padding = longest if padding is True else PaddingStrategy(padding) if padding else untouched
        whole = TruncationStrategy.DO_NOT_TRUNCATE
        truncation = "longest_first" if truncation is True else truncation
        truncation = TruncationStrategy(truncation) if truncation else whole
        if max_length is None and (padding is PaddingStrategy.MAX_LENGTH or truncation is not whole):
            max_length = self.model_max_length
            if max_length > LARGE_INTEGER:
                self._advise("no length", _NO_LENGTH)
                padding = untouched if padding is PaddingStrategy.MAX_LENGTH else padding
                truncation, max_length = whole, None
        if max_length is not None and (not isinstance(max_length, (int, np.integer)) or max_length < 0):
            raise ValueError(f"max_length must be a number of tokens, not {max_length!r}")
        if padding is not untouched and (self.pad_token is None or self.pad_token_id is None or self.pad_token_id < 0):
            raise ValueError(
                "Asking to pad but the tokenizer does not have a padding token. Select one, for example "
                "`tokenizer.pad_token = tokenizer.eos_token`, or add one: "
                "`tokenizer.add_special_tokens({'pad_token': '[PAD]'})`."
            )
        both = truncation is not whole and padding is not untouched
        if both and pad_to_multiple_of and max_length is not None and max_length % pad_to_multiple_of:
            raise ValueError(
                "Truncation and padding are both activated but truncation length "
                f"({max_length}) is not a multiple of pad_to_multiple_of ({pad_to_multiple_of})."
            )
        return padding, truncation, max_length, kwargs

    def _advise(self, key: str, message: str) -> None:
        """Warn once for each tokenizer."""
        if not self.deprecation_warnings.get(key):
            logger.warning(message)
        self.deprecation_warnings[key] = True

    def _eventual_warn_about_too_long_sequence(self, ids: list[int], max_length: int | None, verbose: bool) -> None:
        if max_length is None and len(ids) > self.model_max_length and verbose:
            self._advise(
                "sequence-length-is-longer-than-the-specified-maximum",
                "Token indices sequence length is longer than the specified maximum sequence length for this model "
                f"({len(ids)} > {self.model_max_length}). Running this sequence through the model will result in "
                "indexing errors",
            )

    # Truncation, and all together

    def truncate_sequences(  # fmt: skip
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str | TruncationStrategy = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Remove tokens from one or both sequences, on the tokenizer's `truncation_side`.

        Args:
            ids: ids of the first sequence.
            pair_ids: ids of the second sequence.
            num_tokens_to_remove: how many tokens in total.
            truncation_strategy: which sequence loses them; "longest_first" takes each from the longer of the two.
            stride: how many of the kept tokens the overflow repeats.

        Returns:
            The shortened sequences, and the overflow (empty for a pair shortened by "longest_first").
        """
        return prepare.truncate_sequences(
            ids, pair_ids, num_tokens_to_remove, truncation_strategy, stride, self.truncation_side
        )

    def prepare_for_model(  # fmt: skip
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        stride: int = 0,
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
        prepend_batch_axis: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """The model inputs for one or two sequences of ids: truncated, with special tokens, padded.

        The arguments are those of calling the tokenizer; `prepend_batch_axis` makes tensors of a batch of one.

        Raises:
            ValueError: arguments that contradict each other.
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "ids", "pair_ids", "kwargs")}
        return prepare.prepare_for_model(self, ids, pair_ids, **options, **kwargs)

    # Padding

    def pad(  # fmt: skip
        self,
        encoded_inputs: BatchEncoding | Sequence[Mapping[str, Any]] | Mapping[str, Any],
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad encoded inputs to one length.

        Args:
            encoded_inputs: one item, a batch, or a list of items (as a collate function gets them); lists or tensors.
            padding: True or "longest" (of the batch), "max_length", False.
            max_length: the length for "max_length"; the model's own where it is left out.
            pad_to_multiple_of: round the length up.
            padding_side: "right" or "left" instead of the tokenizer's setting.
            return_attention_mask: add an attention mask where there is none; by default as the model needs it.
            return_tensors: "pt" or "np"; by default the kind that came in.
            verbose: give advice in the log.

        Raises:
            ValueError: the main input is missing, or rows that do not fit together.
        """
        if isinstance(encoded_inputs, (list, tuple)) and encoded_inputs and isinstance(encoded_inputs[0], Mapping):
            encoded_inputs = {key: [example[key] for example in encoded_inputs] for key in encoded_inputs[0]}
        main = self.model_input_names[0]
        if not isinstance(encoded_inputs, Mapping) or main not in encoded_inputs:
            got = list(encoded_inputs) if isinstance(encoded_inputs, Mapping) else encoded_inputs
            raise ValueError(f"an encoding or a list of encodings that includes {main} is needed to pad, not {got!r}")
        required = encoded_inputs[main]
        if required is None or len(required) == 0:
            empty = {**encoded_inputs, "attention_mask": []} if return_attention_mask else encoded_inputs
            return empty if isinstance(empty, BatchEncoding) else BatchEncoding(dict(empty))

        if return_tensors is None:
            first = next((row for row in required if not isinstance(row, (list, tuple))), required)
            first = next((row[0] for row in required if isinstance(row, (list, tuple)) and row), first)
            if is_torch_tensor(required) or is_torch_tensor(first):
                return_tensors = "pt"
            elif isinstance(required, np.ndarray) or isinstance(first, (np.ndarray, np.generic)):
                return_tensors = "np"
        rows = {key: to_py_obj(value) for key, value in encoded_inputs.items()}
        required = rows[main]
        strategy, _, max_length, _ = self._get_padding_truncation_strategies(padding, None, max_length, verbose=verbose)
        if not isinstance(required[0], (list, tuple)):
            single = self._pad(rows, max_length, strategy, pad_to_multiple_of, padding_side, return_attention_mask)
            return BatchEncoding(single, tensor_type=return_tensors)

        size = len(required)
        for key, value in rows.items():
            if len(value) != size:
                raise ValueError(f"{key} has {len(value)} rows, but {main} has {size}")
        if strategy is PaddingStrategy.LONGEST:
            max_length, strategy = max(len(row) for row in required), PaddingStrategy.MAX_LENGTH
        batch: dict[str, list[Any]] = {}
        for i in range(size):
            item = {key: value[i] for key, value in rows.items()}
            item = self._pad(item, max_length, strategy, pad_to_multiple_of, padding_side, return_attention_mask)
            for key, value in item.items():
                batch.setdefault(key, []).append(value)
        return BatchEncoding(batch, tensor_type=return_tensors)

    def _pad(  # fmt: skip
        self,
        encoded_inputs: dict[str, Any] | BatchEncoding,
        max_length: int | None = None,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
    ) -> dict[str, Any]:
        """Pad one item (lists of ids); a tokenizer with inputs of its own extends this."""
        side = check_side(self.padding_side if padding_side is None else padding_side)
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        main = self.model_input_names[0]
        length = len(encoded_inputs[main])
        if padding_strategy is PaddingStrategy.LONGEST or max_length is None:
            max_length = length
        missing = max(0, multiple(max_length, pad_to_multiple_of) - length)
        if padding_strategy is PaddingStrategy.DO_NOT_PAD:
            missing = 0
        if return_attention_mask and "attention_mask" not in encoded_inputs:
            encoded_inputs["attention_mask"] = [1] * length
        if missing:
            fillers = {"token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1, main: self.pad_token_id}
            if return_attention_mask:
                fillers["attention_mask"] = 0
            for key, filler in fillers.items():
                if key in encoded_inputs:
                    row, padding = list(encoded_inputs[key]), [filler] * missing
                    encoded_inputs[key] = row + padding if side == "right" else padding + row
        return encoded_inputs
