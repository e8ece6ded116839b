"""What question answering accepts: a question and its context, in several spellings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import GeneratorType
from typing import Any

from torch.utils.data import Dataset

from xf_pipelines.formats import ArgumentHandler


def example(item: Any) -> dict[str, str]:
    """One {"question", "context"} pair, checked.

    Raises: KeyError if one of the two is missing, ValueError if one is None or empty or the item is something else.
    """
    if not isinstance(item, Mapping):
        raise ValueError(f'An input is a dictionary with "question" and "context", not {type(item).__name__}.')
    for key in ("question", "context"):
        if key not in item:
            raise KeyError(f"The input needs a {key!r}: a dictionary with question and context.")
        if item[key] is None:
            raise ValueError(f"`{key}` cannot be None.")
        if isinstance(item[key], str) and len(item[key]) == 0:
            raise ValueError(f"`{key}` cannot be empty.")
    return {"question": item["question"], "context": item["context"]}


class QuestionAnsweringArgumentHandler(ArgumentHandler):
    """Examples from the arguments of a call; a dataset or a generator is handed on as it is."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A list of examples, a dataset or a generator.

        Raises: ValueError for arguments that make no examples.
        """
        inputs = self._gather(args, dict(kwargs))
        if isinstance(inputs, (Dataset, GeneratorType)) or type(inputs).__module__.startswith("datasets."):
            return inputs
        if isinstance(inputs, Mapping):
            inputs = [inputs]
        elif not isinstance(inputs, Iterable) or isinstance(inputs, str):
            raise ValueError(f"These arguments make no questions: {args}, {kwargs}.")
        return [example(item) for item in inputs]

    @staticmethod
    def _gather(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            if len(args) == 1:
                return args[0]
            if len(args) == 2 and all(isinstance(argument, str) for argument in args):
                return [{"question": args[0], "context": args[1]}]
            return list(args)
        for name in ("X", "data"):
            if name in kwargs:
                return kwargs[name]
        if "question" not in kwargs or "context" not in kwargs:
            raise ValueError(f"Give question= and context=; these were given: {sorted(kwargs)}.")
        questions, contexts = kwargs["question"], kwargs["context"]
        if isinstance(questions, list) and isinstance(contexts, str):
            return [{"question": question, "context": contexts} for question in questions]
        if isinstance(questions, list) and isinstance(contexts, list):
            if len(questions) != len(contexts):
                raise ValueError(f"There are {len(questions)} questions and {len(contexts)} contexts.")
            return [{"question": q, "context": c} for q, c in zip(questions, contexts, strict=True)]
        if isinstance(questions, str) and isinstance(contexts, str):
            return [{"question": questions, "context": contexts}]
        raise ValueError("question and context must be two texts, a list and a text, or two lists of one length.")
