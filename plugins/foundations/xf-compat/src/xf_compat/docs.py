"""Decorators that put docstrings together (spec: internal/file_utils.md, Special Decorators)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Decorator = Callable[[T], T]


def _doc(obj: Any) -> str:
    return obj.__doc__ or ""


def add_start_docstrings(*docstr: str) -> Decorator[Any]:
    """Put `docstr` before the docstring."""

    def decorate(obj: Any) -> Any:
        obj.__doc__ = "".join(docstr) + _doc(obj)
        return obj

    return decorate


def add_end_docstrings(*docstr: str) -> Decorator[Any]:
    """Put `docstr` after the docstring."""

    def decorate(obj: Any) -> Any:
        obj.__doc__ = _doc(obj) + "".join(docstr)
        return obj

    return decorate


def add_start_docstrings_to_model_forward(*docstr: str) -> Decorator[Any]:
    """Put an introduction that names the model, then `docstr`, before the docstring of its `forward`."""

    def decorate(obj: Any) -> Any:
        owner = obj.__qualname__.split(".")[0]
        intro = (
            f"    The forward pass of [`{owner}`]. Call the model itself, not `forward`: only that runs its hooks.\n"
        )
        obj.__doc__ = intro + "".join(docstr) + _doc(obj)
        return obj

    return decorate


def _returns(output_type: Any, config_class: str | None, indent: str) -> str:
    """The section on what is returned, from the fields that the output class documents."""
    name = output_type if isinstance(output_type, str) else f"{output_type.__module__}.{output_type.__name__}"
    lines = [f"[`{name}`] or `tuple(torch.FloatTensor)`: the fields below, as a plain tuple with `return_dict=False`"]
    lines[0] += f"; which of them there are depends on the inputs and on [`{config_class}`]." if config_class else "."
    lines.append("")
    documented = inspect.getdoc(output_type) if not isinstance(output_type, str) else None
    section = re.split(r"^(?:Args|Attributes|Parameters):\s*$", documented or "", maxsplit=1, flags=re.M)[1:]
    for line in inspect.cleandoc(section[0]).splitlines() if section else ():
        field = re.match(r"(\w+) ?(\([^:]*\)): ?(.*)", line)
        if field:
            lines.append(f"- **{field[1]}** {field[2]} -- {field[3]}".rstrip())
        elif lines[-1].endswith("--"):
            lines[-1] += " " + line.strip()
        elif line.strip():
            lines.append("  " + line.strip())
    return "Returns:\n" + "\n".join(f"{indent}    {line}".rstrip() for line in lines) + "\n"


def replace_return_docstrings(output_type: Any = None, config_class: str | None = None) -> Decorator[Any]:
    """Fill the empty `Return:` or `Returns:` of the docstring. Raises ValueError where there is none."""

    def decorate(obj: Any) -> Any:
        lines = _doc(obj).split("\n")
        places = [i for i, line in enumerate(lines) if re.match(r"\s*Returns?:\s*$", line)]
        if not places:
            raise ValueError(f"The docstring of {obj.__qualname__} needs an empty line 'Returns:' as a placeholder.")
        indent = lines[places[0]][: len(lines[places[0]]) - len(lines[places[0]].lstrip())]
        lines[places[0]] = indent + _returns(output_type, config_class, indent)
        obj.__doc__ = "\n".join(lines)
        return obj

    return decorate


# What a sample does after `model` and `inputs`, by the last words of the class's name.
_SAMPLES = {
    "SequenceClassification": [
        "predicted = model(**inputs).logits.argmax(-1).item()",
        "model.config.id2label[predicted]",
    ],
    "TokenClassification": [
        "predicted = model(**inputs).logits.argmax(-1)[0]",
        "[model.config.id2label[i.item()] for i in predicted]",
    ],
    "MaskedLM": [
        "place = (inputs.input_ids == tokenizer.mask_token_id)[0].nonzero()[0]",
        "tokenizer.decode(model(**inputs).logits[0, place].argmax(-1))",
    ],
    "QuestionAnswering": [
        "outputs = model(**inputs)",
        "start, end = outputs.start_logits.argmax(), outputs.end_logits.argmax()",
        "tokenizer.decode(inputs.input_ids[0, start : end + 1])",
    ],
    "CausalLM": ['model(**inputs, labels=inputs["input_ids"]).loss'],
    "LMHeadModel": ['model(**inputs, labels=inputs["input_ids"]).loss'],
    "CTC": ["predicted = model(**inputs).logits.argmax(-1)", "processor.batch_decode(predicted)"],
    "AudioClassification": ["predicted = model(**inputs).logits.argmax(-1).item()", "model.config.id2label[predicted]"],
    "ImageClassification": ["predicted = model(**inputs).logits.argmax(-1).item()", "model.config.id2label[predicted]"],
    "Model": ["model(**inputs).last_hidden_state.shape"],
}
_INPUTS = {
    "audio": ("AutoProcessor", "processor", "processor(samples, sampling_rate=16_000, return_tensors='pt')"),
    "vision": ("AutoImageProcessor", "image_processor", "image_processor(image, return_tensors='pt')"),
    None: ("AutoTokenizer", "tokenizer", "tokenizer({text}, return_tensors='pt')"),
}


def add_code_sample_docstrings(
    *docstr: str,
    processor_class: str | None = None,
    checkpoint: str | None = None,
    output_type: Any = None,
    config_class: str | None = None,
    mask: str = "[MASK]",
    qa_target_start_index: int = 14,
    qa_target_end_index: int = 15,
    model_cls: str | None = None,
    modality: str | None = None,
    expected_output: Any = None,
    expected_loss: Any = None,
    real_checkpoint: str | None = None,
    revision: str | None = None,
) -> Decorator[Any]:
    """Add what is returned and a code sample for the head that the class's name ends with.

    Raises: ValueError where there is no sample for such a class.
    """

    def decorate(obj: Any) -> Any:
        name = model_cls or obj.__qualname__.split(".")[0]
        head = next((head for head in _SAMPLES if name.endswith(head)), None)
        if head is None or modality not in _INPUTS:
            raise ValueError(f"No code sample for {name} with modality {modality}; heads: {', '.join(_SAMPLES)}")
        default_class, variable, call = _INPUTS[modality]
        text = {"MaskedLM": f"'The capital of France is {mask}.'", "QuestionAnswering": "'Who is it?', 'It is Ada.'"}
        source = f"{(real_checkpoint or checkpoint)!r}" + (f", revision={revision!r}" if revision else "")
        steps = [
            f"from xf import {processor_class or default_class}, {name}",
            f"{variable} = {processor_class or default_class}.from_pretrained({source})",
            f"model = {name}.from_pretrained({source})",
            f"inputs = {call.format(text=text.get(head, repr('A text.')))}",
            *_SAMPLES[head],
        ]
        sample = "\n".join(f"    >>> {step}" for step in steps)
        sample += f"\n    {expected_output}" if expected_output is not None else ""
        if expected_loss is not None:
            sample += f"\n    >>> round(model(**inputs, labels=labels).loss.item(), 2)\n    {expected_loss}"
        returns = "    " + _returns(output_type, config_class, "    ") if output_type is not None else ""
        obj.__doc__ = f"{''.join(docstr)}{_doc(obj)}\n{returns}\n    Example:\n\n    ```python\n{sample}\n    ```\n"
        return obj

    return decorate
