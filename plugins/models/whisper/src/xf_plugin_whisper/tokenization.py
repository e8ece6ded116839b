"""The tokenizer of Whisper: byte-level BPE with tokens for languages, tasks and times."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from xf.checkpoint.atomic import write_atomic
from xf.utils.tensors import to_py_obj
from xf_plugin_whisper.languages import LANGUAGES, TASKS, TO_LANGUAGE_CODE
from xf_plugin_whisper.normalization import BasicTextNormalizer, EnglishTextNormalizer
from xf_plugin_whisper.timestamps import SEGMENT_STEPS, TIME_PRECISION, WindowClock, split_at_timestamps
from xf_plugin_whisper.transcript import decode_asr
from xf_tokenizers.tokenizer_fast import PreTrainedTokenizerFast

_TIMESTAMP_TEXT = re.compile(r"<\|(\d+\.\d+)\|>")


def language_code(language: str) -> str:
    """The code of a language given by name or code, in any case.

    Raises:
        ValueError: Whisper does not know it.
    """
    lowered = language.lower()
    if lowered in TO_LANGUAGE_CODE:
        return TO_LANGUAGE_CODE[lowered]
    if lowered in LANGUAGES:
        return lowered
    known = LANGUAGES if len(language) == 2 else TO_LANGUAGE_CODE
    raise ValueError(f"Unsupported language: {language}. Language should be one of: {list(known)}.")


class WhisperTokenizerFast(PreTrainedTokenizerFast):
    """Whisper's tokenizer on the `tokenizers` library.

    Args:
        vocab_file, merges_file: vocab.json and merges.txt, where there is no tokenizer.json.
        normalizer_file: normalizer.json, the American spelling of British words.
        tokenizer_file: tokenizer.json.
        unk_token, bos_token, eos_token: special tokens.
        add_prefix_space: begin texts with a space.
        language: of the labels, a name or code; with `task` and `predict_timestamps` it makes the prefix of labels.
        task: "transcribe" or "translate".
        predict_timestamps: leave <|notimestamps|> out of the prefix.
    """

    vocab_files_names = {
        "vocab_file": "vocab.json",
        "tokenizer_file": "tokenizer.json",
        "merges_file": "merges.txt",
        "normalizer_file": "normalizer.json",
    }
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | None = None,
        merges_file: str | None = None,
        normalizer_file: str | None = None,
        tokenizer_file: str | None = None,
        unk_token: str | AddedToken = "<|endoftext|>",
        bos_token: str | AddedToken = "<|endoftext|>",
        eos_token: str | AddedToken = "<|endoftext|>",
        add_prefix_space: bool = False,
        language: str | None = None,
        task: str | None = None,
        predict_timestamps: bool = False,
        **kwargs: Any,
    ) -> None:
        self.english_spelling_normalizer = _read_spelling(normalizer_file)
        self.language, self.task, self.predict_timestamps = language, task, predict_timestamps
        super().__init__(
            vocab_file,
            merges_file,
            tokenizer_file=tokenizer_file,
            unk_token=_special(unk_token),
            bos_token=_special(bos_token),
            eos_token=_special(eos_token),
            add_prefix_space=add_prefix_space,
            **kwargs,
        )
        if language is not None or task is not None or predict_timestamps:
            self._use_prefix()

    def build_backend(self, *args: Any, **kwargs: Any) -> Tokenizer:
        """Byte-level BPE from vocab.json and merges.txt."""
        vocab_file, merges_file = args
        if vocab_file is None or merges_file is None:
            raise ValueError("WhisperTokenizer needs tokenizer.json, or vocab.json and merges.txt: none was found.")
        backend = Tokenizer(BPE.from_file(str(vocab_file), str(merges_file)))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(kwargs.get("add_prefix_space")))
        backend.decoder = decoders.ByteLevel()
        return backend

    def _add_initial_tokens(self, added_tokens: dict[int, AddedToken]) -> None:
        """Also, for a backend made from vocabulary files: the prefix around texts."""
        super()._add_initial_tokens(added_tokens)
        if self._tokenizer.post_processor is None and self._tokenizer.token_to_id("<|startoftranscript|>") is not None:
            self._use_prefix()

    # ------------------------------------------------------------------------------------------ prefix of the labels

    @property
    def prefix_tokens(self) -> list[int]:
        """Ids of <|startoftranscript|>, the language, the task and <|notimestamps|>, as far as they are set.

        Raises:
            ValueError: an unknown language or task.
        """
        return self._prefix(self.language, self.task, self.predict_timestamps)

    def _prefix(self, language: str | None, task: str | None, predict_timestamps: bool) -> list[int]:
        names = ["<|startoftranscript|>"]
        if language is not None:
            names.append(f"<|{language_code(language)}|>")
        if task is not None:
            if task not in TASKS:
                raise ValueError(f"Unsupported task: {task}. Task should be in: {list(TASKS)}.")
            names.append(f"<|{task}|>")
        if not predict_timestamps:
            names.append("<|notimestamps|>")
        return [self._known_id(name) for name in names]

    def _known_id(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"The vocabulary has no token {token}: this checkpoint was not trained with it.")
        return found

    def set_prefix_tokens(
        self, language: str | None = None, task: str | None = None, predict_timestamps: bool | None = None
    ) -> None:
        """Set what texts begin with from now on; None keeps a setting.

        Raises:
            ValueError: an unknown language or task; then nothing changes.
        """
        language = self.language if language is None else language
        task = self.task if task is None else task
        predict_timestamps = self.predict_timestamps if predict_timestamps is None else predict_timestamps
        self._prefix(language, task, predict_timestamps)
        self.language, self.task, self.predict_timestamps = language, task, predict_timestamps
        self._use_prefix()

    def _use_prefix(self) -> None:
        ids = [*self.prefix_tokens, self.eos_token_id]
        tokens = [str(self._tokenizer.id_to_token(index)) for index in ids]
        before = [f"{token}:0" for token in tokens[:-1]]
        self._tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A:0", f"{tokens[-1]}:0"],
            pair=[*before, "$A:0", "$B:1", f"{tokens[-1]}:1"],
            special_tokens=list(dict(zip(tokens, ids, strict=True)).items()),
        )

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The prefix, the ids (of both texts), and <|endoftext|>."""
        return [*self.prefix_tokens, *token_ids_0, *(token_ids_1 or []), self.eos_token_id]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for special tokens, 0 for text, of what `build_inputs_with_special_tokens` makes."""
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(token in special) for token in token_ids_0]
        return [1] * len(self.prefix_tokens) + [0] * (len(token_ids_0) + len(token_ids_1 or [])) + [1]

    def get_decoder_prompt_ids(
        self, task: str | None = None, language: str | None = None, no_timestamps: bool = True
    ) -> list[tuple[int, int]]:
        """`forced_decoder_ids` of generate: (position, id) of the prefix after its first token. Changes nothing."""
        prefix = self._prefix(
            self.language if language is None else language, self.task if task is None else task, not no_timestamps
        )
        return list(enumerate(prefix[1:], start=1))

    def get_prompt_ids(self, text: str, return_tensors: str | None = "np") -> Any:
        """Ids of a prompt for generate: <|startofprev|> and the text.

        Raises:
            ValueError: the text spells a special token.
        """
        ids = self("<|startofprev|>", " " + text.strip(), add_special_tokens=False)["input_ids"]
        special = next((token for token in ids[1:] if token >= self.all_special_ids[0]), None)
        if special is not None:
            token = self.convert_ids_to_tokens(special)
            raise ValueError(f"Encountered text in the prompt corresponding to disallowed special token: {token}.")
        if return_tensors == "np":
            return np.asarray(ids)
        if return_tensors == "pt":
            import torch

            return torch.tensor(ids)
        return ids

    # ------------------------------------------------------------------------------------------------------ decoding

    @property
    def first_timestamp_id(self) -> int:
        """Id of <|0.00|>: it follows <|notimestamps|>, the last special token."""
        found: int | None = self._tokenizer.token_to_id("<|notimestamps|>")
        return (max(self.all_special_ids) if found is None else found) + 1

    def timestamp_ids(self, time_precision: float = TIME_PRECISION) -> list[int]:
        """Ids of the timestamps of a window of 30 s, one for each `time_precision` seconds."""
        names = [f"<|{step * time_precision:.2f}|>" for step in range(SEGMENT_STEPS + 1)]
        ids: list[int] = self.convert_tokens_to_ids(names)
        return ids

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        output_offsets: bool = False,
        time_precision: float = TIME_PRECISION,
        decode_with_timestamps: bool = False,
        normalize: bool = False,
        basic_normalize: bool = False,
        remove_diacritics: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The text of ids, without timestamps.

        Args:
            token_ids: ids (tokens,), a list, array or tensor.
            skip_special_tokens: leave out special tokens, and a prompt before <|startoftranscript|>.
            clean_up_tokenization_spaces: remove spaces before punctuation; None is the tokenizer's setting.
            output_offsets: give {"text", "offsets"}, the offsets a list of {"text", "timestamp": (start, end)} in s.
            time_precision: seconds to a timestamp.
            decode_with_timestamps: write timestamps as <|1.08|>; times of later windows of 30 s count on.
            normalize, basic_normalize: standardize as English text, or as text of any language.
            remove_diacritics: with `basic_normalize`, drop accents.
        """
        ids = to_py_obj(token_ids)
        ids = [ids] if isinstance(ids, int) else list(ids)
        if output_offsets and ids and isinstance(ids[0], (list, tuple)):
            if len(ids) > 1:
                raise ValueError("decode(output_offsets=True) takes one sequence: use batch_decode for several.")
            ids = list(ids[0])
        kept = self.strip_prompt(ids) if skip_special_tokens else ids
        if decode_with_timestamps:
            text = self._text_with_timestamps(kept, skip_special_tokens, time_precision)
        else:
            options = {"normalize": normalize, "basic_normalize": basic_normalize}
            text = self._decode(
                kept,
                skip_special_tokens=skip_special_tokens,
                clean_up_tokenization_spaces=clean_up_tokenization_spaces,
                remove_diacritics=remove_diacritics,
                **options,
                **kwargs,
            )
            text = _TIMESTAMP_TEXT.sub("", text)
        if not output_offsets:
            return text
        return {"text": text, "offsets": self._offsets(ids, time_precision)}

    def _decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        normalize: bool = False,
        basic_normalize: bool = False,
        remove_diacritics: bool = False,
        **kwargs: Any,
    ) -> str:
        text = super()._decode(token_ids, skip_special_tokens, clean_up_tokenization_spaces, **kwargs)
        if normalize:
            return self.normalize(text)
        return self.basic_normalize(text, remove_diacritics) if basic_normalize else text

    def _text_with_timestamps(self, ids: list[int], skip_special_tokens: bool, precision: float) -> str:
        first = self.first_timestamp_id
        clock = WindowClock(ids, first)
        parts: list[str] = []
        begin = 0
        for index, token in enumerate([*ids, first]):
            if token < first:
                continue
            parts.append(self.decode(ids[begin:index], skip_special_tokens=skip_special_tokens))
            begin = index + 1
            if index < len(ids):
                time = clock.read(index, precision)
                if clock.last_is_void:
                    del parts[-2:]
                parts.append(f"<|{time:.2f}|>")
        return "".join(parts)

    def _offsets(self, ids: list[int], precision: float) -> list[dict[str, Any]]:
        return [
            {"text": _TIMESTAMP_TEXT.sub("", self._decode(piece)), "timestamp": (start, end)}
            for piece, start, end in split_at_timestamps(ids, self.first_timestamp_id, precision)
        ]

    def strip_prompt(self, ids: Sequence[int]) -> list[int]:
        """`ids` without a prompt (from <|startofprev|> to before <|startoftranscript|>)."""
        prompt, start = map(self._tokenizer.token_to_id, ("<|startofprev|>", "<|startoftranscript|>"))
        if not ids or ids[0] != prompt:
            return list(ids)
        return list(ids[ids.index(start) :]) if start in ids else []

    def normalize(self, text: str) -> str:
        """Standardized English text, for the word error rate (arXiv:2212.04356, appendix C)."""
        return EnglishTextNormalizer(self.english_spelling_normalizer or {})(text)

    @staticmethod
    def basic_normalize(text: str, remove_diacritics: bool = False) -> str:
        """Standardized text of any language."""
        return BasicTextNormalizer(remove_diacritics=remove_diacritics)(text)

    def _decode_asr(
        self,
        model_outputs: Iterable[Mapping[str, Any]],
        *,
        return_timestamps: bool | str | None,
        return_language: bool | None,
        time_precision: float,
    ) -> tuple[str, dict[str, Any]]:
        """The transcript of a recording from the outputs for its chunks; see `transcript.decode_asr`."""
        return decode_asr(
            self,
            model_outputs,
            return_timestamps=return_timestamps,
            return_language=return_language,
            time_precision=time_precision,
        )

    # -------------------------------------------------------------------------------------------------------- saving

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json, merges.txt and, where there is one, normalizer.json; returns the paths.

        Raises:
            ValueError: the folder does not exist.
        """
        folder = Path(save_directory)
        if not folder.is_dir():
            raise ValueError(f"Vocabulary path ({save_directory}) should be a directory")
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        model = json.loads(self._tokenizer.to_str())["model"]
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        files = {
            "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
            "merges.txt": "#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges),
        }
        if self.english_spelling_normalizer is not None:
            spelling = dict(sorted(self.english_spelling_normalizer.items()))
            files["normalizer.json"] = json.dumps(spelling, indent=2, ensure_ascii=False) + "\n"
        for name, content in files.items():
            write_atomic(folder / (prefix + name), content)
        return tuple(str(folder / (prefix + name)) for name in files)


class WhisperTokenizer(WhisperTokenizerFast):
    """The same tokenizer under the name that checkpoints and recipes use."""


def _special(token: str | AddedToken) -> AddedToken:
    if isinstance(token, AddedToken):
        return token
    return AddedToken(token, lstrip=False, rstrip=False, normalized=False, special=True)


def _read_spelling(path: str | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        mapping = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): download the checkpoint again.") from error
    if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
        raise ValueError(f"{path} must map words to their spelling.")
    return mapping
