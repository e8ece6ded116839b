"""Feature extractors and image processors: objects whose settings a JSON file holds."""

from __future__ import annotations

import copy
import importlib
import json
import os
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from xf.checkpoint import Checkpoint, resolve
from xf.checkpoint.atomic import write_atomic
from xf.checkpoint.source import parse_json_object
from xf.hub import PushToHubMixin, pushing, refuse_remote_code

T = TypeVar("T", bound="PreprocessorMixin")

FEATURE_EXTRACTOR_NAME = IMAGE_PROCESSOR_NAME = "preprocessor_config.json"
VIDEO_PROCESSOR_NAME = "video_preprocessor_config.json"
PROCESSOR_NAME = "processor_config.json"
#: Arguments of from_pretrained that say where the files are.
SOURCE_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


def open_checkpoint(name: str | os.PathLike[str] | Checkpoint, kwargs: dict[str, Any]) -> Checkpoint:
    """The checkpoint that the arguments of a from_pretrained mean; they are taken out of `kwargs`."""
    refuse_remote_code(kwargs)
    for key in ("_from_auto", "_commit_hash", "_from_pipeline", "resume_download", "proxies", "use_auth_token"):
        kwargs.pop(key, None)
    source = {key: kwargs.pop(key) for key in SOURCE_ARGUMENTS if key in kwargs}
    if source.get("revision") == "main":
        source["revision"] = None
    return resolve(name, **{key: value for key, value in source.items() if value is not None})


class PreprocessorMixin(PushToHubMixin):
    """An object whose attributes are its settings, which a JSON file holds.

    A subclass names the file (`config_names`, the first is written), the key that holds its class (`type_key`) and its
    key in a processor_config.json (`processor_key`).
    """

    config_names: ClassVar[tuple[str, ...]] = (FEATURE_EXTRACTOR_NAME,)
    type_key: ClassVar[str] = "feature_extractor_type"
    processor_key: ClassVar[str] = "feature_extractor"
    _auto_class: str | None = None
    _processor_class: str | None = None

    def __init__(self, **kwargs: Any) -> None:
        """Set each argument as an attribute."""
        self._processor_class = kwargs.pop("processor_class", None)
        kwargs.pop(self.type_key, None)
        for key, value in kwargs.items():
            setattr(self, key, value)

    @classmethod
    def from_pretrained(  # fmt: skip
        cls: type[T],
        pretrained_model_name_or_path: str | os.PathLike[str] | Checkpoint,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        **kwargs: Any,
    ) -> Any:
        """Load the settings from a folder, the hub, or whatever an installed plugin serves.

        Args:
            pretrained_model_name_or_path: the checkpoint, or the path of a JSON file.
            cache_dir: where downloads are kept.
            force_download: download again.
            local_files_only: open no connection.
            token: for the hub.
            revision: branch, tag or commit.
            kwargs: `subfolder`; `return_unused_kwargs=True` returns (object, arguments that are no settings); all
                others override the settings of the file.

        Raises:
            ValueError: no settings there, or a broken file.
        """
        kwargs.update(cache_dir=cache_dir, force_download=force_download, local_files_only=local_files_only,
                      token=token, revision=revision)  # fmt: skip
        settings, kwargs = cls._read_dict(pretrained_model_name_or_path, **kwargs)
        return cls.from_dict(settings, **kwargs)

    @classmethod
    def _read_dict(
        cls, name: str | os.PathLike[str] | Checkpoint, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings that a checkpoint holds, and the arguments that do not say where it is."""
        checkpoint = open_checkpoint(name, kwargs)
        names = [checkpoint.file] if checkpoint.file is not None else list(cls.config_names)
        own: str | None = kwargs.pop(f"{cls.processor_key}_filename", None)
        for file in [own] if own else names:
            found = checkpoint.read_json(file)
            if found is not None:
                return found, kwargs
        nested = (checkpoint.read_json(PROCESSOR_NAME) or {}).get(cls.processor_key)
        if isinstance(nested, dict):  # files written since 5.0 keep all parts of a processor together
            return nested, kwargs
        raise ValueError(f"{checkpoint.name} has no {names[0]}, which {cls.__name__} needs. {checkpoint.describe()}")

    @classmethod
    def from_dict(cls: type[T], config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make the object from settings; `kwargs` override them."""
        settings = copy.deepcopy(config_dict)
        return_unused = kwargs.pop("return_unused_kwargs", False)
        for key in ("size", "crop_size"):  # classes read shorter forms of these in their __init__
            if key in kwargs and key in settings:
                settings[key] = kwargs.pop(key)
        made = cls(**settings)
        unused = {}
        for key, value in kwargs.items():
            if hasattr(made, key):
                setattr(made, key, value)
            else:
                unused[key] = value
        return (made, unused) if return_unused else made

    @classmethod
    def from_json_file(cls: type[T], json_file: str | os.PathLike[str]) -> Any:
        """Make the object from the settings in a JSON file."""
        return cls(**parse_json_object(Path(json_file).read_text("utf-8"), str(json_file)))

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
        """Write the settings into a folder (made if it is missing), so that `from_pretrained` finds them."""
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; save_pretrained needs a folder")
        with pushing(folder, push_to_hub, kwargs):
            path = folder / self.config_names[0]
            self.to_json_file(path)
        return [str(path)]

    def to_dict(self) -> dict[str, Any]:
        """The settings."""
        return {**copy.deepcopy(self.__dict__), self.type_key: type(self).__name__}

    def to_json_string(self) -> str:
        """The settings as JSON, keys sorted."""
        settings = _plain(self.to_dict())
        processor_class = settings.pop("_processor_class", None)
        if processor_class is not None:
            settings["processor_class"] = processor_class
        return json.dumps(settings, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """Write the settings to a JSON file."""
        write_atomic(json_file_path, self.to_json_string())

    def _set_processor_class(self, processor_class: str) -> None:
        self._processor_class = processor_class

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoFeatureExtractor") -> None:
        """Name the auto class that a saved object is to be loaded with."""
        cls._auto_class = auto_class

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


class FeatureExtractionMixin(PreprocessorMixin):
    """A feature extractor: settings in preprocessor_config.json."""

    @classmethod
    def get_feature_extractor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings that a checkpoint holds, and the arguments that do not say where it is."""
        return cls._read_dict(pretrained_model_name_or_path, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The settings, without the filter bank and the window, which follow from them."""
        return {key: value for key, value in super().to_dict().items() if key not in ("mel_filters", "window")}


class ImageProcessingMixin(PreprocessorMixin):
    """An image processor: settings in preprocessor_config.json."""

    type_key = "image_processor_type"
    processor_key = "image_processor"

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings that a checkpoint holds, and the arguments that do not say where it is."""
        return cls._read_dict(pretrained_model_name_or_path, **kwargs)

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """The image of an address, or the images of (nested) lists of addresses."""
        return importlib.import_module("xf.image_utils").load_images(image_url_or_urls)  # of xf-vision


def _plain(value: Any) -> Any:
    """Arrays as lists, at any depth."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
