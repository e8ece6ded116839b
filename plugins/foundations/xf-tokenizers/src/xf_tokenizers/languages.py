"""Tokenizers of translation models: a token says which language a text is in."""

from __future__ import annotations

from typing import Any, ClassVar

from .batch_encoding import BatchEncoding
from .family import FamilyTokenizerFast


class LanguagesMixin:
    """`src_lang` and `tgt_lang`: the languages of texts and of `text_target`, and the inputs that they make.

    A class says what a language changes in `_use_language`.
    """

    _src_lang: str | None
    tgt_lang: str | None

    @property
    def src_lang(self) -> str | None:
        """The language of texts."""
        return self._src_lang

    @src_lang.setter
    def src_lang(self, value: str) -> None:
        self._use_language(value)
        self._src_lang = value

    def _use_language(self, language: str | None) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not say what a language changes")

    def set_src_lang_special_tokens(self, src_lang: str) -> None:
        """Encode as texts in this language are."""
        self._use_language(src_lang)

    def set_tgt_lang_special_tokens(self, lang: str) -> None:
        """Encode as targets in this language are."""
        self._use_language(lang)

    def _switch_to_input_mode(self) -> None:
        self._use_language(self._src_lang)

    def _switch_to_target_mode(self) -> None:
        if self.tgt_lang is None:
            raise ValueError(f"text_target needs a language: set tgt_lang of the {type(self).__name__}.")
        self._use_language(self.tgt_lang)

    def language_id(self, language: str) -> int:
        """The id of the token of a language."""
        found: int = self.convert_tokens_to_ids(language)  # type: ignore[attr-defined]
        return found

    def _build_translation_inputs(
        self, raw_inputs: Any, return_tensors: str | None, src_lang: str | None, tgt_lang: str | None, **kwargs: Any
    ) -> BatchEncoding:
        """The inputs of generate for a translation: the texts, and the token that the output begins with."""
        if src_lang is None or tgt_lang is None:
            raise ValueError("Translation requires a `src_lang` and a `tgt_lang` for this model")
        self.src_lang = src_lang
        inputs: BatchEncoding = self(raw_inputs, add_special_tokens=True, return_tensors=return_tensors, **kwargs)  # type: ignore[operator]
        inputs["forced_bos_token_id"] = self.language_id(tgt_lang)
        return inputs

    def prepare_seq2seq_batch(
        self,
        src_texts: list[str],
        src_lang: str | None = None,
        tgt_texts: list[str] | None = None,
        tgt_lang: str | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """The inputs of texts and, as labels, their translations."""
        self.src_lang = src_lang or self.src_lang or ""
        self.tgt_lang = tgt_lang or self.tgt_lang
        encoded: BatchEncoding = self(src_texts, text_target=tgt_texts, **kwargs)  # type: ignore[operator]
        return encoded


class LanguageTokenizerFast(LanguagesMixin, FamilyTokenizerFast):
    """The mixin on the `tokenizers` library. default_language: of texts where src_lang is None."""

    default_language: ClassVar[str] = ""

    def finish(self, made: bool) -> None:
        self._src_lang = self.init_kwargs.get("src_lang") or self.default_language
        self.tgt_lang = self.init_kwargs.get("tgt_lang")
        self._use_language(self._src_lang)

    def language_first(self) -> bool:
        """Whether its token stands before a text, else after </s>."""
        return True

    def _use_language(self, language: str | None) -> None:
        if language is None or self._tokenizer.token_to_id(language) is None:
            raise ValueError(
                f"{language!r} is no language of this {type(self).__name__}; its languages are tokens of the "
                f"vocabulary, such as {self.default_language}."
            )
        first, last = (f"{language}:0 ", "") if self.language_first() else ("", f" {language}:0")
        end = "{eos_token}:0"
        self._tokenizer.post_processor = self.around(
            f"{first}$A:0 {end}{last}", f"{first}$A:0 $B:0 {end}{last}"
        )  # fmt: skip
