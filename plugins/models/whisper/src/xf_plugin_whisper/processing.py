"""The processor of Whisper: its feature extractor and its tokenizer as one object."""

from __future__ import annotations

from typing import Any

from xf_processing import BatchFeature, ProcessorMixin


class WhisperProcessor(ProcessorMixin):
    """Prepares speech for the encoder and text for the decoder.

    Args:
        feature_extractor: a [`WhisperFeatureExtractor`].
        tokenizer: a [`WhisperTokenizerFast`].
    """

    attributes = ["feature_extractor", "tokenizer"]
    feature_extractor_class = "WhisperFeatureExtractor"
    tokenizer_class = ("WhisperTokenizer", "WhisperTokenizerFast")

    def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
        super().__init__(feature_extractor, tokenizer)

    def get_decoder_prompt_ids(
        self, task: str | None = None, language: str | None = None, no_timestamps: bool = True
    ) -> list[tuple[int, int]]:
        """The tokenizer's `get_decoder_prompt_ids`."""
        ids: list[tuple[int, int]] = self.tokenizer.get_decoder_prompt_ids(task, language, no_timestamps)  # type: ignore[attr-defined]
        return ids

    def get_prompt_ids(self, text: str, return_tensors: str | None = "np") -> Any:
        """The tokenizer's `get_prompt_ids`."""
        return self.tokenizer.get_prompt_ids(text, return_tensors)  # type: ignore[attr-defined]

    def __call__(  # type: ignore[override]
        self,
        audio: Any = None,
        *args: Any,
        sampling_rate: int | None = None,
        text: str | list[str] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Features of waveforms, ids of texts, or both: then the ids are `labels`.

        Args:
            audio: what the feature extractor takes, with its further arguments.
            sampling_rate: of the audio, in Hz.
            text: what the tokenizer takes.
            kwargs: for both.

        Raises:
            ValueError: neither audio nor text.
        """
        if audio is None and text is None:
            raise ValueError("You need to specify either an `audio` or `text` input to process.")
        texts = None if text is None else self.tokenizer(text, **kwargs)
        if audio is None:
            assert texts is not None
            return BatchFeature(texts)
        inputs: BatchFeature = self.feature_extractor(audio, *args, sampling_rate=sampling_rate, **kwargs)  # type: ignore[attr-defined]
        if texts is not None:
            inputs["labels"] = texts["input_ids"]
        return inputs
