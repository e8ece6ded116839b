"""Processors: the tokenizer, image processor, feature extractor ... of one model as one object."""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xf import logging
from xf.checkpoint import Checkpoint
from xf.checkpoint.atomic import write_atomic
from xf.hub import PushToHubMixin, pushing
from xf_processing.batch_feature import BatchFeature
from xf_processing.feature_extraction import PROCESSOR_NAME, PreprocessorMixin, open_checkpoint

from .conversation import ConversationMixin
from .kwargs import KINDS, ProcessingKwargs, merge_kwargs

if TYPE_CHECKING:
    from xf_tokenizers.tokenizer import PreTrainedTokenizerBase

logger = logging.get_logger(__name__)
T = TypeVar("T", bound="ProcessorMixin")

LEGACY_CHAT_TEMPLATE_FILE = "chat_template.json"
_AUTO = {
    "tokenizer": "AutoTokenizer",
    "image_processor": "AutoImageProcessor",
    "video_processor": "AutoVideoProcessor",
    "feature_extractor": "AutoFeatureExtractor",
}


class ProcessorMixin(ConversationMixin, PushToHubMixin):
    """Joins the parts that prepare the inputs of one model.

    A subclass lists its parts (`attributes`), and for each the class (`tokenizer_class`, ...): a name, "AutoTokenizer"
    and the like, or (slow, fast) names, of which the last that is given counts.

    Args:
        args: the parts, in the order of `attributes`; or by name.
        chat_template: for `apply_chat_template`.

    Raises:
        TypeError: a part is missing, of another kind, or one too many.
    """

    attributes: list[str] = ["feature_extractor", "tokenizer"]
    optional_attributes: list[str] = ["chat_template", "audio_tokenizer"]
    optional_call_args: list[str] = []
    feature_extractor_class: Any = None
    tokenizer_class: Any = None
    valid_processor_kwargs: Any = ProcessingKwargs
    _auto_class: str | None = None
    chat_template: str | dict[str, str] | None
    tokenizer: PreTrainedTokenizerBase

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in self.optional_attributes:
            setattr(self, name, kwargs.pop(name, None))
        names = list(self.attributes)
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} has the parts {', '.join(names)}; {len(args)} were given")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in given:
                raise TypeError(
                    f"unexpected argument {name!r}: the parts of {type(self).__name__} are {', '.join(names)}"
                )
            given[name] = value
        for name in names:
            self.check_argument_for_proper_class(name, given.get(name))
            setattr(self, name, given.get(name))

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> None:
        """TypeError unless `argument` can be the part called `argument_name`."""
        wanted: type = PreprocessorMixin
        if argument_name.endswith("tokenizer"):
            from xf_tokenizers.tokenizer import PreTrainedTokenizerBase as wanted
        keys = [name for name in _AUTO if argument_name.endswith(name)]
        fits = isinstance(argument, wanted)
        if fits and wanted is PreprocessorMixin and keys and keys[0] != "video_processor":
            fits = argument.processor_key == keys[0]
        if not fits:
            raise TypeError(
                f"Received a {type(argument).__name__} for argument {argument_name}, but "
                f"{getattr(self, f'{argument_name}_class', None) or wanted.__name__} was expected."
            )

    # Calling

    def __call__(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> BatchFeature:
        """Prepare inputs of any kinds: each kind is given to the part for it, and the results are joined.

        Args:
            images: an image or several.
            text: a text or several.
            videos: a video or several.
            audio: a waveform or several.
            kwargs: arguments of the parts, flat or as `text_kwargs`, `images_kwargs`, `videos_kwargs`, `audio_kwargs`.
        """
        if images is None and text is None and videos is None and audio is None:
            raise ValueError(f"{type(self).__name__} needs images, text, videos or audio")
        init = getattr(getattr(self, "tokenizer", None), "init_kwargs", None)
        merged = self._merge_kwargs(self.valid_processor_kwargs, init, **kwargs)
        parts = (
            ("image_processor", images, "images_kwargs"),
            ("video_processor", videos, "videos_kwargs"),
            ("feature_extractor", audio, "audio_kwargs"),
            ("tokenizer", text, "text_kwargs"),
        )
        data: dict[str, Any] = {}
        for name, value, kind in parts:
            if value is not None:
                if name not in self.attributes:
                    raise ValueError(f"{type(self).__name__} takes no {kind.removesuffix('_kwargs')}: it has no {name}")
                data.update(getattr(self, name)(value, **merged[kind]))
        return BatchFeature(data)

    def _merge_kwargs(
        self,
        ModelProcessorKwargs: Any,
        tokenizer_init_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, Any]]:
        """The arguments of a call by kind: see `xf_processing.kwargs.merge_kwargs`."""
        return merge_kwargs(ModelProcessorKwargs, tokenizer_init_kwargs, kwargs, type(self).__name__)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """The tokenizer's `batch_decode`."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """The tokenizer's `decode`."""
        return self.tokenizer.decode(*args, **kwargs)

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> list[str]:
        """The texts that a model generated: ids of shape [batch, tokens] or [tokens]."""
        return self.tokenizer.batch_decode(generated_outputs, skip_special_tokens=skip_special_tokens, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """The names of the inputs that the parts make."""
        parts = [getattr(self, name, None) for name in self.attributes]
        names = [name for part in parts for name in getattr(part, "model_input_names", ())]
        return list(dict.fromkeys(names))

    def _check_special_mm_tokens(self, text: list[str], text_inputs: Mapping[str, Any], modalities: list[str]) -> None:
        """ValueError if truncation cut off placeholders (`image_token`, ...): text and media would not agree."""
        for modality in modalities:
            token, index = getattr(self, f"{modality}_token"), getattr(self, f"{modality}_token_id")
            ids = [list(row).count(index) for row in text_inputs["input_ids"]]
            texts = [sample.count(token) for sample in text]
            if ids != texts:
                raise ValueError(
                    f"the texts hold {texts} {modality} placeholders {token!r}, their ids {ids}: `truncation` cut some "
                    "off. Use a larger `max_length` or no truncation."
                )

    # Files

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
    ) -> T:
        """Load all parts from a folder, the hub, or whatever an installed plugin serves.

        Args:
            pretrained_model_name_or_path: the checkpoint.
            cache_dir: where downloads are kept.
            force_download: download again.
            local_files_only: open no connection.
            token: for the hub.
            revision: branch, tag or commit.
            kwargs: `subfolder`; arguments of the processor and of its parts, which override the files.
        """
        kwargs.update(cache_dir=cache_dir, force_download=force_download, local_files_only=local_files_only,
                      token=token, revision=revision)  # fmt: skip
        checkpoint = open_checkpoint(pretrained_model_name_or_path, kwargs)
        processor_dict, kwargs = cls._read_dict(checkpoint, **kwargs)
        parts = cls._get_arguments_from_pretrained(checkpoint, **kwargs)
        made: T = cls.from_args_and_dict(parts, processor_dict, **kwargs)
        return made

    @classmethod
    def _get_arguments_from_pretrained(cls, checkpoint: Any, **kwargs: Any) -> list[Any]:
        own = inspect.signature(cls.__init__).parameters
        kwargs = {key: value for key, value in kwargs.items() if key not in own}
        return [cls._class_of(name, kwargs).from_pretrained(checkpoint, **kwargs) for name in cls.attributes]

    @classmethod
    def _class_of(cls, attribute: str, kwargs: Mapping[str, Any]) -> Any:
        """The class that loads a part, imported from the plugin that has it."""
        import xf

        named = getattr(cls, f"{attribute}_class", None)
        if named is None:
            named = next((auto for name, auto in _AUTO.items() if attribute.endswith(name)), None)
        if isinstance(named, (tuple, list)):
            names = [name for name in named if name is not None]
            named = names[0] if kwargs.get("use_fast") is False else names[-1]
        if not isinstance(named, str):
            raise ValueError(f"{cls.__name__} does not say which class its {attribute} has ({attribute}_class)")
        return getattr(xf, named)

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | Checkpoint, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The processor's own settings in a checkpoint, and the arguments that do not say where it is."""
        return cls._read_dict(open_checkpoint(pretrained_model_name_or_path, kwargs), **kwargs)

    @classmethod
    def _read_dict(cls, checkpoint: Checkpoint, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        settings = checkpoint.read_json(PROCESSOR_NAME) or {}
        settings = {key: value for key, value in settings.items() if key not in cls.attributes}  # nested since 5.0
        legacy = checkpoint.read_json(LEGACY_CHAT_TEMPLATE_FILE) or {}
        held = {"chat_template": settings.pop("chat_template", None), **legacy}
        if held["chat_template"] is not None or any(name.endswith(".jinja") for name in checkpoint.list()):
            from xf_tokenizers.tokenizer_files import read_chat_template

            settings["chat_template"] = read_chat_template(checkpoint, held)
        return settings, kwargs

    @classmethod
    def from_args_and_dict(cls: type[T], args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make the processor from its parts and settings; with `return_unused_kwargs` also what was no argument."""
        settings = copy.deepcopy(processor_dict)
        return_unused = kwargs.pop("return_unused_kwargs", False)
        for key in ("processor_class", "auto_map"):
            settings.pop(key, None)
        accepted = inspect.signature(cls.__init__).parameters
        names = {*accepted, *cls.optional_attributes}
        unknown = sorted(set(settings) - names)
        if unknown:
            logger.warning(f"{PROCESSOR_NAME} holds {', '.join(unknown)}, which {cls.__name__} does not know; ignored.")
        settings.update({key: value for key, value in kwargs.items() if key in names})
        known = {key: value for key, value in settings.items() if key in names}
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values())
        if not takes_any:
            later = {key: known.pop(key) for key in list(known) if key not in accepted}
        else:
            later = {}
        made = cls(*args, **known)
        for key, value in later.items():
            setattr(made, key, value)
        return (made, {key: value for key, value in kwargs.items() if key not in names}) if return_unused else made

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
        """Write the files of all parts, the processor's settings and its chat template into a folder.

        Returns the paths of the processor's own files.
        """
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; save_pretrained needs a folder")
        with pushing(folder, push_to_hub, kwargs):
            for name in self.attributes:
                part = getattr(self, name)
                part._set_processor_class(type(self).__name__)
                part.save_pretrained(folder)
            written = []
            if self.chat_template is not None:
                from xf_tokenizers.tokenizer_files import write_chat_templates

                written = write_chat_templates(folder, self.chat_template)
            settings = self.to_dict()
            if set(settings) != {"processor_class"}:
                self.to_json_file(folder / PROCESSOR_NAME)
                written.append(folder / PROCESSOR_NAME)
        return [str(path) for path in written]

    def to_dict(self) -> dict[str, Any]:
        """The processor's own settings: the arguments of its __init__ that are neither parts nor the chat template."""
        parts = {*self.attributes, *_AUTO, *self.optional_attributes}
        names = [name for name in inspect.signature(type(self).__init__).parameters if name not in parts]
        settings = {name: copy.deepcopy(self.__dict__[name]) for name in names if name in self.__dict__}
        return {**settings, "processor_class": type(self).__name__}

    def to_json_string(self) -> str:
        """The settings as JSON, keys sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """Write the settings to a JSON file."""
        write_atomic(json_file_path, self.to_json_string())

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoProcessor") -> None:
        """Name the auto class that a saved processor is to be loaded with."""
        cls._auto_class = auto_class

    def __repr__(self) -> str:
        parts = "\n".join(f"- {name}: {getattr(self, name)!r}" for name in self.attributes)
        return f"{type(self).__name__}:\n{parts}\n\n{self.to_json_string()}"


__all__ = ["KINDS", "ProcessorMixin"]
