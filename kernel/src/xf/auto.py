"""The auto classes: from a checkpoint, or a config, to the class that an installed plugin offers for it.

`AutoModelFor...` are data: `HEADS` says which registry `model.<head>` each of them asks with the config's model type.
What a file names (a model type, a tokenizer class) only ever selects among what is installed: nothing is downloaded or
imported because a checkpoint says so, and there is no remote code.

Importing this module does not import torch; a tokenizer is loaded without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from . import logging
from .checkpoint.source import Checkpoint, pop_source_options, resolve
from .hub import refuse_remote_code
from .interfaces.config import CONFIG_NAME, PretrainedConfig
from .plugins import PluginError, PluginNotInstalledError, known, registry
from .plugins.registry import find_attribute, groups, load_attribute

logger = logging.get_logger(__name__)

#: AutoModelFor... whose registry model.<head> is their name in snake case
_REGULAR = """
    CausalLM MaskedLM SequenceClassification TokenClassification QuestionAnswering TableQuestionAnswering
    VisualQuestionAnswering DocumentQuestionAnswering MultipleChoice NextSentencePrediction TextEncoding CTC
    AudioClassification AudioFrameClassification AudioTokenization AudioXVector TextToSpectrogram TextToWaveform
    ImageClassification ZeroShotImageClassification ImageSegmentation SemanticSegmentation InstanceSegmentation
    UniversalSegmentation MaskGeneration MaskedImageModeling ObjectDetection ZeroShotObjectDetection DepthEstimation
    KeypointDetection KeypointMatching ImageToImage ImageTextToText VideoClassification TimeSeriesPrediction
"""
#: AutoModel + suffix -> registries model.<head>, in order of preference
HEADS: dict[str, tuple[str, ...]] = {
    "": ("base",), "ForPreTraining": ("pretraining",), "WithLMHead": ("masked_lm", "seq2seq_lm", "causal_lm"),
    "ForSeq2SeqLM": ("seq2seq_lm",), "ForSpeechSeq2Seq": ("speech_seq2seq",), "ForVision2Seq": ("vision2seq",),
    **{f"For{name}": (re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(),) for name in _REGULAR.split()},
}  # fmt: skip


#: tokenizer classes that are no family's own: a tokenizer.json says all there is to know (names of 4.x and of 5.x)
_GENERIC = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")


class _Auto:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        raise OSError(f"{name} is not made by calling it; use {name}.from_pretrained(...)")


class AutoConfig(_Auto):
    """Configs by model type (registry `config`)."""

    @classmethod
    def for_model(cls, model_type: str, *args: Any, **kwargs: Any) -> PretrainedConfig:
        """A new config of `model_type`. PluginNotInstalledError says what to install."""
        config: PretrainedConfig = registry("config").get(model_type)(*args, **kwargs)
        return config

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """The config of a checkpoint, as an object of the class for its model_type; arguments as for
        `PretrainedConfig.from_pretrained`.

        Raises: CheckpointError without a config; ValueError for one without a model_type; PluginNotInstalledError.
        """
        data, kwargs = PretrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
        name = _name_of(pretrained_model_name_or_path)
        model_type = data.get("model_type")
        if model_type is None:  # files from before the key; the longest name that is part of the checkpoint's name
            model_type = max((known for known in registry("config").names() if known in name), key=len, default=None)
            if model_type is not None:
                logger.warning(f"{CONFIG_NAME} of {name} has no model_type; by its name it is read as {model_type!r}.")
        if not isinstance(model_type, str):
            raise ValueError(f"{CONFIG_NAME} of {name} has no model_type, which says the architecture: {model_type!r}")
        config_class = registry("config").get(model_type)
        keep = kwargs.pop("return_unused_kwargs", False)
        try:
            config, unused = config_class.from_dict(data, return_unused_kwargs=True, **kwargs)
        except ValueError as error:
            raise ValueError(f"{CONFIG_NAME} of {name}: {error}") from error
        config.name_or_path = name
        return (config, unused) if keep else config

    @staticmethod
    def register(model_type: str, config: type[PretrainedConfig], exist_ok: bool = False) -> None:
        """Offer a config class in this process. ValueError if its model_type differs or the name is taken."""
        if config.model_type != model_type:
            raise ValueError(f"{config.__name__} has model_type {config.model_type!r}, not {model_type!r}")
        _register("config", model_type, config, exist_ok)


#: arguments of a load that have the names of config fields
_NO_FIELDS = ("torch_dtype", "dtype", "quantization_config")


class _AutoModel(_Auto):
    """Models by model type (registries `model.<head>`)."""

    heads: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> Any:
        """A new model with random weights; torch_dtype (or dtype) and attn_implementation as in from_pretrained."""
        refuse_remote_code(kwargs)
        return cls._class_for(config)._from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
        """Load a model; arguments as for `xf.checkpoint.load.load_pretrained`.

        Raises: PluginNotInstalledError with the line that installs the family; ValueError, which names the heads that
        the family has, if it has none of this kind; what the load raises.
        """
        refuse_remote_code(kwargs)
        source, config = pop_source_options(kwargs), kwargs.pop("config", None)
        where = pretrained_model_name_or_path
        checkpoint = None if where is None else resolve(where, **source)
        if not isinstance(config, PretrainedConfig):
            kept: dict[str, Any] = {name: kwargs.pop(name) for name in _NO_FIELDS if name in kwargs}
            kept |= {name: value for name, value in kwargs.items() if name.endswith("_file")}
            options = {} if config is None else source
            config, kwargs = AutoConfig.from_pretrained(
                checkpoint if config is None else config, return_unused_kwargs=True, **options, **kwargs
            )
            kwargs |= kept
        return cls._class_for(config).from_pretrained(checkpoint, *model_args, config=config, **kwargs)

    @classmethod
    def _class_for(cls, config: Any) -> Any:
        """The model class of the head for a config. Where a family has several, config.architectures chooses."""
        if not isinstance(config, PretrainedConfig):
            raise ValueError(f"{cls.__name__} needs a config, not {type(config).__name__}")
        model_type = config.model_type
        for head in cls.heads:
            found = registry(f"model.{head}")
            for name in (*(f"{model_type}/{name}" for name in config.architectures or ()), model_type):
                if found.find(name) is not None:
                    return found.get(name)
        registry("config").get(model_type)  # says so if the family itself is not there, or not allowed
        has = sorted(group[6:] for group in groups() if group.startswith("model.") and model_type in registry(group))
        line = _install_line(f"model.{cls.heads[0]}", model_type)
        raise ValueError(
            f"{cls.__name__} needs a {' or '.join(cls.heads)} head, and none is installed for {model_type!r}; "
            + (f"run: {line}" if line else f"it has: {', '.join(has) or 'no heads'}")
        )

    @classmethod
    def register(cls, config_class: type[PretrainedConfig], model_class: Any, exist_ok: bool = False) -> None:
        """Offer a model class for a config class in this process."""
        wanted = getattr(model_class, "config_class", None)
        if wanted is not None and wanted.__name__ != config_class.__name__:
            raise ValueError(f"{model_class.__name__}.config_class is {wanted.__name__}, not {config_class.__name__}")
        _register(f"model.{cls.heads[0]}", config_class.model_type, model_class, exist_ok)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


for _suffix, _heads in HEADS.items():
    globals()[f"AutoModel{_suffix}"] = type(
        f"AutoModel{_suffix}",
        (_AutoModel,),
        {"heads": _heads, "__module__": __name__, "__doc__": f"Models with the head {_heads[0]}, by model type."},
    )


class AutoBackbone(_AutoModel):
    """Backbones (feature maps for detection and segmentation models), by model type."""

    heads = ("backbone",)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
        """As for the other models; use_timm_backbone=True takes the name as one of the timm library."""
        if not kwargs.pop("use_timm_backbone", False):
            return super().from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)
        config = registry("config").get("timm_backbone")(backbone=pretrained_model_name_or_path, **kwargs)
        return cls.from_config(config)


class _AutoFiles(_Auto):
    """Tokenizers and processors: the class that a file names, else that of the model type."""

    group: ClassVar[str]
    type_keys: ClassVar[tuple[str, ...]]  # what a file calls the class
    files: ClassVar[tuple[str, ...]]  # where it may say so
    nested: ClassVar[str] = ""  # the part of processor_config.json that 5.x files hold it in
    endings: ClassVar[tuple[str, ...]]  # what names of such classes end in; no other class is ever looked up

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Load what the checkpoint has of this kind; other keyword arguments replace the file's settings.

        Raises: CheckpointError if there is nothing to load; a plugin error that says what to install.
        """
        refuse_remote_code(kwargs)
        checkpoint = resolve(pretrained_model_name_or_path, **pop_source_options(kwargs))
        found = cls._class_for(checkpoint, kwargs)
        return found.from_pretrained(checkpoint, *inputs, **kwargs)

    @classmethod
    def _class_for(cls, checkpoint: Checkpoint, kwargs: dict[str, Any]) -> Any:
        config, use_fast = kwargs.pop("config", None), kwargs.pop("use_fast", None)
        asked = next((name for name in (cls._named(checkpoint, file) for file in cls.files) if name), None)
        for name in _spellings(asked, use_fast):
            record = find_attribute(name) if name.endswith(cls.endings) else None
            if record is not None and record.status == "ok" and record.group in (cls.group, "symbol"):
                return load_attribute(name)
        model_type = _model_type(checkpoint, config, cls.group)
        if model_type is not None and model_type in registry(cls.group):
            return registry(cls.group).get(model_type)
        return cls._fallback(checkpoint, asked, model_type)

    @classmethod
    def _named(cls, checkpoint: Checkpoint, file: str) -> str | None:
        """The class that one file names."""
        data = (None if checkpoint.file not in (None, file) else checkpoint.read_json(file)) or {}
        parts = [data.get(cls.nested), data] if cls.nested else [data]
        found = [part[key] for part in parts if isinstance(part, dict) for key in cls.type_keys if part.get(key)]
        name = found[0] if found and isinstance(found[0], str) else None
        if name is not None and cls.group == "image_processor":  # the name of such classes before 4.26
            name = name.replace("FeatureExtractor", "ImageProcessor")
        return name

    @classmethod
    def _fallback(cls, checkpoint: Checkpoint, asked: str | None, model_type: str | None) -> Any:
        """No installed class fits: say what is missing."""
        if asked is not None:
            line = _install_line(cls.group, model_type or "", asked)
            hint = f"run: {line}" if line else f"no installed plugin offers it as a {cls.group}"
            raise PluginNotInstalledError(f"{checkpoint.name} asks for {asked}; {hint}")
        if model_type is not None:
            return registry(cls.group).get(model_type)
        raise ValueError(f"{checkpoint.name} does not say which {cls.group} it needs. {checkpoint.describe()}")

    @classmethod
    def register(
        cls, config_class: type[PretrainedConfig], *classes: Any, exist_ok: bool = False, **by_kind: Any
    ) -> None:
        """Offer a class for a config class in this process; of several (slow_..., fast_...) the fast one is taken."""
        given = [*classes, *(by_kind[kind] for kind in sorted(by_kind, reverse=True))]
        fast = [by_kind[kind] for kind in by_kind if kind.startswith("fast") and by_kind[kind] is not None]
        chosen = next((found for found in (*fast, *reversed(given)) if found is not None), None)
        if chosen is None:
            raise ValueError(f"{cls.__name__}.register needs a class")
        _register(cls.group, config_class.model_type, chosen, exist_ok)


class AutoTokenizer(_AutoFiles):
    """Tokenizers: by tokenizer_class of tokenizer_config.json or config.json (of 4.x and 5.x), else by model type.

    A tokenizer.json is loaded by `PreTrainedTokenizerFast` where no installed class fits.
    """

    group = "tokenizer"
    type_keys = ("tokenizer_class",)
    files = ("tokenizer_config.json", CONFIG_NAME)
    endings = ("Tokenizer", "TokenizerFast")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Load a tokenizer. tokenizer_type: the model type, in place of what files say; gguf_file: read it there."""
        refuse_remote_code(kwargs)
        checkpoint = resolve(pretrained_model_name_or_path, **pop_source_options(kwargs))
        if checkpoint.file is not None and checkpoint.file.endswith(".gguf"):
            kwargs["gguf_file"], checkpoint = checkpoint.file, resolve(checkpoint.root)
        tokenizer_type = kwargs.pop("tokenizer_type", None)
        found = registry("tokenizer").get(tokenizer_type) if tokenizer_type else cls._class_for(checkpoint, kwargs)
        return found.from_pretrained(checkpoint, *inputs, **kwargs)

    @classmethod
    def _class_for(cls, checkpoint: Checkpoint, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("gguf_file"):  # it holds the whole tokenizer; a family's class would lay its own defaults over it
            return _generic_tokenizer()
        asked = next((name for name in (cls._named(checkpoint, file) for file in cls.files) if name), None)
        if asked in _GENERIC and checkpoint.path("tokenizer.json") is not None:
            return _generic_tokenizer()
        return super()._class_for(checkpoint, kwargs)

    @classmethod
    def _fallback(cls, checkpoint: Checkpoint, asked: str | None, model_type: str | None) -> Any:
        if checkpoint.path("tokenizer.json") is None:
            return super()._fallback(checkpoint, asked, model_type)
        if asked is not None:
            line = _install_line("tokenizer", model_type or "", asked)
            logger.warning(
                f"{checkpoint.name} asks for {asked}, which is not installed{f' ({line})' if line else ''}; its "
                "tokenizer.json is read by PreTrainedTokenizerFast, which has the general defaults."
            )
        return _generic_tokenizer()


class AutoImageProcessor(_AutoFiles):
    """Image processors."""

    group = nested = "image_processor"
    type_keys = ("image_processor_type", "feature_extractor_type")
    files = ("preprocessor_config.json", "processor_config.json", CONFIG_NAME)
    endings = ("ImageProcessor", "ImageProcessorFast")


class AutoFeatureExtractor(_AutoFiles):
    """Feature extractors (audio)."""

    group = nested = "feature_extractor"
    type_keys = ("feature_extractor_type",)
    files = ("preprocessor_config.json", "processor_config.json", CONFIG_NAME)
    endings = ("FeatureExtractor",)


class AutoVideoProcessor(_AutoFiles):
    """Video processors."""

    group = nested = "video_processor"
    type_keys = ("video_processor_type",)
    files = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json", CONFIG_NAME)
    endings = ("VideoProcessor",)


class AutoProcessor(_AutoFiles):
    """Processors of several parts; for a checkpoint with one part that part: tokenizer, image processor, ..."""

    group = "processor"
    type_keys = ("processor_class",)
    files = (
        "processor_config.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "tokenizer_config.json",
        CONFIG_NAME,
    )
    endings = ("Processor",)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Load the processor of a checkpoint, or the only part that it has."""
        refuse_remote_code(kwargs)
        checkpoint = resolve(pretrained_model_name_or_path, **pop_source_options(kwargs))
        named = any(cls._named(checkpoint, file) for file in cls.files)
        model_type = _model_type(checkpoint, kwargs.get("config"), "processor")
        if named or (model_type is not None and model_type in registry("processor")):
            return cls._class_for(checkpoint, kwargs).from_pretrained(checkpoint, *inputs, **kwargs)
        failed = []
        for part in (AutoTokenizer, AutoImageProcessor, AutoFeatureExtractor, AutoVideoProcessor):
            try:
                return part.from_pretrained(checkpoint, *inputs, **kwargs)
            except (PluginError, ValueError, OSError) as error:
                failed.append(f"{part.__name__}: {error}")
        raise ValueError(f"{checkpoint.name} has no processor, and no part of one loads:\n  " + "\n  ".join(failed))


def _register(group: str, name: str, found: Any, exist_ok: bool) -> None:
    if registry(group).runtime.get(name) is not found:
        registry(group).register(name, found, override=exist_ok)


def _name_of(name_or_path: Any) -> str:
    return name_or_path.name if isinstance(name_or_path, Checkpoint) else str(name_or_path)


def _generic_tokenizer() -> Any:
    from .plugins.registry import load_attribute

    return load_attribute("PreTrainedTokenizerFast")


def _install_line(group: str, name: str, attribute: str = "") -> str:
    """The line that installs what offers `name` in a registry, or a public name; empty where none is known."""
    owners = known.owners(group, name) or (known.attribute_owners(attribute) if attribute else [])
    return known.install_line(owners) if owners else ""


def _model_type(checkpoint: Checkpoint, config: Any, group: str) -> str | None:
    """The model type of a config given by the caller, else of config.json; of its encoder where only that is known."""
    if isinstance(config, PretrainedConfig):
        return config.model_type or None
    data = (checkpoint.read_json(CONFIG_NAME) if checkpoint.file in (None, CONFIG_NAME) else None) or {}
    parts = (data, data["encoder"]) if isinstance(data.get("encoder"), dict) else (data,)
    types = [found for found in (part.get("model_type") for part in parts) if isinstance(found, str)]
    return next((found for found in types if found in registry(group)), types[0] if types else None)


def _spellings(name: str | None, use_fast: bool | None) -> list[str]:
    """The names a class may have here: fast tokenizers and image processors have a name of their own.

    Tokenizers prefer the fast class, whatever the file names; image processors the one that it names.
    """
    if name is None:
        return []
    plain = name.removesuffix("Fast")
    fast = use_fast if use_fast is not None else (name != plain or plain.endswith("Tokenizer"))
    return [f"{plain}Fast", plain] if fast else [plain, f"{plain}Fast"]
