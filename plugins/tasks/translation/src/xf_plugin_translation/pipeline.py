"""The task translation (translation_xx_to_yy names the languages): a text in another language.

Source: spec main_classes/pipelines.md and tasks/translation.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from xf import logging
from xf_pipelines.text_to_text import TextToTextPipeline

logger = logging.get_logger(__name__)

T5_BASE = "google-t5/t5-base@a9723ea"
LANGUAGES = ("src_lang", "tgt_lang")


class TranslationPipeline(TextToTextPipeline):
    """Translate texts with an encoder-decoder model.

    A result is {"translation_text": str}, or with return_tensors=True {"translation_token_ids": tensor}. Parameters
    are those of text2text-generation, and src_lang and tgt_lang for models that know many languages.
    """

    task = "translation"
    default_model: ClassVar[Mapping[Any, str]] = {("en", other): T5_BASE for other in ("fr", "de", "ro")}
    default_family = "t5"
    return_name = "translation"

    def __init__(self, model: Any, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("task") in (None, "", "translation"):
            # a model with settings for some directions takes the first of them
            known = getattr(model.config, "task_specific_params", None) or {}
            task = next((name for name in known if name.startswith("translation")), "translation")
            if task != "translation":
                logger.warning(f"The task 'translation' names no languages; the settings of {task!r} are used.")
            kwargs["task"] = task
        super().__init__(model, *args, **kwargs)

    def _sanitize_parameters(  # type: ignore[override]
        self, src_lang: str | None = None, tgt_lang: str | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """src_lang, tgt_lang: languages by the tokenizer's own names (en_XX, fra_Latn, ...); others as for
        text2text-generation."""
        before, forward, after = super()._sanitize_parameters(**kwargs)
        given = {"src_lang": src_lang, "tgt_lang": tgt_lang}
        given = {name: language for name, language in given.items() if language is not None}
        if given and not self._names_languages:
            logger.warning(
                f"{', '.join(given)} has no effect: {type(self.tokenizer).__name__} does not name languages in its "
                "inputs. Models such as T5 read them in the text; the task translation_XX_to_YY puts them there."
            )
        parts = self.task.split("_")  # translation_XX_to_YY
        if not given and len(parts) == 4:
            given = {"src_lang": parts[1], "tgt_lang": parts[3]}
        return {**before, **given}, forward, after

    @property
    def _names_languages(self) -> bool:
        """Whether the tokenizer marks its inputs with languages."""
        return getattr(self.tokenizer, "_build_translation_inputs", None) is not None

    def check_inputs(self, input_length: int, min_length: int, max_length: int) -> bool:
        if input_length > 0.9 * max_length:  # a translation is about as long as its text
            logger.warning(
                f"The text has {input_length} tokens, its translation may have {max_length}: it may be cut off. "
                "Raise max_length."
            )
        return True

    def preprocess(  # type: ignore[override]
        self, input_: Any, truncation: bool | str = False, src_lang: str | None = None, tgt_lang: str | None = None
    ) -> Any:
        """Raises ValueError where the tokenizer needs languages and they are not known."""
        if not self._names_languages:
            return self._tokenize(input_, truncation=truncation)
        self._check_text(input_)
        if src_lang is None or tgt_lang is None:
            raise ValueError(
                f"{type(self.tokenizer).__name__} needs src_lang and tgt_lang; these were given: {src_lang!r}, "
                f"{tgt_lang!r}. Pass both, or name the task translation_XX_to_YY."
            )
        return dict(
            self.tokenizer._build_translation_inputs(
                input_, return_tensors="pt", truncation=truncation, src_lang=src_lang, tgt_lang=tgt_lang
            )
        )
