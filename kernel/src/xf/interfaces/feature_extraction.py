"""Feature extractors and image processors: settings in a JSON file, and padding of sequences of features."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from xf import logging
from xf.checkpoint import Checkpoint, resolve
from xf.checkpoint.atomic import write_atomic
from xf.checkpoint.source import parse_json_object
from xf.hub import PushToHubMixin, pushing, refuse_remote_code
from xf.utils.enums import PaddingStrategy, TensorType

from .batch_encoding import is_torch_tensor, to_array
from .batch_feature import BatchFeature
from .token_sequences import check_side, multiple

logger = logging.get_logger(__name__)
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
    def from_pretrained(
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
    def _read_dict(cls, name: str | os.PathLike[str] | Checkpoint, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
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

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any) -> list[str]:
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
        if isinstance(image_url_or_urls, (list, tuple)):
            return [self.fetch_images(item) for item in image_url_or_urls]
        from xf.plugins.registry import load_attribute

        return load_attribute("load_image")(image_url_or_urls)


def _plain(value: Any) -> Any:
    """Arrays as lists, at any depth."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class SequenceFeatureExtractor(FeatureExtractionMixin):
    """A feature extractor for sequences, such as speech.

    Args:
        feature_size: how many numbers each step has.
        sampling_rate: steps per second (hertz).
        padding_value: what padding is filled with.
        padding_side: "right" or "left".
        return_attention_mask: whether `pad` returns a mask by default.
    """

    model_input_names: list[str]

    def __init__(self, feature_size: int, sampling_rate: int, padding_value: float, **kwargs: Any) -> None:
        self.feature_size, self.sampling_rate, self.padding_value = feature_size, sampling_rate, padding_value
        self.padding_side: str = kwargs.pop("padding_side", "right")
        self.return_attention_mask: bool = kwargs.pop("return_attention_mask", True)
        super().__init__(**kwargs)

    def pad(
        self,
        processed_features: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
    ) -> BatchFeature:
        """Pad, and truncate if asked, sequences of features to one length.

        Args:
            processed_features: one item, a batch, or a list of items: the main input has shape [steps] or
                [steps, features] for each.
            padding: True or "longest" (of the batch), "max_length", False.
            max_length: in steps.
            truncation: cut what is longer than `max_length`.
            pad_to_multiple_of: round the length up.
            return_attention_mask: 1 for steps, 0 for padding (int32); by default the extractor's setting.
            return_tensors: "pt" or "np"; by default the kind that came in.

        Raises:
            ValueError: the main input is missing, or arguments that contradict each other.
        """
        features = processed_features
        if isinstance(features, (list, tuple)) and features and isinstance(features[0], Mapping):
            features = {key: [example[key] for example in features] for key in features[0]}
        main = self.model_input_names[0]
        if not isinstance(features, Mapping) or main not in features:
            got = list(features) if isinstance(features, Mapping) else type(features).__name__
            raise ValueError(f"features, or a list of them, that include {main} are needed to pad, not {got}")
        if return_attention_mask is None:
            return_attention_mask = self.return_attention_mask
        required = features[main]
        if len(required) == 0:
            return BatchFeature({**features, "attention_mask": []} if return_attention_mask else features)
        if return_tensors is None:
            inner = required
            while isinstance(inner, (list, tuple)) and len(inner):
                inner = inner[0]
            return_tensors = "pt" if is_torch_tensor(inner) else "np"
        strategy = self._get_padding_strategies(padding, max_length)
        side = check_side(self.padding_side)
        if truncation and max_length is None:
            raise ValueError("truncation=True needs max_length")

        batch = {key: list(value) for key, value in features.items()}
        size = len(required)
        for key, value in batch.items():
            if len(value) != size:
                raise ValueError(f"{key} has {len(value)} rows, but {main} has {size}")
        items = []
        for i in range(size):
            item = {key: to_array(value[i]) for key, value in batch.items()}
            if truncation:
                assert max_length is not None
                limit = multiple(max_length, pad_to_multiple_of)
                for key in (main, "attention_mask"):
                    if key in item and len(item[main if key == main else key]) > limit:
                        item[key] = item[key][:limit]
            items.append(item)
        if strategy is PaddingStrategy.LONGEST:
            max_length, strategy = max(len(item[main]) for item in items), PaddingStrategy.MAX_LENGTH
        outputs: dict[str, list[Any]] = {}
        for item in items:
            for key, value in self._pad(
                item, max_length, strategy, pad_to_multiple_of, return_attention_mask, side
            ).items():
                outputs.setdefault(key, []).append(value.astype(np.float32) if value.dtype == np.float64 else value)
        return BatchFeature(outputs, tensor_type=return_tensors)

    def _pad(
        self,
        item: dict[str, np.ndarray],
        max_length: int | None,
        strategy: PaddingStrategy,
        pad_to_multiple_of: int | None,
        return_attention_mask: bool,
        side: str,
    ) -> dict[str, np.ndarray]:
        main = self.model_input_names[0]
        steps = len(item[main])
        if return_attention_mask and "attention_mask" not in item:
            item["attention_mask"] = np.ones(steps, dtype=np.int32)
        if strategy is PaddingStrategy.DO_NOT_PAD or max_length is None:
            return item
        missing = multiple(max_length, pad_to_multiple_of) - steps
        if missing > 0:
            width = (0, missing) if side == "right" else (missing, 0)
            if return_attention_mask:
                item["attention_mask"] = np.pad(item["attention_mask"], width)
            shape = (width, (0, 0)) if self.feature_size > 1 else width
            item[main] = np.pad(item[main], shape, "constant", constant_values=self.padding_value)
        return item

    def _get_padding_strategies(
        self, padding: bool | str | PaddingStrategy = False, max_length: int | None = None
    ) -> PaddingStrategy:
        if padding is True:
            strategy = PaddingStrategy.LONGEST
        else:
            strategy = PaddingStrategy(padding) if padding else PaddingStrategy.DO_NOT_PAD
        if strategy is PaddingStrategy.MAX_LENGTH and max_length is None:
            raise ValueError("padding='max_length' needs max_length")
        if strategy is not PaddingStrategy.DO_NOT_PAD and self.padding_value is None:
            raise ValueError("padding needs a padding_value: set it, for example `feature_extractor.padding_value = 0.0`")
        return strategy
