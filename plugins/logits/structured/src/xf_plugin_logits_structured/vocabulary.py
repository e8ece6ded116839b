"""What llguidance must know of a tokenizer: the bytes that every token adds to the text."""

from __future__ import annotations

import json
import weakref
from typing import Any

from llguidance import LLTokenizer, TokenizerWrapper

_SPACE = "\u2581"  # how SentencePiece writes a space
_known: weakref.WeakKeyDictionary[Any, dict[tuple[int, tuple[int, ...]], LLTokenizer]] = weakref.WeakKeyDictionary()


def vocabulary_of(tokenizer: Any, end_tokens: tuple[int, ...]) -> LLTokenizer:
    """The vocabulary of `tokenizer`, read once per tokenizer (about a second for 100,000 tokens).

    Raises: ValueError for tokenizers whose tokens have no bytes of their own, or that have none of the end tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"Structured output needs a tokenizer on the `tokenizers` library, not {type(tokenizer).__name__}: load it "
            "with AutoTokenizer.from_pretrained(...)."
        )
    known = _known.setdefault(tokenizer, {})
    key = (backend.get_vocab_size(with_added_tokens=True), end_tokens)
    if key not in known:
        known[key] = _read(tokenizer, backend, list(end_tokens))
    return known[key]


def _read(tokenizer: Any, backend: Any, ends: list[int]) -> LLTokenizer:
    size = backend.get_vocab_size(with_added_tokens=True)
    inside = [end for end in ends if 0 <= end < size]
    if not inside:
        raise ValueError(f"eos_token_id {ends} is outside of the tokenizer's {size} tokens.")
    kinds = _decoder_kinds(json.loads(backend.to_str())["decoder"])
    if kinds & {"ByteLevel", "ByteFallback"}:
        return LLTokenizer(backend.to_str(), eos_token=inside)
    if "Metaspace" in kinds:
        return LLTokenizer(TokenizerWrapper(_Pieces(backend, inside[0])), n_vocab=size, eos_token=inside)
    raise ValueError(
        f"Structured output needs tokens that stand for the same characters wherever they are. Those of "
        f"{type(tokenizer).__name__} (decoder: {', '.join(sorted(kinds)) or 'none'}) do not: word pieces get their "
        "spaces from their neighbours. Byte-level BPE and SentencePiece vocabularies work."
    )


def _decoder_kinds(decoder: Any) -> set[str]:
    """The types of the parts of a decoder."""
    if decoder is None:
        return set()
    if decoder["type"] == "Sequence":
        return set().union(*map(_decoder_kinds, decoder["decoders"]))
    return {decoder["type"]}


class _Pieces:
    """A SentencePiece vocabulary without byte tokens, as llguidance reads one."""

    bos_token_id = None

    def __init__(self, backend: Any, eos_token_id: int) -> None:
        self._backend, self.eos_token_id = backend, eos_token_id
        added = backend.get_added_tokens_decoder()
        self.special_token_ids = [index for index, token in added.items() if token.special]
        texts = {index: text for text, index in backend.get_vocab(with_added_tokens=True).items()}
        self.tokens = [
            texts.get(index, "").replace(_SPACE, " ").encode() if index not in added else added[index].content.encode()
            for index in range(max(texts) + 1)
        ]

    def __call__(self, text: str) -> list[int]:
        """The pieces of `text` as it stands, up to a character that has none: no space is put in front."""
        ids = [token.id for token in self._backend.model.tokenize(text.replace(" ", _SPACE))]
        known = next((place for place, index in enumerate(ids) if index in self.special_token_ids), len(ids))
        return ids[:known]
