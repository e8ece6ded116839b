"""PretrainedConfig: what a model is built from, as data (spec: main_classes/configuration.md).

A config is data and nothing else: no key of a file imports, downloads or chooses code. Two ways to write one::

    class BertConfig(PretrainedConfig):          # declared: annotated class attributes are the fields
        model_type = "bert"
        vocab_size: int = 30522
        def __post_init__(self) -> None: ...     # optional: derived fields, checks

    class OldConfig(PretrainedConfig):           # classic
        model_type = "old"
        def __init__(self, vocab_size=30522, **kwargs):
            self.vocab_size = vocab_size
            super().__init__(**kwargs)

What is done with the keys of a file:

* fields of the class and of every model (`_COMMON`, `_GENERATION`) are set; their types and sizes are checked;
* other keys become attributes and are named in `config.unknown_keys`;
* keys that could act are never set but named in `config.ignored_keys`: private and dunder names the class does not
  declare (``_attn_implementation_internal``), names of methods, properties and class attributes, ``auto_map``,
  ``trust_remote_code``, ``attn_implementation``. The last is a choice of the user, not of a file.
* the newer spellings ``dtype`` and ``rope_parameters`` become ``torch_dtype``, ``rope_theta`` and ``rope_scaling``.

This module does not import torch: a dtype is kept as text until somebody asks for it.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .. import logging
from ..checkpoint.atomic import write_atomic
from ..checkpoint.source import parse_json_object, pop_source_options, resolve
from ..hub import PushToHubMixin, pushing, refuse_remote_code
from .config_check import check_value, expected_types

if TYPE_CHECKING:
    import torch

    from ..checkpoint.source import Checkpoint

__all__ = ["PretrainedConfig"]

logger = logging.get_logger(__name__)
Self = TypeVar("Self", bound="PretrainedConfig")

CONFIG_NAME = "config.json"
#: the generation of the published file layout that xf writes; readers of the field look at this key
FILE_GENERATION = "4.55.4"

#: what every config has, with its default
_COMMON: dict[str, Any] = {
    "return_dict": True, "output_hidden_states": False, "output_attentions": False, "torchscript": False,
    "torch_dtype": None, "pruned_heads": {}, "tie_word_embeddings": True, "chunk_size_feed_forward": 0,
    "is_encoder_decoder": False, "is_decoder": False, "cross_attention_hidden_size": None, "add_cross_attention": False,
    "tie_encoder_decoder": False, "architectures": None, "finetuning_task": None, "id2label": None, "label2id": None,
    "task_specific_params": None, "problem_type": None, "tokenizer_class": None, "prefix": None, "bos_token_id": None,
    "pad_token_id": None, "eos_token_id": None, "sep_token_id": None, "decoder_start_token_id": None,
    "tf_legacy_loss": False, "use_bfloat16": False,
}  # fmt: skip
#: generation settings that model configs of older files hold; a GenerationConfig takes them over
_GENERATION: dict[str, Any] = {
    "max_length": 20, "min_length": 0, "do_sample": False, "early_stopping": False, "num_beams": 1,
    "num_beam_groups": 1, "diversity_penalty": 0.0, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0,
    "repetition_penalty": 1.0, "length_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None, "num_return_sequences": 1, "output_scores": False, "return_dict_in_generate": False,
    "forced_bos_token_id": None, "forced_eos_token_id": None, "remove_invalid_values": False,
    "exponential_decay_length_penalty": None, "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
_PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
_SPELLINGS = frozenset("dtype rope_parameters num_labels name_or_path _name_or_path quantization_config".split())
_DROPPED = frozenset({"model_type", "transformers_version", "_commit_hash"})  # read, but not kept as attributes
_NEVER_FROM_FILE = frozenset("auto_map trust_remote_code code_revision custom_pipelines attn_implementation".split())
#: bookkeeping of an instance: never written, never compared
_INTERNAL = frozenset(
    {"_attn_implementation_internal", "_attn_explicit", "_commit_hash", "_unknown_keys", "_ignored_keys"}
)
_DTYPES = frozenset(
    "float16 float32 float64 bfloat16 half float double float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu float4_e2m1fn_x2 complex32 complex64 complex128 int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "bool".split()
)
_ROPE_NAMES = {
    "rope_theta": "rope_theta",
    "partial_rotary_factor": "partial_rotary_factor",
    "full_attention.rope_theta": "rope_theta",
    "sliding_attention.rope_theta": "rope_local_base_freq",
}


class PretrainedConfig(PushToHubMixin):
    """Base of all configs. Keyword arguments are the fields of the class and of every model; see the module.

    Class attributes: `model_type` (the registry key), `sub_configs` {field: config class or AutoConfig} (dicts in those
    fields become config objects, None the default), `attribute_map` {common name: name in this family},
    `base_config_key` (where this config lies in the files of a composite model), `rope_names` {name in 5.x
    rope_parameters, dotted for a layer type: field}, `has_no_defaults_at_init` (a composite that needs its parts).

    Raises: ValueError for a value whose type or size cannot work, naming key and value; TypeError for too many or
    doubled positional arguments.
    """

    model_type: ClassVar[str] = ""
    base_config_key: ClassVar[str] = ""
    sub_configs: ClassVar[dict[str, Any]] = {}
    attribute_map: ClassVar[dict[str, str]] = {}
    rope_names: ClassVar[dict[str, str]] = {}
    has_no_defaults_at_init: ClassVar[bool] = False
    keys_to_ignore_at_inference: ClassVar[list[str]] = []
    _auto_class: ClassVar[str | None] = None
    _fields: ClassVar[dict[str, Any]] = {}

    if TYPE_CHECKING:  # set for every config; the rest of _COMMON and _GENERATION likewise
        id2label: Any
        label2id: Any
        pruned_heads: Any
        problem_type: str | None
        return_dict: bool
        torchscript: bool

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = {
            name: cls.__dict__[name]
            for name, annotation in cls.__dict__.get("__annotations__", {}).items()
            if name in cls.__dict__ and "ClassVar" not in str(annotation)
        }
        cls._fields = {**cls._fields, **declared}
        for alias, target in cls.attribute_map.items():
            assert alias not in cls._fields, f"{cls.__name__}: {alias} is both a field and an alias of {target}"
            setattr(cls, alias, _alias(target))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        cls: Any = type(self)
        if len(args) > len(cls._fields):
            raise TypeError(f"{cls.__name__} takes {len(cls._fields)} positional arguments; {len(args)} were given")
        positional = dict(zip(cls._fields, args, strict=False))
        if doubled := positional.keys() & kwargs.keys():
            raise TypeError(f"{cls.__name__} got several values for {sorted(doubled)}")
        values = _current_spelling(cls, {**positional, **kwargs})
        name_or_path = values.pop("name_or_path", "")
        self.name_or_path = str(values.pop("_name_or_path", name_or_path) or name_or_path)
        self._attn_implementation_internal: str | None = None
        self._commit_hash: str | None = values.pop("_commit_hash", None)
        self._unknown_keys: tuple[str, ...] = ()
        self._ignored_keys: tuple[str, ...] = ()
        attention = values.pop("attn_implementation", None)
        if cls.model_type:
            values.pop("model_type", None)
        values.pop("transformers_version", None)
        num_labels = values.pop("num_labels", None)
        types = expected_types(cls)
        for name, default in {**_COMMON, **_GENERATION, **cls._fields}.items():
            value = values.pop(name) if name in values else copy.deepcopy(default)
            setattr(self, name, check_value(cls, name, value, types) if name in cls._fields else value)
        self._set_labels(num_labels)
        self.pruned_heads = {int(layer): heads for layer, heads in (self.pruned_heads or {}).items()}
        if self.problem_type is not None and self.problem_type not in _PROBLEM_TYPES:
            raise ValueError(f"problem_type is {self.problem_type!r}; it can be one of {_PROBLEM_TYPES}")
        self._set_unknown(values)
        self._build_sub_configs()
        if attention is not None:
            self._attn_implementation = attention
        self.__post_init__()

    def __post_init__(self) -> None:
        """Hook of declared configs: derived fields and checks, after all fields are set."""

    def _set_labels(self, num_labels: Any) -> None:
        if self.label2id is not None and not isinstance(self.label2id, dict):
            raise ValueError(f"label2id must be a dict, not {self.label2id!r}")
        if self.id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
            return
        try:
            self.id2label = {int(key): value for key, value in self.id2label.items()}
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"id2label must map integers to labels, not {self.id2label!r}") from None
        if num_labels is not None and len(self.id2label) != num_labels:
            logger.warning(f"num_labels={num_labels} is ignored: id2label has {len(self.id2label)} labels")

    def _set_unknown(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name.startswith("__") or name in _INTERNAL or _reserved(type(self), name):
                raise ValueError(f"{name!r} cannot be a key of {type(self).__name__}: it names something it does")
            setattr(self, name, value)
        known = _constructor_names(type(self)) | _SPELLINGS | {"model_type"}
        self._unknown_keys = tuple(name for name in values if name not in known)

    def _build_sub_configs(self) -> None:
        """Dicts under `sub_configs` become objects; in declared configs None becomes the default."""
        for key, config_class in self.sub_configs.items():
            value = getattr(self, key, None)
            if isinstance(value, dict):
                try:
                    setattr(self, key, _sub_config(config_class, value))
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
            elif value is None and key in self._fields and issubclass(config_class, PretrainedConfig):
                setattr(self, key, config_class())

    # ---- properties -----------------------------------------------------------------------------------------------

    @property
    def unknown_keys(self) -> tuple[str, ...]:
        """Keys that no field stands for; they are attributes all the same, and saved."""
        return self._unknown_keys

    @property
    def ignored_keys(self) -> tuple[str, ...]:
        """Keys of the file that were not set because they could act; dotted for those of a sub-config."""
        return self._ignored_keys

    @property
    def name_or_path(self) -> str:
        """What the config was loaded from."""
        return str(self.__dict__.get("_name_or_path", ""))

    @name_or_path.setter
    def name_or_path(self, value: Any) -> None:
        self.__dict__["_name_or_path"] = str(value)

    @property
    def use_return_dict(self) -> bool:
        """Whether models return a ModelOutput rather than a tuple."""
        return bool(self.return_dict) and not self.torchscript

    @property
    def num_labels(self) -> int:
        """The number of labels; setting another number makes new maps LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"num_labels must be an integer of at least 0, not {value!r}")
        if self.id2label is None or len(self.id2label) != value:
            self.id2label = {i: f"LABEL_{i}" for i in range(value)}
            self.label2id = {label: i for i, label in self.id2label.items()}

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The dtype of the published weights, None where it is not said. Set as a torch.dtype or its name."""
        value = self.__dict__.get("torch_dtype")
        if isinstance(value, str):
            import torch

            value = self.__dict__["torch_dtype"] = getattr(torch, value)
        return value

    @torch_dtype.setter
    def torch_dtype(self, value: torch.dtype | str | None) -> None:
        if isinstance(value, str):
            value = value.removeprefix("torch.")
            if value not in _DTYPES:
                raise ValueError(f"torch_dtype is {value!r}, which names no dtype; use one of {sorted(_DTYPES)}")
        self.__dict__["torch_dtype"] = value

    @property
    def dtype(self) -> torch.dtype | None:
        """The newer spelling of `torch_dtype`."""
        return self.torch_dtype

    @dtype.setter
    def dtype(self, value: torch.dtype | str | None) -> None:
        self.torch_dtype = value

    @property
    def _attn_implementation(self) -> str | None:
        return self._attn_implementation_internal

    @_attn_implementation.setter
    def _attn_implementation(self, value: str | dict[str, str] | None) -> None:
        """Set by name, for the sub-configs too; or by {sub-config key, "" for this one: name}."""
        own = value.get("", self._attn_implementation) if isinstance(value, dict) else value
        self._attn_implementation_internal, self._attn_explicit = own, True
        for key in self.sub_configs:
            sub = getattr(self, key, None)
            if isinstance(sub, PretrainedConfig) and (not isinstance(value, dict) or key in value):
                sub._attn_implementation = value[key] if isinstance(value, dict) else value

    def get_text_config(self, decoder: bool = False, encoder: bool = False) -> PretrainedConfig:
        """The config of the text part: the only one there is, that of the decoder or of the encoder, else itself.

        Raises: ValueError if several fit.
        """
        decoders, encoders = ("decoder", "generator", "text_config"), ("text_encoder",)
        names = decoders if decoder else ((*encoders, "text_config") if encoder else (*encoders, *decoders))
        found = [name for name in names if isinstance(getattr(self, name, None), PretrainedConfig)]
        if len(found) > 1:
            raise ValueError(f"{type(self).__name__} has several text configs, {found}: ask for one by its name")
        text: PretrainedConfig = getattr(self, found[0]) if found else self
        return text

    # ---- loading --------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls: type[Self], pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Read config.json of a folder, a hub repository, a package://..., or the JSON file itself.

        Keyword arguments replace its values; cache_dir, force_download, local_files_only, token, revision, subfolder
        say where and how to look. With return_unused_kwargs=True: (config, the keyword arguments that are no fields).
        Raises: CheckpointError (an OSError and a ValueError) if there is no such config or it is broken.
        """
        data, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        kept = kwargs.pop("return_unused_kwargs", False)
        part = data.get(cls.base_config_key) if cls.base_config_key else None
        if not isinstance(part, dict):
            nested = (value for value in data.values() if isinstance(value, dict))
            part = next((value for value in nested if value.get("model_type") == cls.model_type), None)
        if part is not None and cls.model_type and data.get("model_type") != cls.model_type:
            data = {**part, "_commit_hash": data.get("_commit_hash")}
        if cls.model_type and data.get("model_type", cls.model_type) != cls.model_type:
            logger.warning(
                f"{pretrained_model_name_or_path} holds a model of type {data['model_type']!r}, read as "
                f"{cls.model_type!r} because {cls.__name__} was asked for: what they do not share keeps its default"
            )
        try:
            config, unused = cls.from_dict(data, return_unused_kwargs=True, **kwargs)
        except ValueError as error:
            raise ValueError(f"{CONFIG_NAME} of {pretrained_model_name_or_path}: {error}") from error
        return (config, unused) if kept else config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """(what the config file holds, the keyword arguments that do not say where it is)."""
        refuse_remote_code(kwargs)
        for name in ("_from_auto", "_from_pipeline"):
            kwargs.pop(name, None)
        options = pop_source_options(kwargs)
        filename = kwargs.pop("_configuration_file", CONFIG_NAME)
        checkpoint = resolve(pretrained_model_name_or_path, **options)
        return {**_read_config(checkpoint, filename, kwargs), "_commit_hash": checkpoint.revision}, kwargs

    @classmethod
    def from_dict(cls: type[Self], config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """From what a file holds; keyword arguments that are fields replace its values, others are not kept."""
        kept = kwargs.pop("return_unused_kwargs", False)
        data, ignored = _harmless(cls, config_dict)
        attention = kwargs.pop("attn_implementation", None)
        labels = kwargs.get("num_labels")
        if labels is not None and "id2label" in kwargs and len(kwargs["id2label"] or ()) != labels:
            raise ValueError(f"num_labels={labels} contradicts id2label={kwargs['id2label']}: leave one of them out")
        config = cls(**data) if attention is None else cls(**data, attn_implementation=attention)
        config._ignored_keys = tuple(ignored)
        unused = {}
        for key, given in kwargs.items():
            current = _current_spelling(cls, {key: given})
            settable = {k: v for k, v in current.items() if _settable(config, k)}
            for name, value in settable.items():
                config._replace(name, value)
            # a dtype stays unused too: it is also how the caller says in which dtype to load the model
            if settable.keys() != current.keys() or key in ("torch_dtype", "dtype"):
                unused[key] = given
        return (config, unused) if kept else config

    @classmethod
    def from_json_file(cls: type[Self], json_file: str | os.PathLike[str]) -> Self:
        """From one JSON file."""
        path = Path(json_file)
        config: Self = cls.from_dict(parse_json_object(path.read_text("utf-8"), str(path)))
        return config

    @classmethod
    def from_text_vision_configs(cls: type[Self], text_config: Any, vision_config: Any, **kwargs: Any) -> Self:
        """From the configs of the two parts."""
        return cls(text_config=text_config.to_dict(), vision_config=vision_config.to_dict(), **kwargs)

    @classmethod
    def from_text_audio_configs(cls: type[Self], text_config: Any, audio_config: Any, **kwargs: Any) -> Self:
        """From the configs of the two parts."""
        return cls(text_config=text_config.to_dict(), audio_config=audio_config.to_dict(), **kwargs)

    def _replace(self, name: str, value: Any) -> None:
        """Set a field to what a caller of from_dict gave: a dict for a sub-config makes a new one of its class."""
        current = getattr(self, name)
        if isinstance(current, PretrainedConfig) and isinstance(value, dict):
            value = type(current)(**value)
        cls: Any = type(self)
        setattr(self, name, check_value(cls, name, value, expected_types(cls)))

    # ---- saving ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All fields, fit for JSON, with model_type and transformers_version (the generation of the layout)."""
        output = {key: _plain(copy.deepcopy(value)) for key, value in vars(self).items() if key not in _INTERNAL}
        return {**output, "model_type": self.model_type, "transformers_version": FILE_GENERATION}

    def to_diff_dict(self) -> dict[str, Any]:
        """What a file needs: everything that is not the default of every config, and what is not that of the class."""
        return _difference(self, top=True)

    def to_json_string(self, use_diff: bool = True) -> str:
        """As JSON text with sorted keys; all fields, or (use_diff) what a file needs."""
        data = _sortable(self.to_diff_dict() if use_diff else self.to_dict())
        return json.dumps(data, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """`to_json_string` into a file, replaced as a whole."""
        write_atomic(json_file_path, self.to_json_string(use_diff))

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write config.json into a folder, created if missing; push_to_hub=True uploads it (repo_id=...).

        Raises: ValueError if the folder is a file.
        """
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"save_pretrained needs a folder; {folder} is a file")
        if changed := self._get_non_default_generation_parameters():
            logger.warning(f"{changed} are settings of generation; they belong into a GenerationConfig")
        with pushing(folder, push_to_hub, kwargs):
            self.to_json_file(folder / CONFIG_NAME)

    def _get_non_default_generation_parameters(self) -> dict[str, Any]:
        default = {} if self.has_no_defaults_at_init else vars(type(self)())
        pairs = {name: getattr(self, name, value) for name, value in _GENERATION.items()}
        return {k: v for k, v in pairs.items() if v is not None and v != _GENERATION[k] and v != default.get(k)}

    # ---- changing and comparing -----------------------------------------------------------------------------------

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set attributes from a mapping."""
        for key, value in config_dict.items():
            setattr(self, key, value)

    def update_from_string(self, update_str: str) -> None:
        """Set attributes from text such as "n_embd=10,resid_pdrop=0.2,scale_attn_weights=false,summary_type=cls_index".

        Raises: ValueError for a key that is not there or a value that cannot be read; TypeError for a field that is
        neither a bool, an int, a float nor a string.
        """
        for pair in update_str.split(","):
            key, equals, text = pair.partition("=")
            if not equals or not _settable(self, key):
                raise ValueError(f"{pair!r}: {type(self).__name__} has no key {key!r}")
            setattr(self, key, _parse_like(getattr(self, key), text, key))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _compared(self) == _compared(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __iter__(self) -> Iterator[str]:
        return iter(key for key in vars(self) if key not in _INTERNAL)

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoConfig") -> None:
        """Name the auto class of a custom config. Only the name is kept: files that xf writes point to no code."""
        cls._auto_class = auto_class if isinstance(auto_class, str) else auto_class.__name__


def _alias(target: str) -> property:
    return property(lambda self: getattr(self, target), lambda self, value: setattr(self, target, value))


def _compared(config: Any) -> dict[str, Any]:
    config.torch_dtype  # noqa: B018  (turns the name into the dtype, so that both spellings compare equal)
    return {key: value for key, value in vars(config).items() if key not in _INTERNAL}


def _constructor_names(cls: type[PretrainedConfig]) -> set[str]:
    """Fields, common names, and the parameters of classic constructors."""
    names = {*cls._fields, *_COMMON, *_GENERATION, *cls.attribute_map, *cls.sub_configs}
    for base in cls.__mro__:
        if base is not PretrainedConfig and "__init__" in base.__dict__ and issubclass(base, PretrainedConfig):
            names.update(inspect.signature(base.__init__).parameters)
    return names - {"self", "args", "kwargs"}


def _reserved(cls: type[PretrainedConfig], name: str) -> bool:
    """Whether the class has something of that name that is no field: a method, a property, a declaration."""
    if name in cls._fields or name in _COMMON or name in _SPELLINGS or name in cls.attribute_map:
        return False
    return name != "model_type" and hasattr(cls, name)


def _settable(config: PretrainedConfig, name: str) -> bool:
    found = getattr(type(config), name, None)
    writable = isinstance(found, property) and found.fset is not None and not name.startswith("_")
    return name not in _INTERNAL and (writable or not _reserved(type(config), name)) and hasattr(config, name)


def _harmless(cls: type[PretrainedConfig], data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(the keys that may be set, those that may not), for the sub-configs too."""
    known = _constructor_names(cls) | _SPELLINGS | _DROPPED
    kept: dict[str, Any] = {}
    ignored: list[str] = []
    for key, value in data.items():
        if key in _NEVER_FROM_FILE or (key not in known and (key.startswith("_") or _reserved(cls, key))):
            ignored.append(key)
            continue
        sub = cls.sub_configs.get(key)
        if sub is not None and isinstance(value, dict):
            base = sub if issubclass(sub, PretrainedConfig) else PretrainedConfig
            value, inner = _harmless(base, value)
            ignored += [f"{key}.{name}" for name in inner]
        kept[key] = value
    acting = [key for key in ignored if not key.rpartition(".")[2].startswith("_")]
    if acting:
        logger.warning(f"keys of the config that were ignored, because a config may not choose code: {acting}")
    return kept, ignored


def _current_spelling(cls: type[PretrainedConfig], values: dict[str, Any]) -> dict[str, Any]:
    """The names of newer files and of `attribute_map` turned into the fields of this class."""
    aliased = {cls.attribute_map[key]: values[key] for key in cls.attribute_map if key in values}
    values = {**{key: value for key, value in values.items() if key not in cls.attribute_map}, **aliased}
    if "dtype" in values and "dtype" not in cls._fields:
        dtype = values.pop("dtype")
        values["torch_dtype"] = values.get("torch_dtype") if dtype is None else dtype
    rope = values.get("rope_parameters")
    if "rope_parameters" in values and "rope_parameters" not in cls._fields:
        del values["rope_parameters"]
        if rope is not None and not isinstance(rope, dict):
            raise ValueError(f"rope_parameters must be an object, not {rope!r}")
        values.update(_flat_rope(cls, rope or {}))
    return values


def _flat_rope(cls: type[PretrainedConfig], rope: dict[str, Any]) -> dict[str, Any]:
    """5.x rope_parameters, flat or {layer type: {...}}, as rope_theta, partial_rotary_factor, rope_scaling."""
    names = {**_ROPE_NAMES, **cls.rope_names}
    by_layer = {f"{kind}.": value for kind, value in rope.items() if isinstance(value, dict)} or {"": rope}
    flat: dict[str, Any] = {}
    for prefix, parameters in by_layer.items():
        rest = dict(parameters)
        for name in ("rope_theta", "partial_rotary_factor"):
            field = names.get(prefix + name)
            if name in rest and field is not None:
                flat[field] = rest.pop(name)
        scaled = rest.get("rope_type", rest.get("type", "default")) != "default"
        if prefix in ("", "full_attention.") or scaled:
            flat[names.get(f"{prefix}rope_scaling", "rope_scaling")] = rest if scaled else None
    return flat


def _sub_config(config_class: Any, data: dict[str, Any]) -> PretrainedConfig:
    """The config object of a part: of `config_class`, or (AutoConfig) of the model type that the dict names."""
    if issubclass(config_class, PretrainedConfig):
        part: PretrainedConfig = config_class(**_harmless(config_class, data)[0])
        return part
    found: PretrainedConfig = config_class.for_model(**data)
    return found


def _read_config(checkpoint: Checkpoint, filename: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What the config file holds; without one, what a format that carries a configuration (GGUF) says."""
    from ..checkpoint.errors import CheckpointError
    from ..checkpoint.formats import find_plugin_format

    asked = {key: value for key, value in kwargs.items() if key.endswith("_file") and value}
    for key in asked:
        del kwargs[key]
    if checkpoint.file is not None and checkpoint.file.endswith(".json"):
        filename = checkpoint.file
    data = None if asked else checkpoint.read_json(filename)
    if data is not None:
        return data
    found = find_plugin_format(checkpoint, asked)
    read: Any = getattr(found[1], "config", None) if found else None
    if found is None or read is None:
        raise CheckpointError(f"{checkpoint.name} has no {filename}. {checkpoint.describe()}")
    config: dict[str, Any] = read(found[1].open(checkpoint.require(found[2])))
    return config


def _plain(value: Any) -> Any:
    """Configs and dtypes inside a value as JSON has them."""
    if isinstance(value, PretrainedConfig):
        return {key: item for key, item in value.to_dict().items() if key != "transformers_version"}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value) if type(value) in (list, tuple) else value
    if type(value).__name__ == "dtype" and type(value).__module__ == "torch":
        return str(value).removeprefix("torch.")
    return value.to_dict() if hasattr(value, "to_dict") and hasattr(value, "quant_method") else value


def _difference(config: PretrainedConfig, top: bool) -> dict[str, Any]:
    """The keys of `config` that are not the default of every config, and those that are not the default of its class.

    A part of a composite config keeps less: what differs from the default of its class. A part of a part is whole.
    """
    data, common = config.to_dict(), PretrainedConfig().to_dict()
    own = {} if config.has_no_defaults_at_init else type(config)().to_dict()
    kept: dict[str, Any] = {}
    for key, value in data.items():
        sub = vars(config).get(key)
        if isinstance(sub, PretrainedConfig):
            kept[key] = _difference(sub, top=False) if top else value
        elif key in ("model_type", "transformers_version") or (key == "_name_or_path" and top):
            continue
        elif key not in common or (value != own.get(key, common[key]) or (top and value != common[key])):
            kept[key] = value
    if config.model_type:
        kept["model_type"] = config.model_type
    return {**kept, "transformers_version": FILE_GENERATION} if top else kept


def _sortable(value: Any) -> Any:
    """Dict keys that can be sorted: where kinds are mixed, all become text."""
    if isinstance(value, dict):
        mixed = len({type(key) for key in value}) > 1
        return {str(key) if mixed else key: _sortable(item) for key, item in value.items()}
    return [_sortable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _parse_like(old: Any, text: str, key: str) -> bool | int | float | str:
    if isinstance(old, bool):
        if text.lower() in ("true", "1", "y", "yes"):
            return True
        if text.lower() in ("false", "0", "n", "no"):
            return False
        raise ValueError(f"{key} is a truth value; {text!r} is neither true nor false")
    if not isinstance(old, (int, float, str)):
        raise TypeError(f"{key} is a {type(old).__name__}: only bool, int, float and str can be set from text")
    return type(old)(text)
