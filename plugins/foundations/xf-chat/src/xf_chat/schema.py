"""JSON schemas of functions, from their type hints and docstrings (Google style): the `tools` of a chat template."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import DocstringParsingException, TypeHintParsingException

_BASIC: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
_PLAIN: dict[Any, str] = {list: "array", tuple: "array", dict: "object"}
_SECTION = re.compile(r"^[ \t]*(Args|Arguments|Parameters|Returns|Yields|Raises|Example|Examples|Note|Notes):[ \t]*$")
_ARGUMENT = re.compile(r"^\*{0,2}(\w+)[ \t]*(?:\([^()]*\))?[ \t]*:[ \t]?(.*)$")
_CHOICES = "(choices:"


def get_json_schema(func: Callable[..., Any]) -> dict[str, Any]:
    """Describe a function so that a model can call it.

    The docstring has a description, an `Args:` section that describes every argument and optionally `Returns:`. A
    description that ends in `(choices: ["a", "b"])` gives the argument's possible values.

    Args:
        func: a function or method with type hints on every argument.

    Returns:
        `{"type": "function", "function": {"name", "description", "parameters", "return"}}`

    Raises:
        DocstringParsingException: no docstring, or one that leaves out an argument.
        TypeHintParsingException: a missing type hint, or one that JSON schema cannot express.
    """
    func = func if hasattr(func, "__name__") else func.__call__  # type: ignore[operator]
    name = "operation" if func.__name__ == "__call__" else func.__name__
    doc = inspect.getdoc(func)
    if not doc:
        raise DocstringParsingException(f"Cannot generate JSON schema for {name} because it has no docstring!")
    description, arguments, returns = parse_docstring(doc)
    parameters, returned = _signature_schema(func, name)
    for argument, schema in parameters["properties"].items():
        if argument not in arguments:
            raise DocstringParsingException(
                f"Cannot generate JSON schema for {name} because the docstring has no description for the argument "
                f"'{argument}'"
            )
        text, choices = _split_choices(arguments[argument], name, argument)
        if choices is not None:
            schema["enum"] = choices
        schema["description"] = text
    function: dict[str, Any] = {"name": name, "description": description, "parameters": parameters}
    if returned is not None:
        function["return"] = returned
        if returns is not None:
            returned["description"] = returns
    return {"type": "function", "function": function}


def parse_docstring(doc: str) -> tuple[str, dict[str, str], str | None]:
    """The description, the description of each argument, and that of the result."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in doc.splitlines():
        match = _SECTION.match(line)
        if match and not line[:1].isspace():
            current = match[1]
            sections.setdefault(current, [])
        else:
            sections[current].append(line)
    arguments: dict[str, list[str]] = {}
    lines = next((sections[key] for key in ("Args", "Arguments", "Parameters") if key in sections), [])
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    name = None
    for line in lines:
        at = len(line) - len(line.lstrip())
        match = _ARGUMENT.match(line.strip()) if at == indent else None
        if match:
            name = match[1]
            arguments[name] = [match[2].strip()]
        elif name is not None and line.strip():
            arguments[name].append(line.strip())
    returns = "\n".join(sections["Returns"]).strip() if "Returns" in sections else None
    joined = {key: " ".join(parts).strip() for key, parts in arguments.items()}
    return "\n".join(sections[""]).strip(), joined, returns


def _split_choices(text: str, function: str, argument: str) -> tuple[str, list[Any] | None]:
    at = text.lower().rfind(_CHOICES)
    if at < 0 or not text.rstrip().endswith(")"):
        return text, None
    listed = text[at + len(_CHOICES) :].rstrip()[:-1]
    try:
        choices = json.loads(listed)
    except ValueError:
        choices = None
    if not isinstance(choices, list):
        raise DocstringParsingException(
            f"Cannot generate JSON schema for {function}: the choices of '{argument}' must be a JSON list such as "
            f'["a", "b"], not {listed.strip()}'
        )
    return text[:at].strip(), [item.strip() if isinstance(item, str) else item for item in choices]


def _signature_schema(func: Callable[..., Any], name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The schema of the arguments and that of the result (None without a type hint)."""
    try:
        hints = get_type_hints(func)
    except NameError as error:
        raise TypeHintParsingException(f"a type hint of {name} cannot be resolved: {error}") from error
    properties: dict[str, Any] = {}
    required = []
    for parameter in inspect.signature(func).parameters.values():
        if parameter.annotation is inspect.Parameter.empty:
            raise TypeHintParsingException(f"Argument {parameter.name} is missing a type hint in function {name}")
        properties[parameter.name] = type_schema(hints[parameter.name])
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return schema, type_schema(hints["return"]) if "return" in hints else None


def type_schema(hint: Any) -> dict[str, Any]:
    """The JSON schema of a type hint; TypeHintParsingException if there is none."""
    if hint is Any:
        return {}
    if hint in _BASIC or hint in _PLAIN:
        return {"type": _BASIC.get(hint) or _PLAIN[hint]}
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union or origin is types.UnionType:
        return _union_schema(args)
    if origin is Literal:
        kinds = list(dict.fromkeys(_BASIC[type(value)] for value in args if value is not None))
        schema: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
        schema["enum"] = [value for value in args if value is not None]
        return {**schema, "nullable": True} if None in args else schema
    if origin is list:
        return {"type": "array", "items": type_schema(args[0])} if args else {"type": "array"}
    if origin is dict:
        return {"type": "object", "additionalProperties": type_schema(args[1])} if args else {"type": "object"}
    if origin is tuple:
        return _tuple_schema(hint, args)
    special = {"PIL.Image.Image": "image", "torch.Tensor": "audio"}
    kind = special.get(f"{getattr(hint, '__module__', '')}.{getattr(hint, '__qualname__', '')}")
    if kind is not None:
        return {"type": kind}
    raise TypeHintParsingException(
        f"the type hint {hint} has no JSON schema: it is a class of its own. Use int, float, str, bool, Literal, and "
        "list, tuple, dict and unions of them, or write the schema of the tool by hand."
    )


def _union_schema(args: tuple[Any, ...]) -> dict[str, Any]:
    parts = [type_schema(arg) for arg in args if arg is not type(None)]
    if len(parts) == 1:
        schema = parts[0]
    elif all(set(part) == {"type"} and isinstance(part["type"], str) for part in parts):
        schema = {"type": sorted(part["type"] for part in parts)}
    else:
        schema = {"anyOf": parts}
    return {**schema, "nullable": True} if type(None) in args else schema


def _tuple_schema(hint: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    if not args:
        return {"type": "array"}
    if len(args) == 1:
        raise TypeHintParsingException(
            f"{hint} is a tuple of one element: use list[...] for any number of elements, or the element itself"
        )
    if ... in args:
        raise TypeHintParsingException(f"{hint}: use list[...] where the number of elements is not fixed")
    return {"type": "array", "prefixItems": [type_schema(arg) for arg in args]}
