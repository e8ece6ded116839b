"""What the tokenizer classes of families have in common: defaults of special tokens, and files of one's own.

A class names the arguments that differ from one family to the next in `defaults`; its constructor takes them by name.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer

from xf.checkpoint.atomic import write_atomic

from .batch_encoding import BatchEncoding
from .bpe import byte_level_tokenizer, read_merges, read_vocab_json
from .sentencepiece import SentencePieceModel
from .templates import template
from .tokenizer_fast import PreTrainedTokenizerFast


def literal(content: str) -> AddedToken:
    """A special token that is found in the text as it was given."""
    return AddedToken(content, normalized=False, special=True)


def normal(content: str) -> AddedToken:
    """A special token that is found in the normalized text."""
    return AddedToken(content, normalized=True)


def mask(content: str, normalized: bool) -> AddedToken:
    """A mask token: it takes the space before it, as a word would."""
    return AddedToken(content, lstrip=True, normalized=normalized)


def with_defaults(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` on top of `defaults`; a token given as a string has the flags of the default one."""
    merged: dict[str, Any] = {**copy.deepcopy(dict(defaults)), **given}
    for key, value in given.items():
        flags = defaults.get(key)
        if isinstance(value, str) and isinstance(flags, AddedToken):
            token = copy.deepcopy(flags)
            token.content = value
            merged[key] = token
    return merged


def own_tokens(arguments: Mapping[str, Any]) -> set[str]:
    """The special tokens with a name among the arguments of a class."""
    return {str(value) for key, value in arguments.items() if key.endswith("_token") and value is not None}


def file_name(folder: str, prefix: str | None, name: str) -> Path:
    """Where a vocabulary file is written.

    Raises: ValueError if there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"Vocabulary path ({folder}) should be a directory")
    return Path(folder) / (f"{prefix}-{name}" if prefix else name)


class FamilyTokenizerFast(PreTrainedTokenizerFast):
    """A tokenizer of one family on the `tokenizers` library.

    defaults: the arguments of the class, and what they are if nobody gives them. file_defaults: which are others where
    the tokenizer is made from vocabulary files. single, pair: what stands around a text and two (`template`), with
    attributes such as {cls_token} for tokens; used where tokenizer.json does not say.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    file_defaults: ClassVar[Mapping[str, Any]] = {}
    single: ClassVar[str | None] = None
    pair: ClassVar[str | None] = None

    def __init__(self, *files: Any, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        made = (tokenizer_file is None or kwargs.get("from_slow")) and kwargs.get("tokenizer_object") is None
        given = with_defaults({**self.defaults, **(self.file_defaults if made else {})}, kwargs)
        super().__init__(*files, tokenizer_file=tokenizer_file, **given)
        self.finish(bool(made))

    def finish(self, made: bool) -> None:
        """Complete the pipeline, which was `made` from vocabulary files or read from a tokenizer.json."""
        if made and self.single is not None and self.pair is not None:
            self._tokenizer.post_processor = self.around(self.single, self.pair)

    def around(self, single: str, pair: str) -> Any:
        """The post-processor of two templates; see `single`."""
        names = {key: getattr(self, key) for key in self.SPECIAL_TOKENS_ATTRIBUTES[:-1]}
        return template(self._tokenizer, single.format(**names), pair.format(**names))

    def needs(self, **files: Any) -> None:
        """ValueError that names the files that are missing."""
        if any(path is None for path in files.values()):
            named = " and ".join(f"{self.vocab_files_names[name]} ({name}=)" for name in files)
            comma = "," * (len(files) > 1)
            raise ValueError(f"{type(self).__name__} needs {named}{comma} or tokenizer.json (tokenizer_file=).")


class ByteLevelTokenizerFast(FamilyTokenizerFast):
    """BPE on bytes (Radford et al. 2019).

    vocab_file, merges_file: vocab.json and merges.txt. tokenizer_file: tokenizer.json. Others by name; `errors` is kept
    for the files, since the library decodes broken bytes as "replace" does. pattern: cuts texts into words, GPT-2's if
    None. spaced_words: words of a split text need add_prefix_space=True.
    """

    vocab_files_names = {"vocab_file": "vocab.json", "merges_file": "merges.txt", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    pattern: ClassVar[str | None] = None
    nfc: ClassVar[bool] = False
    trim_offsets_by_default: ClassVar[bool] = False
    spaced_words: ClassVar[bool] = True

    def __init__(
        self,
        vocab_file: str | None = None,
        merges_file: str | None = None,
        tokenizer_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab_file, merges_file, tokenizer_file=tokenizer_file, **kwargs)

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """BPE from vocab.json and merges.txt."""
        vocab_file, merges_file = args
        self.needs(vocab_file=vocab_file, merges_file=merges_file)
        return byte_level_tokenizer(
            read_vocab_json(vocab_file),
            read_merges(merges_file),
            add_prefix_space=bool(kwargs.get("add_prefix_space")),
            trim_offsets=kwargs.get("trim_offsets", self.trim_offsets_by_default),
            pattern=self.pattern,
            nfc=self.nfc,
        )

    def _batch_encode_plus(self, *args: Any, **options: Any) -> BatchEncoding:  # type: ignore[override]
        if self.spaced_words and options.get("is_split_into_words") and not self.add_prefix_space:
            raise ValueError(
                f"Words of a split text are told apart by the space before them: {type(self).__name__} needs "
                "add_prefix_space=True for is_split_into_words=True."
            )
        return super()._batch_encode_plus(*args, **options)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json and merges.txt; returns their paths."""
        model = json.loads(self._tokenizer.to_str())["model"]
        vocab = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        contents = {
            "vocab.json": json.dumps(vocab, ensure_ascii=False, separators=(",", ":")),
            "merges.txt": "#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges),
        }
        paths = [file_name(save_directory, filename_prefix, name) for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            write_atomic(path, content)
        return tuple(map(str, paths))


class SentencePieceTokenizerFast(FamilyTokenizerFast):
    """Pieces of text from a SentencePiece file (Kudo and Richardson 2018).

    vocab_file: the file. tokenizer_file: tokenizer.json. Others by name.
    """

    vocab_files_names = {"vocab_file": "spiece.model", "tokenizer_file": "tokenizer.json"}

    def __init__(self, vocab_file: str | None = None, tokenizer_file: str | None = None, **kwargs: Any) -> None:
        self.vocab_file = vocab_file
        super().__init__(vocab_file, tokenizer_file=tokenizer_file, **kwargs)

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """The pipeline of the file."""
        self.needs(vocab_file=args[0])
        return self.pipeline(SentencePieceModel.read(args[0]), **kwargs)

    def pipeline(self, model: SentencePieceModel, **kwargs: Any) -> Tokenizer:
        """The pipeline of a model, given the arguments of the class. For subclasses."""
        raise NotImplementedError(f"{type(self).__name__} makes no pipeline from a SentencePiece model")

    @property
    def can_save_slow_tokenizer(self) -> bool:
        """Whether the SentencePiece file is still there to be copied."""
        return self.vocab_file is not None and Path(self.vocab_file).is_file()

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Copy the SentencePiece file; returns its path.

        Raises: ValueError if it is not there: tokenizer.json alone does not hold it.
        """
        name = self.vocab_files_names["vocab_file"]
        if self.vocab_file is None or not Path(self.vocab_file).is_file():
            raise ValueError(f"{name} cannot be saved: there is no file {self.vocab_file!r} to copy.")
        path, data = file_name(save_directory, filename_prefix, name), Path(self.vocab_file).read_bytes()
        write_atomic(path, data)
        return (str(path),)


class BeginEndMixin(FamilyTokenizerFast):
    """Texts begin with `bos_token` if `add_bos_token`, and end with `eos_token` if `add_eos_token`; both can be set."""

    _begins = _ends = False

    def finish(self, made: bool) -> None:
        self._begins = bool(self.init_kwargs.get("add_bos_token"))
        self._ends = bool(self.init_kwargs.get("add_eos_token"))
        self.update_post_processor()

    @property
    def add_bos_token(self) -> bool:
        """Whether texts begin with `bos_token`."""
        return self._begins

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        self._begins = value
        self.update_post_processor()

    @property
    def add_eos_token(self) -> bool:
        """Whether texts end with `eos_token`."""
        return self._ends

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        self._ends = value
        self.update_post_processor()

    def update_post_processor(self) -> None:
        """Make the pipeline add what the two settings say.

        Raises: ValueError where a token is to be added that the tokenizer does not have.
        """
        for wanted, name in ((self._begins, "bos_token"), (self._ends, "eos_token")):
            if wanted and getattr(self, name) is None:
                raise ValueError(f"add_{name} = True but {name} = None: give {type(self).__name__} a {name}.")
        first = "{bos_token}:0 " * self._begins + "$A:0" + " {eos_token}:0" * self._ends
        second = " {bos_token}:1" * self._begins + " $B:1" + " {eos_token}:1" * self._ends
        self._tokenizer.post_processor = self.around(first, first + second)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """bos A eos, or bos A eos bos B eos, as far as they are added."""
        begin, end = [self.bos_token_id] * self._begins, [self.eos_token_id] * self._ends
        rows = [token_ids_0] if token_ids_1 is None else [token_ids_0, token_ids_1]
        return [index for row in rows for index in (*begin, *row, *end)]
