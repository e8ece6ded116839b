"""The files of a tokenizer: what is read from a checkpoint, and what is written.

Read: tokenizer.json, tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template.jinja,
additional_chat_templates/*.jinja and the vocabulary files of the class. Written are only names from this list.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tokenizers import AddedToken

from xf import logging
from xf.checkpoint import Checkpoint, resolve
from xf.checkpoint.atomic import write_atomic, write_json_atomic
from xf.hub import PushToHubMixin, pushing, refuse_remote_code

from .special_tokens import SpecialTokensMixin

logger = logging.get_logger(__name__)
T = TypeVar("T", bound="TokenizerFilesMixin")

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_MAP_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
FULL_TOKENIZER_FILE = "tokenizer.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CHAT_TEMPLATE_DIR = "additional_chat_templates"
_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Keys of a tokenizer_config.json that say how it was written, not how to build the tokenizer.
_NOT_ARGUMENTS = (
    "tokenizer_class", "auto_map", "backend", "is_local", "local_files_only", "tokenizer_file", "vocab_file",
    "merges_file", "name_or_path", "special_tokens_map_file", "full_tokenizer_file", "transformers_version",
    "files_loaded",
)  # fmt: skip


def added_token_from(value: Any, where: str) -> str | AddedToken:
    """A token as a file holds it: a string, or an object with `content` and flags."""
    if isinstance(value, (str, AddedToken)):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise ValueError(f"{where}: a token is a string or an object with `content`, not {value!r}")
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(value["content"], **{key: bool(value[key]) for key in flags if key in value})


def added_token_to(token: Any, with_special: bool = False, with_type: bool = True) -> Any:
    """The opposite of `added_token_from`, also inside lists and dictionaries."""
    if isinstance(token, AddedToken):
        state = token.__getstate__()
        if not with_special:
            state.pop("special")
        return {"__type": "AddedToken", **state} if with_type else state
    if isinstance(token, (list, tuple)):
        return [added_token_to(item, with_special, with_type) for item in token]
    if isinstance(token, dict):
        return {key: added_token_to(item, with_special, with_type) for key, item in token.items()}
    return token


def _revived(value: Any, where: str) -> Any:
    """Objects marked as tokens become tokens, at any depth."""
    if isinstance(value, dict):
        if value.get("__type") == "AddedToken":
            return added_token_from(value, where)
        return {key: _revived(item, where) for key, item in value.items()}
    return [_revived(item, where) for item in value] if isinstance(value, list) else value


def read_chat_template(checkpoint: Checkpoint, config: Mapping[str, Any]) -> str | dict[str, str] | None:
    """The chat template(s): files where there are any, else what the configuration holds."""
    names = [name for name in checkpoint.list() if name.startswith(f"{CHAT_TEMPLATE_DIR}/") and name.endswith(".jinja")]
    default = checkpoint.read_text(CHAT_TEMPLATE_FILE)
    if default is None and not names:
        return chat_template_from(config.get("chat_template"), checkpoint.name)
    templates = {name[len(CHAT_TEMPLATE_DIR) + 1 : -len(".jinja")]: checkpoint.read_text(name) or "" for name in names}
    if default is not None:
        if not templates:
            return default
        templates = {"default": default, **templates}
    return templates


def chat_template_from(value: Any, where: str) -> str | dict[str, str] | None:
    """A template, or several by name from `[{"name": ..., "template": ...}]`."""
    if value is None or isinstance(value, str):
        return value
    items = [*value.items()] if isinstance(value, dict) else None
    if isinstance(value, (list, tuple)) and all(isinstance(item, dict) for item in value):
        items = [(item.get("name"), item.get("template")) for item in value]
    if items is None or not all(isinstance(name, str) and isinstance(text, str) for name, text in items):
        raise ValueError(f"{where}: chat_template must be a string, or templates by name, not {value!r}")
    return dict(items)


def write_chat_templates(folder: Path, templates: str | dict[str, str] | None) -> list[Path]:
    """Write the template files; a name that is no plain name is refused before anything is written."""
    named = {"default": templates} if isinstance(templates, str) else templates or {}
    for name in named:
        if not _TEMPLATE_NAME.fullmatch(name):
            raise ValueError(
                f"the chat template name {name!r} cannot be saved: it becomes a file name, so it may only have "
                "letters, digits, - and _ (at most 64)"
            )
    written = []
    for name, text in named.items():
        path = folder / CHAT_TEMPLATE_FILE if name == "default" else folder / CHAT_TEMPLATE_DIR / f"{name}.jinja"
        write_atomic(path, text)
        written.append(path)
    return written


class TokenizerFilesMixin(PushToHubMixin, SpecialTokensMixin):
    """`from_pretrained` and `save_pretrained` of tokenizers."""

    vocab_files_names: dict[str, str] = {}
    pretrained_vocab_files_map: dict[str, Any] = {}
    is_fast: bool
    init_kwargs: dict[str, Any]
    chat_template: str | dict[str, str] | None

    @classmethod
    def from_pretrained(
        cls: type[T],
        pretrained_model_name_or_path: str | os.PathLike[str] | Checkpoint,
        *init_inputs: Any,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        trust_remote_code: bool = False,
        **kwargs: Any,
    ) -> T:
        """Load a tokenizer from a folder, the hub, or whatever an installed plugin serves.

        Args:
            pretrained_model_name_or_path: the checkpoint.
            init_inputs: positional arguments for the class.
            cache_dir: where downloads are kept.
            force_download: download again.
            local_files_only: open no connection.
            token: for the hub.
            revision: branch, tag or commit.
            trust_remote_code: must be False; code never comes from a checkpoint.
            kwargs: `subfolder`, `gguf_file`; everything else goes to the class and overrides the files.

        Raises:
            ValueError: nothing to load from, or a broken file (named, with what is wrong).
        """
        refuse_remote_code({"trust_remote_code": trust_remote_code, **kwargs})
        for name in ("code_revision", "_commit_hash", "_from_auto", "use_fast", "tokenizer_type", "config"):
            kwargs.pop(name, None)
        gguf_file = kwargs.pop("gguf_file", None)
        checkpoint = resolve(
            pretrained_model_name_or_path,
            revision=None if revision == "main" else revision,
            subfolder=kwargs.pop("subfolder", "") or "",
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        if checkpoint.file is not None:
            raise ValueError(
                f"{cls.__name__}.from_pretrained() loads a folder or repository, not the single file "
                f"{checkpoint.file}. Pass the folder; for one tokenizer.json use "
                f"PreTrainedTokenizerFast(tokenizer_file=...)."
            )
        arguments = cls._arguments_from_format(checkpoint, gguf_file) if gguf_file else cls._arguments_from(checkpoint)
        if isinstance(kwargs.get("extra_special_tokens"), list):
            kwargs["additional_special_tokens"] = kwargs.pop("extra_special_tokens")
        arguments.update(kwargs)
        arguments.setdefault("name_or_path", checkpoint.name)
        inputs = init_inputs or arguments.pop("init_inputs", ())
        arguments.pop("init_inputs", None)
        try:
            return cls(*inputs, **arguments)
        except OSError as error:
            raise OSError(f"the tokenizer of {checkpoint.name} could not be loaded: {error}") from error

    @classmethod
    def _arguments_from_format(cls, checkpoint: Checkpoint, gguf_file: str) -> dict[str, Any]:
        """The arguments from a weight file that holds its tokenizer, through the plugin for its format."""
        from xf.checkpoint.formats import find_plugin_format

        found = find_plugin_format(checkpoint, {"gguf_file": gguf_file})
        reader = None if found is None else getattr(found[1], "tokenizer", None)
        if found is None or reader is None:
            raise ValueError(f"{checkpoint.name}: no tokenizer can be read from {gguf_file}. {checkpoint.describe()}")
        arguments: dict[str, Any] = dict(reader(found[1].open(checkpoint.require(found[2]))))
        arguments.pop("tokenizer_class", None)
        return arguments

    @classmethod
    def _arguments_from(cls, checkpoint: Checkpoint) -> dict[str, Any]:
        """The arguments of the class that the files of a checkpoint hold."""
        config = checkpoint.read_json(TOKENIZER_CONFIG_FILE) or {}
        where = f"{checkpoint.name}/{TOKENIZER_CONFIG_FILE}"
        arguments = {key: _revived(value, where) for key, value in config.items() if key not in _NOT_ARGUMENTS}
        for name, filename in {**cls.vocab_files_names, "tokenizer_file": FULL_TOKENIZER_FILE}.items():
            path = checkpoint.path(filename)
            if path is not None:
                arguments[name] = str(path)
        if not any(name in arguments for name in cls.vocab_files_names):
            wanted = ", ".join(sorted(cls.vocab_files_names.values()))
            raise ValueError(
                f"{checkpoint.name} has no files of a {cls.__name__} (one of {wanted} is needed). "
                f"{checkpoint.describe()}"
            )
        arguments.pop("chat_template", None)
        template = read_chat_template(checkpoint, config)
        if template is not None:
            arguments["chat_template"] = template
        cls._special_tokens_from(checkpoint, arguments)
        arguments.pop("processor_class", None)
        if "processor_class" in config:
            arguments["processor_class"] = config["processor_class"]
        return arguments

    @classmethod
    def _special_tokens_from(cls, checkpoint: Checkpoint, arguments: dict[str, Any]) -> None:
        """Put special and added tokens of all generations of files into `arguments`."""
        where = f"{checkpoint.name}/{TOKENIZER_CONFIG_FILE}"
        if isinstance(arguments.get("extra_special_tokens"), list):  # written since 5.0
            arguments["additional_special_tokens"] = arguments.pop("extra_special_tokens")
        specific = arguments.pop("model_specific_special_tokens", None)
        if specific:
            arguments["extra_special_tokens"] = {**specific, **(arguments.get("extra_special_tokens") or {})}
        decoder = arguments.pop("added_tokens_decoder", None)
        if decoder is not None:
            arguments["added_tokens_decoder"] = parse_added_tokens_decoder(decoder, where)
        else:
            mapped = checkpoint.read_json(SPECIAL_TOKENS_MAP_FILE) or {}
            for key, value in mapped.items():
                many = isinstance(value, list)
                tokens = [
                    added_token_from(item, SPECIAL_TOKENS_MAP_FILE) for item in (value if many else [value]) if item
                ]
                for token in tokens:
                    if isinstance(token, AddedToken):
                        token.special = True
                if tokens:
                    arguments[key] = tokens if many else tokens[0]
            added = checkpoint.read_json(ADDED_TOKENS_FILE)
            if added and FULL_TOKENIZER_FILE not in checkpoint.list():
                arguments["added_tokens_decoder"] = parse_added_tokens_file(added, arguments)
            if cls.is_fast and "tokenizer_file" in arguments:
                arguments["tokens_of_backend"] = True  # the flags of special tokens are in tokenizer.json alone
        names = cls.SPECIAL_TOKENS_ATTRIBUTES
        by_content = {str(token): token for token in arguments.get("added_tokens_decoder", {}).values()}
        for key in names:
            value = arguments.get(key)
            if isinstance(value, dict):
                value = arguments[key] = added_token_from(value, where)
            if isinstance(value, list):
                arguments[key] = [added_token_from(item, where) for item in value]
            elif value is not None:
                arguments[key] = by_content.get(str(value), value)

    # Saving

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the tokenizer's files, each whole or not at all.

        Args:
            save_directory: the folder, made if it is missing.
            legacy_format: True for the vocabulary files and added_tokens.json only, False for tokenizer.json only;
                by default whatever the class has.
            filename_prefix: put before each file name.
            push_to_hub: upload the folder afterwards (`repo_id` and the other options of `push_to_hub`).

        Returns:
            The paths of the files.
        """
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; save_pretrained needs a folder")
        if filename_prefix is not None and not _TEMPLATE_NAME.fullmatch(filename_prefix):
            raise ValueError(f"filename_prefix {filename_prefix!r} must be plain letters, digits, - and _")
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        kwargs.pop("max_shard_size", None), kwargs.pop("safe_serialization", None)
        as_files = kwargs.pop("save_jinja_files", True)
        with pushing(folder, push_to_hub, kwargs):
            folder.mkdir(parents=True, exist_ok=True)
            config = self._config_to_save()
            written = [folder / f"{prefix}{TOKENIZER_CONFIG_FILE}", folder / f"{prefix}{SPECIAL_TOKENS_MAP_FILE}"]
            templates = chat_template_from(self.chat_template, type(self).__name__)
            if as_files:
                written += write_chat_templates(folder, templates)
            elif templates is not None:
                config["chat_template"] = templates if isinstance(templates, str) else [
                    {"name": name, "template": text} for name, text in templates.items()
                ]  # fmt: skip
            write_json_atomic(written[0], config)
            write_json_atomic(written[1], added_token_to(self.special_tokens_map_extended, with_type=False))
            vocabulary = self._save_pretrained(str(folder), tuple(map(str, written)), legacy_format, filename_prefix)
        return vocabulary

    def _config_to_save(self) -> dict[str, Any]:
        config = copy.deepcopy(self.init_kwargs)
        config.update({key: getattr(self, key) for key in config if key not in _NOT_ARGUMENTS and hasattr(self, key)})
        for key in ("model_max_length", "clean_up_tokenization_spaces"):
            config[key] = getattr(self, key)
        for key in ("padding_side", "truncation_side"):  # set after the tokenizer was made
            if getattr(self, key) != getattr(type(self), key):
                config[key] = getattr(self, key)
        config.update(self.special_tokens_map_extended)
        if getattr(self, "extra_special_tokens", None) is not None:
            config["extra_special_tokens"] = self.extra_special_tokens
            config.update(self.extra_special_tokens)
        config = added_token_to({k: v for k, v in config.items() if k not in _NOT_ARGUMENTS}, with_special=True)
        config = {key: _content(value) for key, value in config.items()}
        for key in ("chat_template", "processor_class", "device_map", *self.vocab_files_names):
            config.pop(key, None)
        decoder: dict[int, AddedToken] = self.added_tokens_decoder
        config["added_tokens_decoder"] = added_token_to(
            dict(decoder),
            with_special=True,
            with_type=False,  # ids as numbers, so that they are sorted as such
        )
        config["tokenizer_class"] = self._saved_class_name()
        if getattr(self, "_processor_class", None) is not None:
            config["processor_class"] = self._processor_class
        return {key: value for key, value in config.items() if _is_json(value)}

    def _saved_class_name(self) -> str:
        """The class that a checkpoint names: without `Fast` where there is a class without."""
        name = type(self).__name__
        return name if name == "PreTrainedTokenizerFast" else name.removesuffix("Fast")

    def _save_pretrained(
        self,
        save_directory: str,
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        """Write vocabulary and added tokens; `file_names` are what is written already."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        size: int = self.vocab_size
        known: dict[str, int] = self.get_added_vocab()
        added = {token: index for token, index in known.items() if index >= size}
        path = Path(save_directory) / f"{prefix}{ADDED_TOKENS_FILE}"
        if added:
            write_json_atomic(path, added)
        return file_names + self.save_vocabulary(save_directory, filename_prefix=filename_prefix) + (str(path),)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the vocabulary files alone (without configuration and added tokens); their paths."""
        raise NotImplementedError(f"{type(self).__name__} has no vocabulary files of its own")


def _content(value: Any) -> Any:
    """Tokens, also in a list, as strings."""
    if isinstance(value, list):
        return [_content(item) for item in value]
    return value["content"] if isinstance(value, dict) and value.get("__type") == "AddedToken" else value


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def parse_added_tokens_decoder(decoder: Any, where: str) -> dict[int, AddedToken]:
    """`{"5": {"content": ...}}` as tokens by id."""
    if not isinstance(decoder, Mapping):
        raise ValueError(f"{where}: added_tokens_decoder must be an object of id and token, not {decoder!r}")
    tokens: dict[int, AddedToken] = {}
    for index, value in decoder.items():
        if not str(index).isdecimal():
            raise ValueError(f"{where}: added_tokens_decoder has the id {index!r}, which is no number")
        token = added_token_from(value, where)
        tokens[int(index)] = token if isinstance(token, AddedToken) else AddedToken(token)
    return dict(sorted(tokens.items()))


def parse_added_tokens_file(added: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[int, AddedToken]:
    """added_tokens.json (token to id) as tokens by id; those that are special are marked so."""
    special: set[str] = set()
    for key, value in arguments.items():
        if key.endswith(("_token", "_special_tokens")):
            special.update(str(token) for token in (value if isinstance(value, (list, tuple)) else [value]))
    tokens: dict[int, AddedToken] = {}
    for content, index in added.items():
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise ValueError(f"{ADDED_TOKENS_FILE}: the id of {content!r} must be a number, not {index!r}")
        tokens[index] = AddedToken(content, normalized=content not in special, special=content in special)
    return dict(sorted(tokens.items()))
