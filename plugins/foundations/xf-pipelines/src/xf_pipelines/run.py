"""One call of a pipeline over many inputs: read, prepare, batch, run, finish, in the order of the inputs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from xf import logging

from .batching import FILL, collate, length, plan, rows, split

if TYPE_CHECKING:
    from .pipeline import Pipeline

logger = logging.get_logger(__name__)

LOOKAHEAD = 32  # batches of items that are read ahead to find items of like length
LOOKAHEAD_BYTES = 64 << 20  # or fewer, where items are large


class KeyDataset(Dataset[Any]):
    """The entry `key` of every row of a dataset."""

    def __init__(self, dataset: Any, key: str) -> None:
        self.dataset, self.key = dataset, key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[i][self.key]


class KeyPairDataset(Dataset[Any]):
    """Two entries of every row of a dataset, as a pair of sentences."""

    def __init__(self, dataset: Any, key1: str, key2: str) -> None:
        self.dataset, self.key1, self.key2 = dataset, key1, key2

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"text": self.dataset[i][self.key1], "text_pair": self.dataset[i][self.key2]}


class PipelineItemError(Exception):
    """What stands in the results for an input that failed, with `on_error="return"`.

    Attributes: `index`, its position among the inputs; `stage`, where it failed; `__cause__`, the original error.
    """

    def __init__(self, index: int, stage: str, cause: BaseException) -> None:
        super().__init__(f"Input {index} failed in {stage}: {type(cause).__name__}: {cause}")
        self.index, self.stage, self.__cause__ = index, stage, cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.index, self.stage, self.__cause__)


@dataclass
class _Pending:
    """An input on its way: its items' results by number, how many there will be, or what went wrong."""

    outputs: dict[int, Any] = field(default_factory=dict)
    expected: int | None = None
    error: PipelineItemError | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or self.expected == len(self.outputs)


class Run:
    """One call over many inputs."""

    def __init__(
        self, pipe: Pipeline, params: tuple[dict[str, Any], ...], batch_size: int, num_workers: int, keep_errors: bool
    ) -> None:
        self.pipe, self.batch_size, self.num_workers, self.keep_errors = pipe, batch_size, num_workers, keep_errors
        self.preprocess_params, self.forward_params, self.postprocess_params = params
        self.chunked = pipe.chunked
        self.pending: dict[int, _Pending] = {}
        if batch_size > 1 and pipe.tokenizer is not None and getattr(pipe.tokenizer, "pad_token_id", None) is None:
            raise ValueError(
                "The tokenizer has no padding token, so there can be no batches: set one, for instance with "
                "pipe.tokenizer.pad_token_id = pipe.model.config.eos_token_id, or use batch_size=1."
            )

    def stream(self, inputs: Any) -> Iterator[Any]:
        """The results in the order of the inputs."""
        # a generator may be waiting for our results before it goes on, so nothing of it is read ahead
        ahead = LOOKAHEAD if self.batch_size > 1 and hasattr(inputs, "__len__") else 1
        window: list[tuple[int, int, Any]] = []
        size = emitted = 0
        for index, number, item in self._items(inputs):
            if item is not None:
                window.append((index, number, item))
                size += _bytes(item)
            full = len(window) >= self.batch_size * ahead
            if full or len(window) >= self.batch_size and size > LOOKAHEAD_BYTES:
                self._forward(window)
                window, size = [], 0
            for result in self._finished(emitted):
                emitted += 1
                yield result
        self._forward(window)
        yield from self._finished(emitted)

    def _finished(self, first: int) -> Iterator[Any]:
        while first in self.pending and self.pending[first].done:
            pending = self.pending.pop(first)
            yield pending.error if pending.error is not None else self._postprocess(first, pending)
            first += 1

    def _items(self, inputs: Any) -> Iterator[tuple[int, int, Any]]:
        """(index of the input, number of the item, item); the item is None where an input gives no more of them."""
        for index, found in enumerate(_prepared(self, inputs)):
            pending = self.pending.setdefault(index, _Pending())
            if isinstance(found, _Failure):
                pending.error = self._failed(index, "preprocess", found.error)
            elif not self.chunked:
                pending.expected = 1
                yield index, 0, found
                continue
            else:
                number = 0
                try:
                    for number, item in enumerate(found, 1):
                        yield index, number - 1, item
                except Exception as error:
                    pending.error = self._failed(index, "preprocess", error)
                pending.expected = number
            yield index, -1, None

    def _forward(self, window: list[tuple[int, int, Any]]) -> None:
        window = [entry for entry in window if self.pending[entry[0]].error is None]
        if not window:
            return
        for positions in plan([item for _, _, item in window], self.batch_size):
            batch = [window[position] for position in positions]
            if len(batch) > 1:
                try:
                    joined = collate([item for _, _, item in batch], self._fill, self._side)
                    outputs = self.pipe.forward(joined, **self.forward_params)
                    parts = split(outputs, [rows(item) for _, _, item in batch])
                except Exception as error:
                    if not self.keep_errors:
                        self._note(error, "forward", *sorted({index for index, _, _ in batch}))
                        raise
                else:
                    for (index, number, _), part in zip(batch, parts, strict=True):
                        self.pending[index].outputs[number] = part
                    continue
            for index, number, item in batch:  # alone; also to find out which of a failed batch is at fault
                pending = self.pending[index]
                try:
                    if pending.error is None:
                        pending.outputs[number] = self.pipe.forward(item, **self.forward_params)
                except Exception as error:
                    pending.error = self._failed(index, "forward", error)

    def _postprocess(self, index: int, pending: _Pending) -> Any:
        outputs = [pending.outputs[number] for number in sorted(pending.outputs)]
        try:
            return self.pipe.postprocess(outputs if self.chunked else outputs[0], **self.postprocess_params)
        except Exception as error:
            return self._failed(index, "postprocess", error)

    def _failed(self, index: int, stage: str, error: BaseException) -> PipelineItemError:
        if self.keep_errors:
            return PipelineItemError(index, stage, error)
        self._note(error, stage, index)
        raise error

    def _note(self, error: BaseException, stage: str, *inputs: int) -> None:
        """Say where an error comes from: in itself where Python has notes (3.11), else in the log."""
        note = f"in {stage} of input {', '.join(map(str, inputs))} of the pipeline {self.pipe.task!r}"
        if hasattr(error, "add_note"):
            error.add_note(note)
        else:
            logger.error(f"{type(error).__name__} {note}: {error}")

    @property
    def _side(self) -> str:
        return self.pipe.padding_side or getattr(self.pipe.tokenizer, "padding_side", None) or "right"

    def _fill(self, key: str) -> float:
        """What pads a key; zero for one that is not known."""
        if key == "input_ids":
            return int(getattr(self.pipe.tokenizer, "pad_token_id", 0) or 0)
        if key == "token_type_ids":
            return int(getattr(self.pipe.tokenizer, "pad_token_type_id", 0) or 0)
        if key in ("input_values", "input_features"):
            return float(getattr(self.pipe.feature_extractor, "padding_value", 0.0) or 0.0)
        return FILL.get(key, 0)


class _Failure:
    """An error of `preprocess`, possibly from another process."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _prepare(run: Run, input_: Any) -> Any:
    try:
        return run.pipe.preprocess(input_, **run.preprocess_params)
    except Exception as error:
        return _Failure(error)


class _Prepared(Dataset[Any]):
    """Inputs after `preprocess`, for worker processes."""

    def __init__(self, run: Run, inputs: Any) -> None:
        self.run, self.inputs = run, inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        return _portable(_prepare(self.run, self.inputs[index]))


class _PreparedStream(IterableDataset[Any]):
    def __init__(self, run: Run, inputs: Any) -> None:
        self.run, self.inputs = run, inputs

    def __iter__(self) -> Iterator[Any]:
        return (_portable(_prepare(self.run, input_)) for input_ in self.inputs)


def _portable(found: Any) -> Any:
    """An error that can travel between processes."""
    if isinstance(found, _Failure):
        try:
            pickle.loads(pickle.dumps(found))
        except Exception:
            return _Failure(RuntimeError(f"{type(found.error).__name__}: {found.error}"))
    return found


def _prepared(run: Run, inputs: Any) -> Iterator[Any]:
    """Every input after `preprocess`, in order; a `_Failure` for one that failed."""
    workers = run.num_workers
    if workers and run.chunked:
        logger.warning_once(
            "num_workers is ignored: this pipeline makes several items of an input, one after the other."
        )
        workers = 0
    if not workers:
        yield from (_prepare(run, input_) for input_ in _iterate(inputs))
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive a fork
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        yield from DataLoader(_Prepared(run, inputs), batch_size=None, num_workers=workers)
    else:
        if workers > 1:
            logger.warning_once("A stream is read by one worker: num_workers=1.")
        yield from DataLoader(_PreparedStream(run, inputs), batch_size=None, num_workers=1)


def _iterate(inputs: Any) -> Iterator[Any]:
    """The entries; a dataset without an iterator of its own ends at its length."""
    if isinstance(inputs, Dataset) and not hasattr(inputs, "__iter__"):
        return (inputs[i] for i in range(len(inputs)))  # type: ignore[arg-type]
    return iter(inputs)


def _bytes(item: Any) -> int:
    return sum(v.nbytes for v in item.values() if isinstance(v, Tensor)) if isinstance(item, Mapping) else length(item)
