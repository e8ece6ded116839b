"""Reading a pipeline's inputs from files and writing its results (spec: internal/pipelines_utils.md)."""

from __future__ import annotations

import csv
import json
import os
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any


class PipelineException(Exception):
    """What a pipeline raises when it cannot handle a result.

    Args:
        task: name of the task.
        model: name of the model.
        reason: what went wrong.
    """

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task, self.model = task, model


class ArgumentHandler(ABC):
    """Turns the arguments of a pipeline's call into the inputs it processes one by one."""

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The inputs."""


class PipelineDataFormat:
    """Base of the formats: iterate over it for inputs, `save` results.

    Args:
        output_path, input_path: files; either may be None where the format needs none.
        column: column to read; several as "question,context"; renamed as "argument=column".
        overwrite: whether an existing output file may be replaced.

    Raises: OSError when the input does not exist, or the output does and `overwrite` is false.
    """

    SUPPORTED_FORMATS = ("json", "csv", "pipe")

    def __init__(
        self, output_path: str | None, input_path: str | None, column: str | None, overwrite: bool = False
    ) -> None:
        self.output_path, self.input_path = output_path, input_path
        self.column: list[Any] = column.split(",") if column is not None else [""]
        self.is_multi_columns = len(self.column) > 1
        if self.is_multi_columns:
            self.column = [tuple(name.split("=", 1)) if "=" in name else (name, name) for name in self.column]
        if output_path is not None and not overwrite and os.path.exists(os.path.abspath(output_path)):
            raise OSError(f"{output_path} already exists; pass overwrite=True to replace it.")
        if input_path is not None and not os.path.exists(os.path.abspath(input_path)):
            raise OSError(f"{input_path} does not exist.")

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def save(self, data: Any) -> None:
        """Write the results."""
        raise NotImplementedError

    def save_binary(self, data: Any) -> str:
        """Write the results as a pickle beside the output path; returns where."""
        path = os.path.splitext(str(self.output_path))[0] + ".pickle"
        with open(path, "wb") as file:
            pickle.dump(data, file)
        return path

    def _pick(self, row: dict[str, Any]) -> Any:
        if self.is_multi_columns:
            return {argument: row[column] for argument, column in self.column}
        return row[self.column[0]]

    @staticmethod
    def from_str(
        format: str, output_path: str | None, input_path: str | None, column: str | None, overwrite: bool = False
    ) -> PipelineDataFormat:
        """The format called "json", "csv" or "pipe". Raises KeyError for another name."""
        if format not in _FORMATS:
            raise KeyError(f"Unknown format {format!r}; formats: {', '.join(_FORMATS)}.")
        return _FORMATS[format](output_path, input_path, column, overwrite=overwrite)


class CsvPipelineDataFormat(PipelineDataFormat):
    """A table with a header line."""

    def __iter__(self) -> Iterator[Any]:
        with open(str(self.input_path), newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield self._pick(row)

    def save(self, data: list[dict[str, Any]]) -> None:
        with open(str(self.output_path), "w", newline="", encoding="utf-8") as file:
            if data:
                writer = csv.DictWriter(file, list(data[0]))
                writer.writeheader()
                writer.writerows(data)


class JsonPipelineDataFormat(PipelineDataFormat):
    """A list of objects."""

    def __init__(
        self, output_path: str | None, input_path: str | None, column: str | None, overwrite: bool = False
    ) -> None:
        super().__init__(output_path, input_path, column, overwrite=overwrite)
        with open(str(input_path), encoding="utf-8") as file:
            self._entries: list[dict[str, Any]] = json.load(file)

    def __iter__(self) -> Iterator[Any]:
        return map(self._pick, self._entries)

    def save(self, data: Any) -> None:
        with open(str(self.output_path), "w", encoding="utf-8") as file:
            json.dump(data, file)


class PipedPipelineDataFormat(PipelineDataFormat):
    """Lines of standard input; tabs separate columns."""

    def __iter__(self) -> Iterator[Any]:
        for line in sys.stdin:
            line = line.rstrip("\n")
            if "\t" not in line:
                yield line
            elif self.is_multi_columns:
                yield {argument: part for (argument, _), part in zip(self.column, line.split("\t"), strict=False)}
            else:
                yield tuple(line.split("\t"))

    def save(self, data: Any) -> None:
        sys.stdout.write(f"{data}\n")

    def save_binary(self, data: Any) -> str:
        if self.output_path is None:
            raise KeyError("Results that are not text need an output file: pass output_path.")
        return super().save_binary(data)


_FORMATS: dict[str, type[PipelineDataFormat]] = {
    "json": JsonPipelineDataFormat,
    "csv": CsvPipelineDataFormat,
    "pipe": PipedPipelineDataFormat,
}
