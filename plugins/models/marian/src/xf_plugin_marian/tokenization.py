"""Marian's tokenizer (arXiv:1804.00344): SentencePiece for each of two languages, one vocabulary of pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xf.checkpoint.atomic import write_atomic
from xf_tokenizers.bpe import read_vocab_json
from xf_tokenizers.family import file_name
from xf_tokenizers.sentencepiece_slow import Pieces
from xf_tokenizers.slow import PreTrainedTokenizer


class MarianTokenizer(PreTrainedTokenizer):
    """Pieces with text </s>, also for two texts. A text may begin with the language to translate to, as in >>fra<<.

    source_spm, target_spm: SentencePiece files of the two languages. vocab: vocab.json, pieces of both to ids.
    target_vocab_file: that of the target where `separate_vocabs`. `text_target=` is split as the target's language.
    """

    vocab_files_names = {
        "source_spm": "source.spm", "target_spm": "target.spm", "vocab": "vocab.json",
        "target_vocab_file": "target_vocab.json", "tokenizer_config_file": "tokenizer_config.json",
    }  # fmt: skip
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        source_spm: str,
        target_spm: str,
        vocab: str,
        target_vocab_file: str | None = None,
        source_lang: str | None = None,
        target_lang: str | None = None,
        unk_token: str = "<unk>",
        eos_token: str = "</s>",
        pad_token: str = "<pad>",
        model_max_length: int = 512,
        sp_model_kwargs: dict[str, Any] | None = None,
        separate_vocabs: bool = False,
        **kwargs: Any,
    ) -> None:
        self.spm_source, self.spm_target = Pieces(source_spm), Pieces(target_spm)
        self.source_lang, self.target_lang, self.separate_vocabs = source_lang, target_lang, separate_vocabs
        self._source_ids = read_vocab_json(vocab)
        if separate_vocabs and target_vocab_file is None:
            raise ValueError("separate_vocabs=True needs the target's vocabulary: target_vocab.json is missing.")
        self._target_ids = read_vocab_json(str(target_vocab_file)) if separate_vocabs else self._source_ids
        self.supported_language_codes = [token for token in self._source_ids if _language(token) == token]
        self._use(target=False)
        kwargs.pop("tokenizer_config_file", None)
        super().__init__(
            source_lang=source_lang,
            target_lang=target_lang,
            unk_token=unk_token,
            eos_token=eos_token,
            pad_token=pad_token,
            model_max_length=model_max_length,
            sp_model_kwargs=sp_model_kwargs or {},
            target_vocab_file=target_vocab_file,
            separate_vocabs=separate_vocabs,
            **kwargs,
        )

    def _use(self, target: bool) -> None:
        """Split and number texts as those of one of the two languages."""
        self.current_spm = self.spm_target if target else self.spm_source
        self.encoder = self._target_ids if target else self._source_ids
        self._ids_to_tokens = {index: token for token, index in self._target_ids.items()}

    def _switch_to_input_mode(self) -> None:
        self._use(target=False)

    def _switch_to_target_mode(self) -> None:
        self._use(target=True)

    @property
    def vocab_size(self) -> int:
        return len(self.encoder)

    def get_vocab(self) -> dict[str, int]:
        return {**self._source_ids, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        code = _language(text)
        return ([code] if code else []) + self.current_spm.encode(text[len(code) :])

    def _convert_token_to_id(self, token: str) -> int | None:
        return self.encoder.get(token, self.encoder.get(str(self.unk_token)))

    def _convert_id_to_token(self, index: int) -> str:
        return self._ids_to_tokens.get(index, str(self.unk_token))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of pieces, as of the target's language."""
        return _joined(self.spm_target, tokens, set(self.all_special_tokens))

    def _decode(self, token_ids: Any, *args: Any, use_source_tokenizer: bool = False, **kwargs: Any) -> str:
        return super()._decode(token_ids, *args, **kwargs)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A </s>, or A B </s>."""
        return [*token_ids_0, *(token_ids_1 or []), self.eos_token_id]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens (but the unknown one), also those that the texts spell; 0 at others."""
        special = set(self.all_special_ids) - {self.unk_token_id}
        mask = [int(index in special) for index in (*token_ids_0, *(token_ids_1 or []))]
        return mask if already_has_special_tokens else [*mask, 1]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the vocabularies and copy the SentencePiece files; returns their paths."""
        contents: dict[str, bytes] = {"vocab.json": _json(self._source_ids)}
        if self.separate_vocabs:
            contents["target_vocab.json"] = _json(self._target_ids)
        contents["source.spm"] = Path(self.spm_source.path).read_bytes()
        contents["target.spm"] = Path(self.spm_target.path).read_bytes()
        paths = [file_name(save_directory, filename_prefix, name) for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            write_atomic(path, content)
        return tuple(map(str, paths))


def _language(text: str) -> str:
    """The language code that a text begins with, such as >>fra<<; empty where there is none."""
    end = text.rfind("<<") if text.startswith(">>") else -1
    return text[: end + 2] if end > 2 else ""


def _joined(pieces: Pieces, tokens: list[str], special: set[str]) -> str:
    """The text of tokens: special ones whole, what is between them from its pieces."""
    text, run = "", []
    for token in tokens:
        if token in special:
            text += pieces.decode(run) + token + " "
            run = []
        else:
            run.append(token)
    return (text + pieces.decode(run)).strip()


def _json(vocab: dict[str, int]) -> bytes:
    return json.dumps(vocab, indent=2).encode()
