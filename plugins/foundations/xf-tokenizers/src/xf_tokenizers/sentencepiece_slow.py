"""Pieces of a SentencePiece file as strings, for tokenizers in pure Python that number them themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .sentencepiece import SPACE, PieceKind, SentencePieceModel, sentencepiece_tokenizer

#: Stands for the unknown piece: no text holds it, U+FFFF is no character
_UNKNOWN = "\uffff"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Pieces:
    """Splits text into the pieces of a model file, and joins pieces to text.

    Raises: ValueError for a file that is none or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.model = SentencePieceModel.read(path)
        found = (PieceKind.NORMAL, PieceKind.USER_DEFINED, PieceKind.BYTE)
        # Control pieces and the unknown one are no part of texts: what looks like them is split like any text
        vocab = [(_UNKNOWN, 0.0), *((piece.text, piece.score) for piece in self.model.pieces if piece.kind in found)]
        self._tokenizer = sentencepiece_tokenizer(_without_control(self.model), vocab, 0)
        self._control = set(self.model.texts(PieceKind.CONTROL))

    def encode(self, text: str) -> list[str]:
        """The pieces; what the model does not know stays as it is in the text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).tokens)

    def decode(self, pieces: Sequence[str]) -> str:
        """The text of pieces; control pieces have none."""
        kept = "".join(piece for piece in pieces if piece not in self._control)
        if self.model.byte_fallback:
            kept = _with_bytes(kept)
        text = kept.replace(SPACE, " ")
        return text.removeprefix(" ") if self.model.add_dummy_prefix else text


def _without_control(model: SentencePieceModel) -> SentencePieceModel:
    kept = [piece for piece in model.pieces if piece.kind is PieceKind.USER_DEFINED]
    return SentencePieceModel(
        kept, model.algorithm, model.byte_fallback, charsmap=model.charsmap, add_dummy_prefix=model.add_dummy_prefix
    )  # fmt: skip


def _with_bytes(text: str) -> str:
    """Runs of byte pieces as the characters that they spell."""

    def spell(found: re.Match[str]) -> str:
        return bytes(int(code, 16) for code in _BYTE.findall(found.group())).decode("utf-8", "replace")

    return re.sub(r"(?:<0x[0-9A-F]{2}>)+", spell, text)
