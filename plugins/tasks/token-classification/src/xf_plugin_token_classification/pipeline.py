"""The task token-classification (alias ner): a label for every token, or for every entity.

Source: spec main_classes/pipelines.md and tasks/token_classification.md. Shapes: T tokens, L labels. How tokens become
words and words become entities is in `aggregation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from xf import logging
from xf_pipelines.pipeline import ChunkPipeline

from .aggregation import AggregationStrategy, Token, aggregate, longest_of_overlapping

logger = logging.get_logger(__name__)


class TokenClassificationPipeline(ChunkPipeline):
    """Find entities with a token classification model.

    An input is a text, or with is_split_into_words=True a list of words. Its result is a list of dictionaries: entity,
    score, index, word, start, end for each token, or entity_group, score, word, start, end for each entity.
    """

    task = "token-classification"
    auto_model_heads = ("token_classification",)
    loads = ("tokenizer",)
    default_model: ClassVar[str] = "dbmdz/bert-large-cased-finetuned-conll03-english@4c53496"
    default_family = "bert"

    def _sanitize_parameters(
        self,
        ignore_labels: list[str] | None = None,
        grouped_entities: bool | None = None,
        ignore_subwords: bool | None = None,
        aggregation_strategy: AggregationStrategy | str | None = None,
        offset_mapping: list[tuple[int, int]] | None = None,
        is_split_into_words: bool | None = None,
        stride: int | None = None,
        delimiter: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """aggregation_strategy: "none", "simple", "first", "average" or "max". ignore_labels: left out of the result
        (default ["O"]). stride: split long texts into overlapping windows that share so many tokens.
        is_split_into_words, delimiter: inputs are lists of words, joined by delimiter (default a space)."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if is_split_into_words is not None:
            before["is_split_into_words"] = is_split_into_words
        if delimiter is not None:
            before["delimiter"] = delimiter
        if offset_mapping is not None:
            before["offset_mapping"] = offset_mapping
        if grouped_entities is not None or ignore_subwords is not None:
            aggregation_strategy = self._older_spelling(grouped_entities, ignore_subwords)
        if aggregation_strategy is not None:
            if isinstance(aggregation_strategy, str):
                aggregation_strategy = AggregationStrategy(aggregation_strategy.lower())
            if aggregation_strategy.needs_words and not self.tokenizer.is_fast:
                raise ValueError(
                    f"aggregation_strategy={aggregation_strategy.value!r} needs to know which tokens make a word, "
                    'which slow tokenizers cannot say: use "simple", or a fast tokenizer.'
                )
            after["aggregation_strategy"] = aggregation_strategy
        if ignore_labels is not None:
            after["ignore_labels"] = ignore_labels
        if stride is not None:
            before["tokenizer_params"] = self._windows(stride, aggregation_strategy)
        return before, {}, after

    @staticmethod
    def _older_spelling(grouped: bool | None, ignore_subwords: bool | None) -> AggregationStrategy:
        strategy = AggregationStrategy.NONE
        if grouped:
            strategy = AggregationStrategy.FIRST if ignore_subwords else AggregationStrategy.SIMPLE
        logger.warning_once(
            f"grouped_entities and ignore_subwords are deprecated: use aggregation_strategy={strategy.value!r}."
        )
        return strategy

    def _windows(self, stride: int, strategy: AggregationStrategy | None) -> dict[str, Any]:
        if stride >= self.tokenizer.model_max_length:
            raise ValueError(
                f"stride={stride} must be less than the tokenizer's limit, {self.tokenizer.model_max_length} tokens."
            )
        if strategy == AggregationStrategy.NONE:
            raise ValueError(
                "stride splits a text into overlapping windows, whose entities must be merged: give "
                'aggregation_strategy "simple", "first", "average" or "max" with it.'
            )
        if not self.tokenizer.is_fast:
            raise ValueError("stride needs a fast tokenizer.")
        return {"return_overflowing_tokens": True, "padding": True, "stride": stride}

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Classify the tokens of a text, or of each text of a list.

        Raises: ValueError for an input of another type.
        """
        split = kwargs.get("is_split_into_words", self._preprocess_params.get("is_split_into_words", False))
        if split and isinstance(inputs, (list, tuple)) and all(isinstance(word, str) for word in inputs):
            return super().__call__([list(inputs)], **kwargs)
        if isinstance(inputs, tuple):
            inputs = list(inputs)
        offsets = kwargs.get("offset_mapping")
        if offsets and isinstance(inputs, list) and isinstance(offsets[0], tuple):
            kwargs["offset_mapping"] = offsets[: len(inputs)]
        return super().__call__(inputs, **kwargs)

    def preprocess(  # type: ignore[override]
        self,
        input_: Any,
        offset_mapping: Sequence[tuple[int, int]] | None = None,
        is_split_into_words: bool = False,
        delimiter: str = " ",
        tokenizer_params: dict[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        words: list[tuple[int, int]] | None = None
        text = input_
        if is_split_into_words:
            if not isinstance(input_, list):
                raise ValueError(f"With is_split_into_words=True an input is a list of words, not {input_!r}.")
            text, words = delimiter.join(input_), []
            for word in input_:
                begin = words[-1][1] + len(delimiter) if words else 0
                words.append((begin, begin + len(word)))
        elif not isinstance(input_, str):
            raise ValueError(f"An input is a text, not {type(input_).__name__}.")
        tokens = self.tokenizer(
            input_,
            return_tensors="pt",
            truncation=bool(self.tokenizer.model_max_length and self.tokenizer.model_max_length > 0),
            return_special_tokens_mask=True,
            return_offsets_mapping=self.tokenizer.is_fast,
            is_split_into_words=is_split_into_words,
            **(tokenizer_params or {}),
        )
        tokens.pop("overflow_to_sample_mapping", None)
        count = len(tokens["input_ids"])
        for i in range(count):
            item = {name: values[i : i + 1] for name, values in tokens.items()}
            if offset_mapping is not None:
                item["offset_mapping"] = offset_mapping
            word_ids = tokens.word_ids(i) if words is not None else None
            yield {**item, "sentence": text, "words": words, "word_ids": word_ids, "is_last": i == count - 1}

    def _forward(self, input_tensors: dict[str, Any]) -> dict[str, Any]:
        names = ("special_tokens_mask", "offset_mapping", "sentence", "words", "word_ids", "is_last")
        kept = {name: input_tensors.pop(name, None) for name in names}
        known = inspect.signature(self.model.forward).parameters
        inputs = {name: value for name, value in input_tensors.items() if name in known}
        logits_BTL = self.model(**inputs)["logits"]
        return {"logits": logits_BTL, "input_ids": input_tensors["input_ids"], **kept}

    def postprocess(
        self,
        model_outputs: list[dict[str, Any]],
        aggregation_strategy: AggregationStrategy = AggregationStrategy.NONE,
        ignore_labels: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        ignored = ["O"] if ignore_labels is None else ignore_labels
        entities: list[dict[str, Any]] = []
        for window in model_outputs:
            tokens = self._tokens(window, aggregation_strategy)
            found = aggregate(tokens, aggregation_strategy, self.model.config.id2label, self.tokenizer)
            entities += [e for e in found if e.get("entity") not in ignored and e.get("entity_group") not in ignored]
        return longest_of_overlapping(entities) if len(model_outputs) > 1 else entities

    def _tokens(self, window: dict[str, Any], strategy: AggregationStrategy) -> list[Token]:
        """The tokens of one window that are text, each with its scores and its place in the sentence."""
        scores_TL = window["logits"][0].float().softmax(dim=-1).numpy()
        ids = window["input_ids"][0].tolist()
        special = window["special_tokens_mask"][0].tolist()
        offsets = window["offset_mapping"]
        offsets = offsets[0].tolist() if hasattr(offsets, "tolist") else offsets
        model = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "model", None)
        marked = bool(getattr(model, "continuing_subword_prefix", None))
        tokens = []
        for i, token_id in enumerate(ids):
            if special[i]:
                continue
            word = self.tokenizer.convert_ids_to_tokens(token_id)
            token = Token(word, scores_TL[i], i)
            if offsets is not None:
                token.start, token.end = (int(x) for x in offsets[i])
                if window["words"] is not None:
                    first, _ = window["words"][window["word_ids"][i]]
                    token.start, token.end = token.start + first, token.end + first
                text = window["sentence"][token.start : token.end]
                token.is_subword = (
                    len(word) != len(text) if marked else _continues(window["sentence"], token.start, strategy)
                )
                if token_id == self.tokenizer.unk_token_id:
                    token.word, token.is_subword = text, False
            tokens.append(token)
        return tokens


def _continues(sentence: str, start: int, strategy: AggregationStrategy) -> bool:
    """Whether a token at `start` continues a word, told by spaces alone: for vocabularies that do not mark it."""
    if strategy.needs_words:
        logger.warning_once("This tokenizer does not mark subwords: words are told apart by spaces.")
    return start > 0 and " " not in sentence[start - 1 : start + 1]
