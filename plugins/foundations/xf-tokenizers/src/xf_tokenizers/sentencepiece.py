"""Pipelines of the `tokenizers` library from SentencePiece model files.

Source: sentencepiece_model.proto of the SentencePiece project (fields and defaults), and Kudo and Richardson 2018.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from .protobuf import as_bytes, as_float, as_int, fields

#: The character that stands for a space in pieces.
SPACE = "\u2581"
#: No published model comes near; more is a damaged file.
_MAX_FILE = 1 << 30


class PieceKind(enum.IntEnum):
    """ModelProto.SentencePiece.Type."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """A token: its text, its log probability (or minus its rank), and its kind."""

    text: str
    score: float
    kind: PieceKind


#: TrainerSpec.ModelType
_ALGORITHMS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass
class SentencePieceModel:
    """What a model file holds.

    Attributes: `pieces`, `algorithm` ("unigram", "bpe", "word", "char"), the ids of special tokens (-1: none), and how
    text is normalized.
    """

    pieces: list[Piece] = field(default_factory=list)
    algorithm: str = "unigram"
    byte_fallback: bool = False
    unk_id: int = 0
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = -1
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True

    @classmethod
    def read(cls, path: str | Path) -> SentencePieceModel:
        """Read a model file (`spiece.model`, `tokenizer.model`, ...); ValueError if it is none or damaged."""
        path = Path(path)
        size = path.stat().st_size
        if size == 0 or size > _MAX_FILE:
            raise ValueError(f"{path} has {size} bytes: it is no SentencePiece model")
        try:
            return cls.parse(path.read_bytes())
        except (ValueError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no SentencePiece model, or damaged: {error}") from error

    @classmethod
    def parse(cls, data: bytes) -> SentencePieceModel:
        """Read a model from the bytes of its file."""
        model = cls()
        for number, value in fields(data):
            if number == 1:
                model.pieces.append(_piece(as_bytes(value)))
            elif number == 2:
                model._read_trainer(as_bytes(value))
            elif number == 3:
                model._read_normalizer(as_bytes(value))
        if not model.pieces:
            raise ValueError("it has no pieces")
        if not 0 <= model.unk_id < len(model.pieces):
            raise ValueError(f"the unknown token {model.unk_id} is none of the {len(model.pieces)} pieces")
        return model

    def _read_trainer(self, data: bytes) -> None:
        names = {40: "unk_id", 41: "bos_id", 42: "eos_id", 43: "pad_id"}
        for number, value in fields(data):
            if number == 3:
                self.algorithm = _ALGORITHMS.get(as_int(value), "unknown")
            elif number == 35:
                self.byte_fallback = bool(as_int(value))
            elif number in names:
                setattr(self, names[number], as_int(value))

    def _read_normalizer(self, data: bytes) -> None:
        names = {3: "add_dummy_prefix", 4: "remove_extra_whitespaces", 5: "escape_whitespaces"}
        for number, value in fields(data):
            if number == 2:
                self.charsmap = as_bytes(value)
            elif number in names:
                setattr(self, names[number], bool(as_int(value)))

    @cached_property
    def vocab(self) -> list[tuple[str, float]]:
        """(piece, score) in the order of ids."""
        return [(piece.text, piece.score) for piece in self.pieces]

    def texts(self, *kinds: PieceKind) -> list[str]:
        """The pieces of some kinds, in the order of ids."""
        return [piece.text for piece in self.pieces if piece.kind in kinds]


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, PieceKind.NORMAL
    for number, value in fields(data):
        if number == 1:
            text = as_bytes(value).decode("utf-8")
        elif number == 2:
            score = as_float(value)
        elif number == 3:
            kind = PieceKind(as_int(value))
    return Piece(text, score, kind)


# Parts of a pipeline


def unigram(vocab: Sequence[tuple[str, float]], unk_id: int, byte_fallback: bool = False) -> models.Unigram:
    """A Unigram model of (piece, score) in the order of ids."""
    return models.Unigram(list(vocab), unk_id=unk_id, byte_fallback=byte_fallback)


def bpe(vocab: Sequence[tuple[str, float]], unk_token: str | None = None, byte_fallback: bool = True) -> models.BPE:
    """A BPE model of (piece, score) in the order of ids; the merges follow from the scores."""
    ids = {text: i for i, (text, _) in enumerate(vocab)}
    return models.BPE(
        ids, merges_of(vocab), unk_token=unk_token, fuse_unk=True, byte_fallback=byte_fallback, dropout=None
    )  # fmt: skip


def merges_of(vocab: Sequence[tuple[str, float]]) -> list[tuple[str, str]]:
    """The merges that make each piece of two others, in the order that published conversions have: by the score of what
    they make, then by the two texts, all from high to low."""
    texts = {text for text, _ in vocab}
    merges = [
        (score, text[:cut], text[cut:])
        for text, score in vocab
        for cut in range(1, len(text))
        if text[:cut] in texts and text[cut:] in texts
    ]
    return [(left, right) for _, left, right in sorted(merges, reverse=True)]


def normalizer(model: SentencePieceModel) -> normalizers.Normalizer:
    """The model's character map, then white space: none at the end, runs as one."""
    parts: list[Any] = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    parts += [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), SPACE)]
    return normalizers.Sequence(parts)


def prepend_scheme(add_prefix_space: bool, legacy: bool = True) -> str:
    """When a space is put before a text: always, before the first piece alone (the corrected behaviour), or never."""
    return ("always" if legacy else "first") if add_prefix_space else "never"


def sentencepiece_tokenizer(
    model: SentencePieceModel,
    vocab: Sequence[tuple[str, float]] | None = None,
    unk_id: int | None = None,
    *,
    add_prefix_space: bool | None = None,
    legacy: bool = True,
    split: bool = True,
) -> Tokenizer:
    """The common pipeline (T5, ALBERT, XLM-R, mBART, Pegasus ...): character map, spaces as `SPACE`, the model.

    Args:
        model: the file.
        vocab: (piece, score) in the order of the family's ids, where they are not those of the file.
        unk_id: the unknown token in `vocab`.
        add_prefix_space: put a space before the text; by default what the file says.
        legacy: also put it after a special token inside the text.
        split: cut at spaces before the model sees the text.

    The special tokens and the post-processor are the family's to add.
    """
    vocab = model.vocab if vocab is None else vocab
    unk_id = model.unk_id if unk_id is None else unk_id
    prefix = model.add_dummy_prefix if add_prefix_space is None else add_prefix_space
    if model.algorithm == "unigram":
        tokenizer = Tokenizer(unigram(vocab, unk_id, model.byte_fallback))
    elif model.algorithm == "bpe":
        tokenizer = Tokenizer(bpe(vocab, vocab[unk_id][0], model.byte_fallback))
    else:
        raise ValueError(f"a SentencePiece model of type {model.algorithm!r} has no pipeline: unigram and bpe have")
    tokenizer.normalizer = normalizer(model)
    scheme = prepend_scheme(prefix, legacy)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=split)
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=split)
    add_file_tokens(tokenizer, model, vocab)
    return tokenizer


def byte_fallback_tokenizer(
    model: SentencePieceModel, *, add_prefix_space: bool | None = None, legacy: bool = True
) -> Tokenizer:
    """The pipeline of Llama and its kin: BPE on the whole text, unknown characters as bytes.

    Args:
        model: the file.
        add_prefix_space: put a space before the text; by default what the file says.
        legacy: the first published behaviour, which puts the space after every special token inside the text too.
    """
    prefix = model.add_dummy_prefix if add_prefix_space is None else add_prefix_space
    unknown = model.pieces[model.unk_id].text
    tokenizer = Tokenizer(
        bpe(model.vocab, unknown) if model.algorithm == "bpe" else unigram(model.vocab, model.unk_id, True)
    )
    if legacy:
        first: list[Any] = [normalizers.Prepend(SPACE)] if prefix else []
        tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", SPACE)])
    else:
        scheme = prepend_scheme(prefix, legacy)
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
    last: list[Any] = [decoders.Strip(content=" ", left=1)] if prefix else []
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    tokenizer.decoder = decoders.Sequence(steps)
    add_file_tokens(tokenizer, model, model.vocab)
    return tokenizer


def add_file_tokens(
    tokenizer: Tokenizer,
    model: SentencePieceModel,
    vocab: Sequence[tuple[str, float]],
    skip: Collection[str] = (),
) -> None:
    """Keep the file's control and user defined pieces whole in every text, as far as `vocab` has them.

    Those of `skip` are left out: they are the family's, which knows what becomes of the spaces around them.
    """
    present = {text for text, _ in vocab}.difference(skip)
    kinds = (PieceKind.UNKNOWN, PieceKind.CONTROL, PieceKind.USER_DEFINED)
    for piece in model.pieces:
        if piece.kind in kinds and piece.text in present:
            special = piece.kind is not PieceKind.USER_DEFINED
            tokenizer.add_tokens([AddedToken(piece.text, normalized=False, special=special)])
