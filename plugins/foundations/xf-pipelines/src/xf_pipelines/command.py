"""`xf run TASK`: a pipeline from the command line, with results to read, or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST_TEXT = 10_000_000  # bytes of a text file that is read as one input

DESCRIPTION = """Run a task on texts, files or addresses.

An input is a text, the path or address of an image or a sound, the path of a text file for tasks on text, @FILE for its
text, - for the lines of standard input, or a JSON object for tasks that take several values. Any other --option value
is a parameter of the task:

  xf run fill-mask "Paris is the [MASK] of France." --model google-bert/bert-base-uncased --top_k 3
  xf run question-answering --question "Who?" --context "Ada did it." --model ...
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that are not parameters of the task."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.add_argument("task", help="e.g. fill-mask; `xf plugins` lists what is installed")
    parser.add_argument("inputs", nargs="*", help="texts, files, addresses, JSON objects, @FILE or -")
    parser.add_argument("--model", help="a folder, a name on the hub, or package://distribution")
    parser.add_argument("--tokenizer", help="default: the model's")
    parser.add_argument("--revision", help="of the model")
    parser.add_argument("--device", help="cpu, cuda:0, ...")
    parser.add_argument("--dtype", help="auto (the default), float32, bfloat16, ...")
    parser.add_argument("--model-kwargs", type=json.loads, help="JSON: arguments for loading the model")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--input-file", help="a .csv or .json file of inputs, with --column")
    parser.add_argument("--column", help="column of the file; several as a,b; renamed as argument=column")
    parser.add_argument("--output", help="folder for images and sounds among the results")
    parser.add_argument("--json", action="store_true", help="print JSON")


def separate(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The arguments of this command, and the parameters of the task: what --options it does not know."""
    own_parser = argparse.ArgumentParser(add_help=False)
    add_arguments(own_parser)
    own_options = {option: action for action in own_parser._actions for option in action.option_strings}
    own: list[str] = []
    options: list[str] = []  # after the inputs, because argparse takes all inputs at one place
    parameters: dict[str, Any] = {}
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        name, equals, value = argument.partition("=")
        position += 1
        if argument == "--":
            return own + options + arguments[position - 1 :], parameters
        if not argument.startswith("--"):
            (own if argument != "-h" else options).append(argument)
            continue
        if name in own_options or name == "--help":
            takes_value = name in own_options and own_options[name].nargs != 0 and not equals
            options += [argument, *arguments[position : position + takes_value]]
            position += takes_value
            continue
        if not equals and position < len(arguments) and not arguments[position].startswith("--"):
            value, equals = arguments[position], "="
            position += 1
        parameters[name[2:].replace("-", "_")] = _value(value) if equals else True
    return own + options, parameters


def _value(text: str) -> Any:
    """A parameter as JSON where it is JSON, else as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def run(arguments: argparse.Namespace, parameters: dict[str, Any]) -> int:
    """Build the pipeline, run it, print the results."""
    from .factory import pipeline
    from .formats import PipelineDataFormat

    options = {name: getattr(arguments, name) for name in ("model", "tokenizer", "revision", "device")}
    options |= {"torch_dtype": arguments.dtype, "model_kwargs": arguments.model_kwargs}
    pipe = pipeline(arguments.task, **{name: value for name, value in options.items() if value is not None})
    text_only = pipe.image_processor is None and pipe.feature_extractor is None and pipe.processor is None
    inputs = [item for text in arguments.inputs for item in _inputs(text, text_only)]
    if arguments.input_file:
        kind = Path(arguments.input_file).suffix.lstrip(".")
        inputs += list(PipelineDataFormat.from_str(kind, None, arguments.input_file, arguments.column))
    if not inputs:
        if not parameters:
            raise ValueError(f"xf run {arguments.task}: no input. Give a text, a file, or - for standard input.")
        results = [pipe(**parameters)]
    elif len(inputs) == 1:
        results = [pipe(inputs[0], **parameters)]
    else:
        results = pipe(inputs, batch_size=arguments.batch_size, **parameters)
    folder = Path(arguments.output) if arguments.output else None
    results = [_plain(result, folder, f"{i}") for i, result in enumerate(results)]
    if arguments.json:
        print(json.dumps(results[0] if len(results) == 1 else results, indent=2, ensure_ascii=False))
        return 0
    for input_, result in zip(inputs or [""], results, strict=True):
        if len(results) > 1:
            print(f"# {input_ if isinstance(input_, str) else json.dumps(input_, default=str)}")
        print(readable(result))
    return 0


def _inputs(text: str, text_only: bool) -> list[Any]:
    """What one argument stands for. Raises ValueError for a file that cannot be read as text."""
    if text == "-":
        return [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if text.startswith("@") or text_only and os.path.isfile(text):
        path = text.removeprefix("@")
        if os.path.getsize(path) > LONGEST_TEXT:
            raise ValueError(f"{path} has {os.path.getsize(path)} bytes; a text of at most {LONGEST_TEXT} is read.")
        try:
            return [Path(path).read_text(encoding="utf-8")]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text in UTF-8: {error}.") from error
    if text[:1] in ("{", "["):
        value = _value(text)
        if isinstance(value, dict) or isinstance(value, list) and value and isinstance(value[0], dict):
            return [value]
    return [text]


# --- results


def _plain(value: Any, folder: Path | None, name: str) -> Any:
    """A result as JSON could hold it; images and sounds go into `folder`, or are only described."""
    if isinstance(value, Mapping):
        if {"audio", "sampling_rate"} <= set(value):
            return _sound(value, folder, name)
        return {str(key): _plain(inner, folder, f"{name}-{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, folder, f"{name}-{i}") for i, inner in enumerate(value)]
    if hasattr(value, "save") and hasattr(value, "size") and hasattr(value, "mode"):  # an image of Pillow
        return _kept(folder, f"{name}.png", value.save, f"image {value.size[0]} x {value.size[1]}, {value.mode}")
    if hasattr(value, "tolist"):
        return value.tolist()
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _sound(value: Mapping[str, Any], folder: Path | None, name: str) -> dict[str, Any]:
    """A sound, as a 16-bit WAV file."""
    import wave

    import numpy as np

    samples = np.atleast_2d(np.asarray(value["audio"], dtype=np.float32).squeeze())
    rate = int(value["sampling_rate"])

    def save(path: Path) -> None:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(samples.shape[0])
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((samples.clip(-1, 1).T * 32767).astype("<i2").tobytes())

    text = f"sound of {samples.shape[1] / rate:.2f} s, {samples.shape[0]} channel(s)"
    return {"audio": _kept(folder, f"{name}.wav", save, text), "sampling_rate": rate}


def _kept(folder: Path | None, name: str, save: Any, description: str) -> str:
    if folder is None:
        return f"({description}; --output FOLDER keeps it)"
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / name)
    return str(folder / name)


def readable(result: Any) -> str:
    """A result as text: a table for a list of objects, the text itself where there is only text."""
    if isinstance(result, list) and len(result) == 1:
        return readable(result[0])
    if isinstance(result, Mapping):
        if len(result) == 1:
            return readable(next(iter(result.values())))
        width = max(map(len, result), default=0)
        return "\n".join(f"{key:<{width}}  {_cell(value)}" for key, value in result.items())
    if isinstance(result, list) and result and all(isinstance(item, Mapping) for item in result):
        if set(result[-1]) == {"role", "content"}:  # a conversation: its last message is the answer
            return str(result[-1]["content"])
        columns = list(dict.fromkeys(key for item in result for key in item))
        rows = [[_cell(item.get(column, "")) for column in columns] for item in result]
        widths = [max(len(column), *(len(row[i]) for row in rows)) for i, column in enumerate(columns)]
        lines = [columns, ["-" * width for width in widths], *rows]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)
    if isinstance(result, list) and result and isinstance(result[0], list) and isinstance(result[0][0], Mapping):
        return "\n\n".join(readable(item) for item in result)
    return _cell(result)


def _numbers(value: Any) -> bool:
    """Whether it is a list of lists of numbers that is too long to read."""
    return bool(value) and isinstance(value[0], list) and (len(value[0]) > 8 or _numbers(value[0]))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and (len(value) > 8 or _numbers(value)):
        shape, first = [len(value)], value
        while first and isinstance(first[0], list):
            first = first[0]
            shape.append(len(first))
        return f"{' x '.join(map(str, shape))} values: [{', '.join(_cell(number) for number in first[:4])}, ...]"
    if isinstance(value, list):
        return "[" + ", ".join(_cell(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    return str(value)
