"""Dataclasses from the command line, a dict, JSON or YAML (spec: trainer_utils.md, HfArgumentParser)."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

TRUE, FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def string_to_bool(value: Any) -> bool:
    """A truth value as people write it: yes, true, t, y, 1 and their opposites."""
    if isinstance(value, bool):
        return value
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise ArgumentTypeError(f"{value!r} is no truth value: write one of {', '.join((*TRUE, *FALSE))}.")


def make_choice_type_function(choices: Sequence[Any]) -> Callable[[str], Any]:
    """A function from the text of a choice to the choice itself."""
    by_text = {str(choice): choice for choice in choices}
    return lambda text: by_text.get(text, text)


def HfArg(
    *,
    aliases: str | list[str] | None = None,
    help: str | None = None,
    default: Any = dataclasses.MISSING,
    default_factory: Callable[[], Any] | Any = dataclasses.MISSING,
    metadata: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """A dataclass field with names of its own on the command line and a help text."""
    data = dict(metadata or {})
    if aliases is not None:
        data["aliases"] = aliases
    if help is not None:
        data["help"] = help
    return dataclasses.field(metadata=data, default=default, default_factory=default_factory, **kwargs)


class HfArgumentParser(ArgumentParser):
    """An argument parser whose arguments are the fields of dataclasses.

    Args:
        dataclass_types: one or more dataclasses. kwargs: of `argparse.ArgumentParser`.

    A field of type bool is a flag that may take a value; with the default True there is also --no_NAME. Enums and
    Literals are choices, lists take several values, Optional fields may be left out.
    """

    dataclass_types: list[type]

    def __init__(self, dataclass_types: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", ArgumentDefaultsHelpFormatter)
        super().__init__(**kwargs)
        if dataclass_types is None:
            dataclass_types = []
        self.dataclass_types = [dataclass_types] if dataclasses.is_dataclass(dataclass_types) else list(dataclass_types)
        for kind in self.dataclass_types:
            self._add_dataclass_arguments(kind)

    def _add_dataclass_arguments(self, kind: type) -> None:
        group = self.add_argument_group(kind._argument_group_name) if hasattr(kind, "_argument_group_name") else self
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.init:
                self._add_field(group, field, hints[field.name])

    @staticmethod
    def _add_field(parser: Any, field: dataclasses.Field[Any], hint: Any) -> None:
        names = [f"--{field.name}"] + ([f"--{field.name.replace('_', '-')}"] if "_" in field.name else [])
        options = dict(field.metadata)
        aliases = options.pop("aliases", [])
        names += [aliases] if isinstance(aliases, str) else list(aliases)
        hint = _single_type(hint, field.name)
        has_default = field.default is not dataclasses.MISSING
        has_factory = field.default_factory is not dataclasses.MISSING
        if hint is bool or hint == bool | None:
            options["type"] = string_to_bool
            if hint is bool or (has_default and field.default is not None):
                options |= {"default": field.default if has_default else False, "nargs": "?", "const": True}
        elif get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
            choices = list(get_args(hint)) if get_origin(hint) is Literal else [member.value for member in hint]
            options |= {"choices": choices, "type": make_choice_type_function(choices)}
            options |= {"default": field.default} if has_default else {"required": True}
        elif isinstance(hint, type) and get_origin(hint) is None and hint is not list:
            options["type"] = hint
            _default(options, field, has_default, has_factory)
        elif get_origin(hint) in (list, Sequence) or hint is list:
            options |= {"type": (get_args(hint) or (str,))[0], "nargs": "+"}
            if has_factory:
                options["default"] = field.default_factory()  # type: ignore[misc]
            elif not has_default:
                options["required"] = True
        else:
            options["type"] = str if get_origin(hint) in (dict, None) else get_origin(hint)
            _default(options, field, has_default, has_factory)
        parser.add_argument(*names, **options)
        if field.default is True and (hint is bool or hint == bool | None):
            opposite = {"dest": field.name, "action": "store_false", "default": False}
            help_text = options.get("help")
            parser.add_argument(
                f"--no_{field.name}", f"--no-{field.name.replace('_', '-')}", help=help_text, **opposite
            )

    def parse_args_into_dataclasses(
        self,
        args: Sequence[str] | None = None,
        return_remaining_strings: bool = False,
        look_for_args_file: bool = True,
        args_filename: str | None = None,
        args_file_flag: str | None = None,
    ) -> tuple[Any, ...]:
        """An object of each dataclass, from the command line.

        args: sys.argv where it is None. return_remaining_strings: also return, last, what belongs to none.
        look_for_args_file: a file beside the script, of its name with .args, is read before the command line.
        args_filename: such a file. args_file_flag: the flag that names such files.
        Raises: ValueError for what belongs to none, where that is not returned.
        """
        given = list(sys.argv[1:] if args is None else args)
        files: list[Path] = []
        if args_filename:
            files.append(Path(args_filename))
        elif look_for_args_file and args is None and sys.argv and sys.argv[0]:
            files.append(Path(sys.argv[0]).with_suffix(".args"))
        if args_file_flag:
            flags = ArgumentParser(add_help=False)
            flags.add_argument(args_file_flag, type=str, action="append")
            named, given = flags.parse_known_args(given)
            files += [Path(name) for name in vars(named)[args_file_flag.lstrip("-")] or []]
        from_files = [word for path in files if path.exists() for word in path.read_text(encoding="utf-8").split()]
        namespace, remaining = self.parse_known_args([*from_files, *given])
        outputs = []
        for kind in self.dataclass_types:
            names = [field.name for field in dataclasses.fields(kind) if field.init]
            values = {name: value for name, value in vars(namespace).items() if name in names}
            for name in values:
                delattr(namespace, name)
            outputs.append(kind(**values))
        if vars(namespace):
            outputs.append(namespace)  # arguments that were added to the parser by hand
        if return_remaining_strings:
            return (*outputs, remaining)
        if remaining:
            raise ValueError(f"These arguments belong to none of the dataclasses: {remaining}")
        return tuple(outputs)

    def parse_dict(self, args: dict[str, Any], allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """An object of each dataclass, from a dict. ValueError for keys of none, unless they are allowed."""
        unused = set(args)
        outputs = []
        for kind in self.dataclass_types:
            names = {field.name for field in dataclasses.fields(kind) if field.init}
            outputs.append(kind(**{name: value for name, value in args.items() if name in names}))
            unused -= names
        if unused and not allow_extra_keys:
            raise ValueError(f"These keys belong to none of the dataclasses: {sorted(unused)}")
        return tuple(outputs)

    def parse_json_file(self, json_file: Any, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """As `parse_dict`, from a JSON file. ValueError for a file that is no JSON object."""
        text = Path(json_file).read_text(encoding="utf-8")
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{json_file} is not valid JSON: {error}") from error
        return self.parse_dict(_object(data, json_file), allow_extra_keys)

    def parse_yaml_file(self, yaml_file: Any, allow_extra_keys: bool = False) -> tuple[Any, ...]:
        """As `parse_dict`, from a YAML file."""
        import yaml

        data = yaml.safe_load(Path(yaml_file).read_text(encoding="utf-8"))
        return self.parse_dict(_object(data, yaml_file), allow_extra_keys)


def _object(data: Any, path: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold names and values, not a {type(data).__name__}.")
    return data


def _default(options: dict[str, Any], field: Any, has_default: bool, has_factory: bool) -> None:
    if has_default:
        options["default"] = field.default
    elif has_factory:
        options["default"] = field.default_factory()
    else:
        options["required"] = True


def _single_type(hint: Any, name: str) -> Any:
    """Optional[X] as X, and X | str as X; ValueError for a union that the command line cannot tell apart."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if kinds == [bool]:
        return bool | None
    if str in kinds and len(kinds) > 1:
        kinds.remove(str)
        if bool in kinds or kinds[0] is dict or get_origin(kinds[0]) is dict or kinds == [Any]:
            return str
    if len(kinds) > 1:
        raise ValueError(f"The field {name!r} may be {hint}: the command line cannot tell which; use one type or str.")
    return kinds[0]


__all__ = ["HfArg", "HfArgumentParser", "make_choice_type_function", "string_to_bool"]
