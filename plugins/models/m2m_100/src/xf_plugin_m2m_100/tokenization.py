"""M2M-100's tokenizer (arXiv:2010.11125): SentencePiece, its pieces numbered by vocab.json, languages after them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xf.checkpoint.atomic import write_atomic
from xf_tokenizers.bpe import read_vocab_json
from xf_tokenizers.family import file_name
from xf_tokenizers.languages import LanguagesMixin
from xf_tokenizers.sentencepiece_slow import Pieces
from xf_tokenizers.slow import PreTrainedTokenizer

#: Languages by `language_codes`, in the order of their ids
LANGUAGES = {
    "m2m100": (
        "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi "
        "hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns "
        "oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh "
        "zu"
    ).split(),
    "wmt21": "en ha is ja cs ru zh de".split(),
}


class M2M100Tokenizer(LanguagesMixin, PreTrainedTokenizer):
    """Pieces with language text </s>, also for two texts.

    vocab_file: vocab.json. spm_file: the SentencePiece file. src_lang: the language of texts, such as en (which it is
    if None). tgt_lang: that of `text_target`. language_codes: "m2m100" or "wmt21". num_madeup_words: ids after the
    languages that stand for nothing.
    """

    vocab_files_names = {
        "vocab_file": "vocab.json", "spm_file": "sentencepiece.bpe.model",
        "tokenizer_config_file": "tokenizer_config.json",
    }  # fmt: skip
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str,
        spm_file: str,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        sep_token: str = "</s>",
        pad_token: str = "<pad>",
        unk_token: str = "<unk>",
        language_codes: str = "m2m100",
        sp_model_kwargs: dict[str, Any] | None = None,
        num_madeup_words: int = 8,
        **kwargs: Any,
    ) -> None:
        if language_codes not in LANGUAGES:
            raise ValueError(f"language_codes is {language_codes!r}; it must be one of {sorted(LANGUAGES)}.")
        self.pieces = Pieces(spm_file)
        self.encoder = read_vocab_json(vocab_file)
        self.decoder = {index: token for token, index in self.encoder.items()}
        self.language_codes, self.num_madeup_words = language_codes, num_madeup_words
        self.lang_code_to_token = {code: f"__{code}__" for code in LANGUAGES[language_codes]}
        first = len(self.encoder)
        self.lang_token_to_id = {token: first + i for i, token in enumerate(self.lang_code_to_token.values())}
        self.id_to_lang_token = {index: token for token, index in self.lang_token_to_id.items()}
        self.lang_code_to_id = {code: self.lang_token_to_id[token] for code, token in self.lang_code_to_token.items()}
        self._src_lang, self.tgt_lang = src_lang or "en", tgt_lang
        kwargs.pop("tokenizer_config_file", None)
        kwargs.setdefault("additional_special_tokens", [])
        super().__init__(
            src_lang=src_lang,
            tgt_lang=tgt_lang,
            bos_token=bos_token,
            eos_token=eos_token,
            sep_token=sep_token,
            unk_token=unk_token,
            pad_token=pad_token,
            language_codes=language_codes,
            sp_model_kwargs=sp_model_kwargs or {},
            num_madeup_words=num_madeup_words,
            **kwargs,
        )
        self._use_language(self._src_lang)

    def _use_language(self, language: str | None) -> None:
        self.cur_lang_id = self.get_lang_id(str(language))

    def get_lang_token(self, lang: str) -> str:
        """The token of a language, such as __en__; ValueError for one that the model does not know."""
        if lang not in self.lang_code_to_token:
            raise ValueError(f"{lang!r} is no language of this model. It knows {list(self.lang_code_to_token)}.")
        return self.lang_code_to_token[lang]

    def get_lang_id(self, lang: str) -> int:
        """The id of that token."""
        return self.lang_token_to_id[self.get_lang_token(lang)]

    def language_id(self, language: str) -> int:
        """The id of the token of a language."""
        return self.get_lang_id(language)

    @property
    def vocab_size(self) -> int:
        return len(self.encoder)

    def get_vocab(self) -> dict[str, int]:
        return {**self.encoder, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return self.pieces.encode(text)

    def _convert_token_to_id(self, token: str) -> int | None:
        if token in self.lang_token_to_id:
            return self.lang_token_to_id[token]
        return self.encoder.get(token, self.encoder.get(str(self.unk_token)))

    def _convert_id_to_token(self, index: int) -> str:
        return self.id_to_lang_token.get(index) or self.decoder.get(index, str(self.unk_token))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        special = set(self.all_special_tokens)
        text, run = "", []
        for token in tokens:
            if token in special:
                text += self.pieces.decode(run) + token
                run = []
            else:
                run.append(token)
        return (text + self.pieces.decode(run)).strip()

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """language A </s>, or language A B </s>."""
        return [self.cur_lang_id, *token_ids_0, *(token_ids_1 or []), self.eos_token_id]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens, 0 at others."""
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
        return [1, *[0] * (len(token_ids_0) + len(token_ids_1 or [])), 1]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json and copy the SentencePiece file; returns their paths."""
        contents = {
            "vocab.json": json.dumps(self.encoder, indent=2).encode(),
            "sentencepiece.bpe.model": Path(self.pieces.path).read_bytes(),
        }
        paths = [file_name(save_directory, filename_prefix, name) for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            write_atomic(path, content)
        return tuple(map(str, paths))
