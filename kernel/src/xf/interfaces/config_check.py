"""Types and sizes of config values, checked against what a config class declares.

Lenient where published files are: an int for a float, a whole float for an int, 0 and 1 for a bool, null, a list of
numbers for a number (image sizes). Strict where nothing can come of it: text for a number, a truth value as text, a
size that is no positive integer.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from functools import cache
from typing import Any

_KINDS: dict[Any, frozenset[str]] = {
    int: frozenset({"int"}),
    float: frozenset({"int", "float"}),
    bool: frozenset({"bool"}),
    str: frozenset({"str"}),
    type(None): frozenset({"null"}),
}
#: what every model is built from: {name: smallest value}; null is refused too, unless the class allows it
_SIZES = {
    "hidden_size": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 1,
    "num_hidden_layers": 0,
    "intermediate_size": 0,
    "vocab_size": 0,
}
_ANY = frozenset({"any"})


@cache
def expected_types(cls: type) -> dict[str, frozenset[str]]:
    """{field: the kinds of JSON value it takes} from annotations, and from the defaults of classic constructors."""
    kinds: dict[str, frozenset[str]] = {}
    for base in reversed(cls.__mro__):
        scope = vars(sys.modules.get(base.__module__, typing)) | vars(typing)
        if "__init__" in base.__dict__:
            for name, parameter in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
                if type(parameter.default) in _KINDS and parameter.default is not None:
                    kinds[name] = _KINDS[type(parameter.default)] | {"null"}
        for name, annotation in base.__dict__.get("__annotations__", {}).items():
            kinds[name] = _kinds(annotation, scope)
    return kinds


def check_value(cls: Any, name: str, value: Any, expected: dict[str, frozenset[str]]) -> Any:
    """`value` itself, a whole float as the int that the field takes, or a ValueError that names key and value."""
    takes = expected.get(name, _ANY)
    size = _size_of(cls, name)
    if "any" in takes or (value is None and (size is None or "null" in takes)):
        return value
    kind = _kind(value)
    if kind == "float" and "float" not in takes and "int" in takes and value.is_integer():
        value, kind = int(value), "int"
    numeric = "int" in takes or "float" in takes
    if size is not None and "list" not in takes and numeric:
        if kind != "int" or value < size:
            raise ValueError(f"{name} must be an integer of at least {size}, not {value!r}")
        return value
    fits = kind in takes or kind == "other"
    fits = fits or (kind == "bool" and numeric) or (kind == "int" and "bool" in takes and value in (0, 1))
    fits = fits or (kind == "list" and numeric and all(isinstance(item, (int, float)) for item in value))
    if not fits:
        raise ValueError(f"{name} must be {' or '.join(sorted(takes))}, not {value!r}")
    return value


def _size_of(cls: Any, name: str) -> int | None:
    common = next((alias for alias, target in cls.attribute_map.items() if target == name), name)
    return _SIZES.get(common)


def _kind(value: Any) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str"), (dict, "dict")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "list" if isinstance(value, (list, tuple)) else "other"


def _kinds(annotation: Any, scope: dict[str, Any]) -> frozenset[str]:
    """The kinds of JSON value an annotation stands for; "any" where it cannot be told."""
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, scope)  # the source text of an installed class, never of a checkpoint
        except Exception:
            return _ANY
    if annotation in _KINDS:
        return _KINDS[annotation]
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return frozenset().union(*(_kinds(argument, scope) for argument in arguments))
    if origin is typing.Literal:
        return frozenset(_kind(value) for value in arguments)
    if origin is typing.Annotated:
        return _kinds(arguments[0], scope)
    base = origin or annotation
    if not isinstance(base, type):
        return _ANY
    if issubclass(base, (list, tuple)):
        return frozenset({"list"})
    return frozenset({"dict"}) if issubclass(base, dict) or hasattr(base, "to_diff_dict") else _ANY
