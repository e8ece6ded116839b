"""GenerationConfig: the settings of `generate`, as data (spec: main_classes/text_generation.md)."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xf import logging
from xf.checkpoint.atomic import write_atomic
from xf.checkpoint.source import pop_source_options, resolve
from xf.hub import PushToHubMixin, pushing, refuse_remote_code

from .configuration_checks import check, mode_of
from .fields import FIELDS, RARE_FIELDS
from .modes import GenerationMode
from .options import all_option_names, closest, declared_options

logger = logging.get_logger(__name__)
GENERATION_CONFIG_NAME = "generation_config.json"
FILE_GENERATION = "4.55.4"  # the generation of the published file layout that is written
_TYPO = 0.85  # an unknown name this close to a known one is a mistake rather than somebody's own key
_INTERNAL = frozenset({"_commit_hash", "_ignored_keys"})


class GenerationConfig(PushToHubMixin):
    """All settings of `generate`; keyword arguments are the fields of `fields.FIELDS` and the options of plugins.

    Other keywords become attributes too (models keep their own settings here) and are listed in `unknown_keys`.
    Raises: ValueError for contradicting settings, and for a keyword that looks like a misspelt field.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._set(kwargs, from_file=False)
        self.validate()

    def _set(self, values: Mapping[str, Any], from_file: bool) -> None:
        values = dict(values)
        self._commit_hash: str | None = values.pop("_commit_hash", None)
        self._from_model_config: bool = bool(values.pop("_from_model_config", False))
        self.transformers_version: str | None = values.pop("transformers_version", FILE_GENERATION)
        self._ignored_keys: tuple[str, ...] = ()
        for name, default in FIELDS.items():
            setattr(self, name, values.pop(name, copy.copy(default)))
        self._read_watermarking()
        refused = [
            name for name in values if name.startswith("__") or name in _INTERNAL or hasattr(GenerationConfig, name)
        ]
        if refused and not from_file:
            raise ValueError(f"{refused} cannot be settings: they are names of what a GenerationConfig does.")
        if refused:
            logger.warning(f"{GENERATION_CONFIG_NAME}: ignored the keys {refused}, which are names of methods")
            self._ignored_keys = tuple(refused)
        for name, value in values.items():
            if name in refused:
                continue
            if not from_file:
                self._refuse_typo(name)
            setattr(self, name, value)

    def _read_watermarking(self) -> None:
        """A dict becomes the watermarking config whose keys it holds."""
        if isinstance(self.watermarking_config, dict):  # type: ignore[has-type]
            from .watermark.configs import watermarking_config_from_dict

            self.watermarking_config = watermarking_config_from_dict(self.watermarking_config)

    @staticmethod
    def _refuse_typo(name: str) -> None:
        if name in FIELDS or name in RARE_FIELDS:
            return
        if closest(name, FIELDS, _TYPO) and name not in declared_options():
            raise ValueError(f"GenerationConfig has no field {name!r}{closest(name, FIELDS, _TYPO)}")

    @property
    def unknown_keys(self) -> tuple[str, ...]:
        """Attributes that are neither documented fields nor options of installed plugins."""
        known = all_option_names() | {"transformers_version", "_from_model_config"} | _INTERNAL
        return tuple(name for name in vars(self) if name not in known and not name.startswith("_"))

    # ---- checks ---------------------------------------------------------------------------------------------------

    def validate(self, strict: bool = False) -> None:
        """Check the settings against each other.

        Raises: ValueError for what cannot work; with `strict` also for settings that would be ignored (else a warning).
        """
        ignored = check(self)
        if ignored and strict:
            raise ValueError("These generation settings have no effect: " + "; ".join(ignored) + ".")
        if ignored:
            logger.warning_once("These generation settings have no effect: " + "; ".join(ignored) + ".")

    def get_generation_mode(self, assistant_model: Any = None) -> GenerationMode:
        """The decoding strategy that these settings (and a draft model) choose."""
        return mode_of(self, assistant_model)

    # ---- changing -------------------------------------------------------------------------------------------------

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Set the attributes that exist or that a plugin declares; returns the other keyword arguments.

        Raises: ValueError for contradicting settings; the config then keeps its old values.
        """
        options = {**RARE_FIELDS, **declared_options()} if any(not hasattr(self, name) for name in kwargs) else {}
        before = dict(vars(self))
        unused = {}
        for name, value in kwargs.items():
            if hasattr(GenerationConfig, name) or name in _INTERNAL or not (hasattr(self, name) or name in options):
                unused[name] = value
            else:
                setattr(self, name, value)
        try:
            self._read_watermarking()
            self.validate()
        except (ValueError, TypeError):
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return unused

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GenerationConfig):
            return False
        return self.to_json_string(use_diff=False, ignore_metadata=True) == other.to_json_string(False, True)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string(ignore_metadata=True)}"

    # ---- loading --------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name: str | os.PathLike[str],
        config_file_name: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str | None = "main",
        **kwargs: Any,
    ) -> Any:
        """Read generation_config.json of a folder, a hub repository or an installed package.

        Keyword arguments that are settings replace its values; subfolder= says where to look. With
        return_unused_kwargs=True: (config, the keyword arguments that are no settings).
        Raises: CheckpointError (an OSError and a ValueError) if the file is missing or broken.
        """
        refuse_remote_code(kwargs)
        for name in ("_from_auto", "_from_pipeline"):
            kwargs.pop(name, None)
        given = {"cache_dir": cache_dir, "force_download": force_download, "local_files_only": local_files_only}
        given.update({"token": token, "revision": None if revision == "main" else revision})
        kwargs.update({name: value for name, value in given.items() if value})
        checkpoint = resolve(pretrained_model_name, **pop_source_options(kwargs))
        filename = str(config_file_name or GENERATION_CONFIG_NAME)
        data = checkpoint.read_json(filename)
        if data is None:
            from xf.checkpoint.errors import CheckpointError

            raise CheckpointError(f"{checkpoint.name} has no {filename}. {checkpoint.describe()}")
        return cls.from_dict({**data, "_commit_hash": checkpoint.revision}, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """From what a file holds, changed by keyword arguments; with return_unused_kwargs=True also those not used."""
        keep_unused = kwargs.pop("return_unused_kwargs", False)
        config = cls.__new__(cls)
        config._set({**config_dict, **kwargs}, from_file=True)
        config.validate()
        unused = {name: value for name, value in kwargs.items() if not hasattr(config, name)}
        return (config, unused) if keep_unused else config

    @classmethod
    def from_model_config(cls, model_config: Any) -> GenerationConfig:
        """From the generation settings and special tokens that a model's own config holds (older files)."""
        values = {name: value for name, value in model_config.to_dict().items() if name in FIELDS and value is not None}
        config = cls.from_dict({**values, "return_dict_in_generate": False, "_from_model_config": True})
        decoder = model_config.get_text_config(decoder=True)
        if decoder is not model_config:
            fresh, inner = cls.from_dict({}), decoder.to_dict()
            for name, default in vars(fresh).items():
                if name in FIELDS and inner.get(name) is not None and getattr(config, name) == default:
                    setattr(config, name, inner[name])
        config.return_dict_in_generate = any(
            getattr(config, name) for name in vars(config) if name.startswith("output_")
        )
        return config

    # ---- saving ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All settings, fit for JSON."""
        kept = {name: value for name, value in vars(self).items() if name not in _INTERNAL and name != "compile_config"}
        kept["transformers_version"] = FILE_GENERATION
        return {name: _plain(copy.deepcopy(value) if _is_data(value) else value) for name, value in kept.items()}

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from the defaults, with the generation of the file layout."""
        default = _FRESH
        return {
            name: value
            for name, value in self.to_dict().items()
            if name == "transformers_version" or name not in default or value != default[name]
        }

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """As JSON with sorted keys: what differs from the defaults, or everything; without metadata if asked."""
        data = self.to_diff_dict() if use_diff else self.to_dict()
        if ignore_metadata:
            data = {k: v for k, v in data.items() if k not in ("_from_model_config", "transformers_version")}
        return json.dumps(data, indent=2, sort_keys=True, default=str) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """`to_json_string` into a file, replaced as a whole."""
        write_atomic(json_file_path, self.to_json_string(use_diff))

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        config_file_name: str | os.PathLike[str] | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write generation_config.json into a folder, created if missing.

        Raises: ValueError if settings contradict each other or would be ignored, or if the folder is a file.
        """
        self.validate(strict=True)
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"save_pretrained needs a folder; {folder} is a file.")
        for name in ("max_shard_size", "safe_serialization"):  # push_to_hub gives these to everything that it saves
            kwargs.pop(name, None)
        with pushing(folder, push_to_hub, kwargs):
            if kwargs:
                raise ValueError(f"save_pretrained does not know {sorted(kwargs)}.")
            folder.mkdir(parents=True, exist_ok=True)
            self.to_json_file(folder / (config_file_name or GENERATION_CONFIG_NAME))


def _is_data(value: Any) -> bool:
    return isinstance(value, (list, tuple, dict))


def _plain(value: Any) -> Any:
    """Watermarking configs, dtypes, tensors and tuple keys as JSON has them."""
    if isinstance(value, dict):
        if any(isinstance(key, tuple) for key in value):  # sequence_bias: token sequences are no JSON keys
            return [[list(key), _plain(item)] for key, item in value.items()]
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value) if type(value) in (list, tuple) else list(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if type(value).__module__ == "torch" and type(value).__name__ == "dtype":
        return str(value).removeprefix("torch.")
    return value.tolist() if hasattr(value, "tolist") else value


_FRESH = GenerationConfig().to_dict()
