"""The task question-answering: the part of a text that answers a question.

Source: spec main_classes/pipelines.md and tasks/question_answering.md; the model and its windows are those of BERT for
SQuAD (arXiv:1810.04805, section 4.2). Shapes: T tokens of one window.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch

from xf import logging
from xf_pipelines.pipeline import ChunkPipeline

from .arguments import QuestionAnsweringArgumentHandler, example
from .spans import EXTRA, Span, best_spans, scores_of

logger = logging.get_logger(__name__)

MAX_SEQ_LEN, DOC_STRIDE = 384, 128  # the settings of the SQuAD runs of BERT
_META = ("p_mask", "encoding", "example", "is_last")


class QuestionAnsweringPipeline(ChunkPipeline):
    """Answer questions from contexts with an extractive question answering model.

    Inputs: question= and context= (texts, or lists of them), or {"question": ..., "context": ...}. A result is
    {"score": float, "start": int, "end": int, "answer": str}; with top_k a list. start and end count characters.
    """

    task = "question-answering"
    auto_model_heads = ("question_answering",)
    loads = ("tokenizer",)
    default_model: ClassVar[str] = "distilbert/distilbert-base-cased-distilled-squad@564e9b5"
    default_family = "distilbert"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._args_parser = QuestionAnsweringArgumentHandler()
        super().__init__(*args, **kwargs)
        if not self.tokenizer.is_fast:
            raise ValueError("question-answering needs a fast tokenizer, which knows where its tokens lie in the text.")

    @staticmethod
    def create_sample(question: str | list[str], context: str | list[str]) -> Any:
        """{"question", "context"}, or a list of them from two lists of one length."""
        if isinstance(question, list):
            return [{"question": q, "context": c} for q, c in zip(question, context, strict=True)]
        return {"question": question, "context": context}

    def _sanitize_parameters(
        self,
        padding: str | bool | None = None,
        topk: int | None = None,
        top_k: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        max_question_len: int | None = None,
        handle_impossible_answer: bool | None = None,
        align_to_words: bool | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """top_k answers; windows of max_seq_len tokens that overlap by doc_stride; answers of at most max_answer_len
        tokens; handle_impossible_answer: "" may be an answer; align_to_words: answers begin and end with words."""
        if topk is not None and top_k is None:
            logger.warning_once("topk is deprecated: use top_k.")
            top_k = topk
        for name, value in (("top_k", top_k), ("max_answer_len", max_answer_len)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")
        before = {
            "padding": padding,
            "doc_stride": doc_stride,
            "max_question_len": max_question_len,
            "max_seq_len": max_seq_len,
        }
        after = {
            "top_k": top_k,
            "max_answer_len": max_answer_len,
            "handle_impossible_answer": handle_impossible_answer,
            "align_to_words": align_to_words,
        }
        given = [{name: value for name, value in part.items() if value is not None} for part in (before, after)]
        return given[0], {}, given[1]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer; see the class.

        Raises: ValueError for arguments that make no questions, and for an empty question or context.
        """
        examples = self._args_parser(*args, **kwargs)
        options = {k: v for k, v in kwargs.items() if k not in ("question", "context", "X", "data")}
        if isinstance(examples, list) and len(examples) == 1:
            return super().__call__(examples[0], **options)
        return super().__call__(examples, **options)

    def preprocess(  # type: ignore[override]
        self,
        input_: Any,
        padding: str | bool = "do_not_pad",
        doc_stride: int | None = None,
        max_question_len: int = 64,
        max_seq_len: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        item = example(input_)
        if max_seq_len is None:
            max_seq_len = min(self.tokenizer.model_max_length, MAX_SEQ_LEN)
        if doc_stride is None:
            doc_stride = min(max_seq_len // 2, DOC_STRIDE)
        if doc_stride > max_seq_len:
            raise ValueError(f"doc_stride ({doc_stride}) is larger than max_seq_len ({max_seq_len}).")
        question_first = self.tokenizer.padding_side == "right"
        texts = (item["question"], item["context"]) if question_first else (item["context"], item["question"])
        windows = self.tokenizer(
            *texts,
            padding=padding,
            truncation="only_second" if question_first else "only_first",
            max_length=max_seq_len,
            stride=doc_stride,
            return_token_type_ids=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        context = 1 if question_first else 0
        count = len(windows["input_ids"])
        for i in range(count):
            ids = windows["input_ids"][i]
            p_mask = np.array([sequence != context for sequence in windows.sequence_ids(i)])
            if self.tokenizer.cls_token_id is not None:  # the score of "no answer" stands there
                p_mask[np.array(ids) == self.tokenizer.cls_token_id] = False
            names = [n for n in self.tokenizer.model_input_names + ["token_type_ids"] if n in windows]
            tensors = {name: torch.tensor([windows[name][i]]) for name in dict.fromkeys(names)}
            meta = {"p_mask": p_mask, "encoding": windows.encodings[i], "example": item, "is_last": i == count - 1}
            yield {**tensors, **meta}

    def _forward(self, input_tensors: dict[str, Any]) -> dict[str, Any]:
        known = inspect.signature(self.model.forward).parameters
        inputs = {n: v for n, v in input_tensors.items() if n not in _META and n in known}
        if "token_type_ids" in inputs and "token_type_ids" not in self.tokenizer.model_input_names:
            del inputs["token_type_ids"]
        output = self.model(**inputs)
        kept = {name: input_tensors[name] for name in (*_META, "attention_mask") if name in input_tensors}
        return {"start": output["start_logits"], "end": output["end_logits"], **kept}

    def postprocess(
        self,
        model_outputs: list[dict[str, Any]],
        top_k: int = 1,
        handle_impossible_answer: bool = False,
        max_answer_len: int = 15,
        align_to_words: bool = True,
    ) -> Any:
        answers: list[dict[str, Any]] = []
        null_score = 1_000_000.0  # greater than any product of probabilities
        for window in model_outputs:
            start_T, end_T = self._scores(window)
            if handle_impossible_answer:
                null_score = min(null_score, float(start_T[0] * end_T[0]))
            start_T[0] = end_T[0] = 0.0
            # spans that end up on the same words are one answer, so more of them are looked at
            count = top_k * 2 + EXTRA if align_to_words else top_k
            for span in best_spans(start_T, end_T, window["p_mask"], count, max_answer_len):
                answers.append(self._answer(span, window, align_to_words))
        answers = _merged(answers)
        if handle_impossible_answer:
            answers.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
        answers = sorted(answers, key=lambda answer: answer["score"], reverse=True)[:top_k]
        return answers[0] if len(answers) == 1 else answers

    def _scores(self, window: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the tokens of a window, without what a batch added to it."""
        count = len(window["p_mask"])
        side = self.padding_side or self.tokenizer.padding_side
        own = slice(count) if side == "right" else slice(-count, None)
        mask = window.get("attention_mask")
        return scores_of(
            window["start"][0].float().numpy()[own],
            window["end"][0].float().numpy()[own],
            window["p_mask"],
            None if mask is None else mask[0].numpy()[own],
        )

    def _answer(self, span: Span, window: dict[str, Any], align_to_words: bool) -> dict[str, Any]:
        encoding, context = window["encoding"], window["example"]["context"]
        begin, end = encoding.offsets[span.start][0], encoding.offsets[span.end][1]
        if align_to_words:
            sequence = 1 if self.tokenizer.padding_side == "right" else 0
            words = encoding.token_to_word(span.start), encoding.token_to_word(span.end)
            if None not in words:
                begin = encoding.word_to_chars(words[0], sequence)[0]
                end = encoding.word_to_chars(words[1], sequence)[1]
        return {"score": span.score, "start": begin, "end": end, "answer": context[begin:end]}


def _merged(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers of one text are one: their scores add up."""
    by_text: dict[str, dict[str, Any]] = {}
    for answer in answers:
        known = by_text.get(answer["answer"].lower())
        if known is None:
            by_text[answer["answer"].lower()] = answer
        else:
            known["score"] += answer["score"]
    return list(by_text.values())
