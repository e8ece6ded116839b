"""What a tokenizer on the `tokenizers` library asks its backend: vocabulary, special tokens, decoding."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer

from .tokenizer import PreTrainedTokenizerBase

#: Texts of which at least one makes a token in nearly every vocabulary.
_PROBES = ("a", "0", "e", ".", "\u4e00")


class BackendVocabulary(PreTrainedTokenizerBase):
    """The methods of `PreTrainedTokenizerFast` that only ask the backend."""

    _tokenizer: Tokenizer
    _clones: deque[Any]
    _altered: dict[int, str] | None = None

    @property
    def decoder(self) -> Any:
        """The backend's decoder."""
        return self._tokenizer.decoder

    # Vocabulary

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens."""
        size: int = self._tokenizer.get_vocab_size(with_added_tokens=False)
        return size

    def __len__(self) -> int:
        size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    def get_vocab(self) -> dict[str, int]:
        vocab: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return vocab

    @property
    def vocab(self) -> dict[str, int]:
        """The vocabulary with added tokens: token to id."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        return dict(sorted(self._tokenizer.get_added_tokens_decoder().items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The added tokens: token to id, in the order of ids."""
        return {token.content: index for index, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        return self.added_tokens_encoder

    def _add_tokens(self, new_tokens: Sequence[str | AddedToken], special_tokens: bool = False) -> int:
        add = self._tokenizer.add_special_tokens if special_tokens else self._tokenizer.add_tokens
        self._clones.clear()
        self._altered = None
        count: int = add(list(new_tokens))
        return count

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of several; the unknown token's for what the vocabulary lacks."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._convert_token_to_id_with_added_voc(tokens)
        return [self._convert_token_to_id_with_added_voc(token) for token in tokens]

    def _convert_token_to_id_with_added_voc(self, token: str) -> int | None:
        index: int | None = self._tokenizer.token_to_id(token)
        if index is not None or token == self.unk_token:
            return index
        return self.unk_token_id  # type: ignore[no-any-return]

    def _altered_tokens(self) -> dict[int, str]:
        """Added tokens of which the backend only tells the normalized form, by id."""
        if self._altered is None:
            backend = self._tokenizer
            added = backend.get_added_tokens_decoder().items()
            self._altered = {i: t.content for i, t in added if t.normalized and backend.id_to_token(i) != t.content}
        return self._altered

    def _convert_id_to_token(self, index: int) -> str | None:
        if index in self._altered_tokens():
            return self._altered_tokens()[index]
        try:
            token: str | None = self._tokenizer.id_to_token(int(index))
        except OverflowError:
            raise ValueError(f"{index} is no token id: ids run from 0 to {len(self) - 1}") from None
        return token

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the tokens of several; None for an id that the vocabulary lacks."""
        if isinstance(ids, (int, np.integer)):
            return self._convert_id_to_token(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else frozenset()
        return [self._convert_id_to_token(index) for index in map(int, ids) if index not in skipped]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    # Special tokens around a text

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        count: int = self._tokenizer.num_special_tokens_to_add(pair)
        return count

    def _layout(self, pair: bool) -> list[tuple[int | None, int, int]]:
        """Where the post-processor puts things: (sequence, id, type id); sequence is None for a special token."""
        for probe in _probes(self._tokenizer):
            encoding = self._tokenizer.encode(probe, probe if pair else None)
            if {*encoding.sequence_ids} >= ({0, 1} if pair else {0}):
                break
        layout: list[tuple[int | None, int, int]] = []
        for sequence, index, kind in zip(encoding.sequence_ids, encoding.ids, encoding.type_ids, strict=True):
            if sequence is None or sequence not in [item[0] for item in layout]:
                layout.append((sequence, index, kind))
        return layout

    def _has_types(self) -> bool:
        """Whether any token of a single text has a type other than 0."""
        return self.pad_token_type_id != 0 or any(kind for _, _, kind in self._layout(False))

    def _arrange(self, first: list[int], second: list[int] | None) -> Iterator[tuple[int, int]]:
        """The ids and type ids of one or two sequences with special tokens."""
        for sequence, index, kind in self._layout(second is not None):
            ids = [index] if sequence is None else first if sequence == 0 else second or []
            yield from ((token, kind) for token in ids)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """One sequence of ids from one or two, with the special tokens that the post-processor adds."""
        return [index for index, _ in self._arrange(token_ids_0, token_ids_1)]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return [kind for _, kind in self._arrange(token_ids_0, token_ids_1)]

    # Decoding

    def _special_added(self) -> set[str]:
        return {token.content for token in self.added_tokens_decoder.values() if token.special}

    def _decode(  # fmt: skip
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        try:
            if self._altered_tokens() and not self._altered_tokens().keys().isdisjoint(ids):
                tokens = self.convert_ids_to_tokens(ids, skip_special_tokens=False)
                skipped = self._special_added() if skip_special_tokens else frozenset()
                text = self.convert_tokens_to_string([t for t in tokens if t is not None and t not in skipped])
            else:
                text = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        except (TypeError, OverflowError) as error:
            raise ValueError(
                f"decode needs one sequence of ids from 0 to {len(self) - 1} ({error}); batch_decode takes several"
            ) from error
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        return self.clean_up_tokenization(text) if clean else text


def _probes(backend: Tokenizer) -> Iterator[str]:
    yield from _PROBES
    yield from backend.get_vocab(False)
