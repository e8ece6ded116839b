"""The Auto classes: which class a checkpoint needs, found by its config among the installed plugins.

Everything is a lookup by `model_type` in a registry: `AutoModelForCausalLM` asks `xf.v1.model.causal_lm`,
`AutoTokenizer` asks `xf.v1.tokenizer`. Class names that files give (tokenizer_class, processor_class, ...) only choose
among classes that installed plugins declare in that registry, never among others. Torch is imported with a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .checkpoint.source import pop_source_options, resolve
from .hub import refuse_remote_code
from .interfaces.config import PretrainedConfig
from .plugins import known, registry
from .plugins.errors import PluginNotInstalledError

if TYPE_CHECKING:
    from .checkpoint.source import Checkpoint

#: documented class -> registry under "model."
HEADS: dict[str, str] = {
    "AutoModel": "base",
    "AutoModelForPreTraining": "pretraining",
    "AutoModelForCausalLM": "causal_lm",
    "AutoModelForMaskedLM": "masked_lm",
    "AutoModelForSeq2SeqLM": "seq2seq_lm",
    "AutoModelForSequenceClassification": "sequence_classification",
    "AutoModelForTokenClassification": "token_classification",
    "AutoModelForQuestionAnswering": "question_answering",
    "AutoModelForTableQuestionAnswering": "table_question_answering",
    "AutoModelForVisualQuestionAnswering": "visual_question_answering",
    "AutoModelForDocumentQuestionAnswering": "document_question_answering",
    "AutoModelForMultipleChoice": "multiple_choice",
    "AutoModelForNextSentencePrediction": "next_sentence_prediction",
    "AutoModelForTextEncoding": "text_encoding",
    "AutoModelForImageClassification": "image_classification",
    "AutoModelForZeroShotImageClassification": "zero_shot_image_classification",
    "AutoModelForImageSegmentation": "image_segmentation",
    "AutoModelForSemanticSegmentation": "semantic_segmentation",
    "AutoModelForInstanceSegmentation": "instance_segmentation",
    "AutoModelForUniversalSegmentation": "universal_segmentation",
    "AutoModelForObjectDetection": "object_detection",
    "AutoModelForZeroShotObjectDetection": "zero_shot_object_detection",
    "AutoModelForDepthEstimation": "depth_estimation",
    "AutoModelForImageToImage": "image_to_image",
    "AutoModelForMaskedImageModeling": "masked_image_modeling",
    "AutoModelForMaskGeneration": "mask_generation",
    "AutoModelForKeypointDetection": "keypoint_detection",
    "AutoModelForKeypointMatching": "keypoint_matching",
    "AutoModelForVideoClassification": "video_classification",
    "AutoModelForVision2Seq": "vision_to_sequence",
    "AutoModelForImageTextToText": "image_text_to_text",
    "AutoModelForAudioClassification": "audio_classification",
    "AutoModelForAudioFrameClassification": "audio_frame_classification",
    "AutoModelForAudioXVector": "audio_xvector",
    "AutoModelForAudioTokenization": "audio_tokenization",
    "AutoModelForCTC": "ctc",
    "AutoModelForSpeechSeq2Seq": "speech_seq2seq",
    "AutoModelForTextToSpectrogram": "text_to_spectrogram",
    "AutoModelForTextToWaveform": "text_to_waveform",
    "AutoModelForTimeSeriesPrediction": "time_series_prediction",
    "AutoBackbone": "backbone",
}
#: arguments of from_pretrained that are for the model, though a config may have a field of that name
_FOR_THE_MODEL = ("torch_dtype", "dtype", "attn_implementation", "quantization_config")


class _Auto:
    """Base of the Auto classes; they are not instantiated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise OSError(f"{type(self).__name__} is not instantiated: use {type(self).__name__}.from_pretrained(...).")


class AutoConfig(_Auto):
    """The config class of a checkpoint, by its model_type."""

    @staticmethod
    def for_model(model_type: str, *args: Any, **kwargs: Any) -> PretrainedConfig:
        """A config of `model_type` with these values.

        Raises: PluginError if no usable plugin offers the type; it says what to install.
        """
        config: PretrainedConfig = registry("config").get(model_type)(*args, **kwargs)
        return config

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """The config of a checkpoint; arguments as `PretrainedConfig.from_pretrained`.

        Raises: ValueError if the file names no model_type; PluginError if no usable plugin offers it.
        """
        data, unused = PretrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
        model_type = data.get("model_type")
        if not isinstance(model_type, str) or not model_type:
            raise ValueError(
                f"The config of {pretrained_model_name_or_path} has no model_type: it does not say which plugin reads "
                "it. Load it with its own class, such as BertConfig.from_pretrained(...)."
            )
        config_class = registry("config").get(model_type)
        result = config_class.from_dict(data, **unused)
        config = result[0] if isinstance(result, tuple) else result
        config.name_or_path = pretrained_model_name_or_path
        return result

    @staticmethod
    def register(model_type: str, config: type[PretrainedConfig], exist_ok: bool = False) -> None:
        """Offer a config class under its model_type in this process. Raises ValueError if the two disagree."""
        if config.model_type != model_type:
            raise ValueError(f"{config.__name__}.model_type is {config.model_type!r}; register it under that name.")
        registry("config").register(model_type, config, override=exist_ok)


class _AutoModel(_Auto):
    """A model class by the config's model_type, in the registry of one head."""

    head: ClassVar[str] = "base"

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> Any:
        """A model with random weights; torch_dtype (or dtype) and attn_implementation as in from_pretrained."""
        refuse_remote_code(kwargs)
        return cls.model_class(config)._from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
        """The model of a checkpoint; arguments as `PreTrainedModel.from_pretrained`.

        Raises: ValueError if the family has no such head, naming those it has; PluginError if it is not available.
        """
        refuse_remote_code(kwargs)
        config = kwargs.pop("config", None)
        if not isinstance(config, PretrainedConfig):
            kept = {name: kwargs.pop(name) for name in _FOR_THE_MODEL if name in kwargs}
            kept |= {name: value for name, value in kwargs.items() if name.endswith("_file")}  # gguf_file=
            kept |= pop_source_options(dict(kwargs))
            config, unused = AutoConfig.from_pretrained(
                config or pretrained_model_name_or_path, return_unused_kwargs=True, **kwargs
            )
            kwargs = unused | kept
        return cls.model_class(config).from_pretrained(
            pretrained_model_name_or_path, *model_args, config=config, **kwargs
        )

    @classmethod
    def model_class(cls, config: PretrainedConfig) -> Any:
        """The class that serves `config` here."""
        model_type = config.model_type
        found = registry(f"model.{cls.head}")
        if model_type not in found and found.find(model_type) is None:
            if not known.owners(f"model.{cls.head}", model_type):
                raise ValueError(cls._no_such_head(model_type))
        chosen = found.get(model_type)
        if isinstance(chosen, (list, tuple)):  # several classes for one type: the one that the files name
            names = config.architectures or []
            chosen = next((c for c in chosen if c.__name__ in names), chosen[0])
        return chosen

    @classmethod
    def _no_such_head(cls, model_type: str) -> str:
        heads = [auto for auto, head in HEADS.items() if registry(f"model.{head}").find(model_type) is not None]
        if heads:
            return f"Models of type {model_type!r} have no class for {cls.__name__}. They have: {', '.join(heads)}."
        return (
            f"No installed plugin offers a model of type {model_type!r} to {cls.__name__}; installed are: "
            f"{', '.join(registry('model.' + cls.head).names()) or 'none'}."
        )

    @classmethod
    def register(cls, config_class: type[PretrainedConfig], model_class: Any, exist_ok: bool = False) -> None:
        """Offer `model_class` for configs of `config_class` in this process.

        Raises: ValueError if the model's own config_class is another.
        """
        own = getattr(model_class, "config_class", None)
        if own is not None and own is not config_class and own.__name__ != config_class.__name__:
            raise ValueError(f"{model_class.__name__}.config_class is {own.__name__}, not {config_class.__name__}.")
        registry(f"model.{cls.head}").register(config_class.model_type, model_class, override=exist_ok)


def _auto_model(name: str, head: str) -> type[_AutoModel]:
    doc = f"The model class of a checkpoint in the registry xf.v1.model.{head}; see `_AutoModel`."
    return type(name, (_AutoModel,), {"head": head, "__doc__": doc, "__module__": __name__})


globals().update({name: _auto_model(name, head) for name, head in HEADS.items()})


class AutoModelWithLMHead(_AutoModel):
    """The language model of a checkpoint, of whichever kind it is; the specific classes are clearer."""

    @classmethod
    def model_class(cls, config: PretrainedConfig) -> Any:
        heads = ("masked_lm", "seq2seq_lm", "causal_lm")
        found = [head for head in heads if registry(f"model.{head}").find(config.model_type) is not None]
        return registry(f"model.{found[0] if found else 'causal_lm'}").get(config.model_type)


def _named_class(group: str, names: list[str], base: str) -> Any:
    """The class with one of `names` that a plugin declares in `group`, or as a symbol if its name ends with `base`."""
    for name in names:
        for where in (group, "symbol"):
            for record in registry(where).records():
                if record.attribute == name and (where == group or name.removesuffix("Fast").endswith(base)):
                    return registry(where).get(record.name)
    return None


def _fast_first(name: str | None, use_fast: bool) -> list[str]:
    """The spellings of a class name to look for, in order."""
    if not name:
        return []
    plain = name.removesuffix("Fast")
    return [plain + "Fast", plain] if use_fast else [plain, plain + "Fast"]


def _model_type_of(checkpoint: Checkpoint, config: Any) -> str | None:
    if isinstance(config, PretrainedConfig):
        return config.model_type
    data = checkpoint.read_json("config.json") or {}
    found = data.get("model_type")
    return found if isinstance(found, str) else None


class _AutoFile(_Auto):
    """Base of the Auto classes that go by a class name in a file, then by model_type."""

    group: ClassVar[str] = ""
    base: ClassVar[str] = ""  # how the names of its classes end
    files: ClassVar[tuple[str, ...]] = ()
    keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Load from a checkpoint with the class that it needs; arguments as that class's from_pretrained.

        Raises: ValueError if the checkpoint has nothing of this kind; PluginError if its class is not available.
        """
        refuse_remote_code(kwargs)
        config = kwargs.pop("config", None)
        use_fast = kwargs.pop("use_fast", None)
        source = pop_source_options(kwargs)
        checkpoint = resolve(pretrained_model_name_or_path, **source)
        chosen = cls._class_for(checkpoint, config, True if use_fast is None else use_fast)
        return chosen.from_pretrained(checkpoint, *inputs, **kwargs)

    @classmethod
    def _names_in(cls, checkpoint: Checkpoint) -> list[str]:
        """Class names that the checkpoint's files give, the best first."""
        found = []
        for filename in cls.files:
            data = checkpoint.read_json(filename) or {}
            found += [data[key] for key in cls.keys if isinstance(data.get(key), str)]
        return list(dict.fromkeys(found))

    @classmethod
    def _class_for(cls, checkpoint: Checkpoint, config: Any, use_fast: bool) -> Any:
        names = cls._names_in(checkpoint)
        for name in names:
            found = _named_class(cls.group, _fast_first(name, use_fast), cls.base)
            if found is not None:
                return found
        model_type = _model_type_of(checkpoint, config)
        if model_type is not None and registry(cls.group).find(model_type) is not None:
            return registry(cls.group).get(model_type)
        generic = cls._generic(checkpoint)
        if generic is not None:
            return generic
        owners = [owner for name in names for n in (name, name + "Fast") for owner in known.attribute_owners(n)]
        if owners:
            raise PluginNotInstalledError(
                f"{checkpoint.name} needs {names[0]}, which is not installed. Run: {known.install_line(owners[:1])}"
            )
        if model_type is not None and (names or known.owners(cls.group, model_type)):
            return registry(cls.group).get(model_type)  # raises, saying what to install or what is there
        raise ValueError(f"{checkpoint.name} has nothing that {cls.__name__} could load. {checkpoint.describe()}")

    @classmethod
    def _generic(cls, checkpoint: Checkpoint) -> Any:
        """A class of the kernel that can read the files without a family's plugin, None where there is none."""
        return None

    @classmethod
    def register(cls, config_class: type[PretrainedConfig], target: Any, exist_ok: bool = False) -> None:
        """Offer a class for checkpoints of `config_class` in this process."""
        registry(cls.group).register(config_class.model_type, target, override=exist_ok)


class AutoTokenizer(_AutoFile):
    """The tokenizer of a checkpoint: by tokenizer_class, by model_type, or straight from its tokenizer.json."""

    group, base = "tokenizer", "Tokenizer"
    files, keys = ("tokenizer_config.json", "config.json"), ("tokenizer_class",)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """As its base; tokenizer_type names the family, use_fast=False asks for the pure Python class, gguf_file names
        a weight file that holds the tokenizer."""
        tokenizer_type = kwargs.pop("tokenizer_type", None)
        if tokenizer_type is not None:
            return (
                registry("tokenizer")
                .get(tokenizer_type)
                .from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)
            )
        if kwargs.get("gguf_file"):
            from .interfaces.tokenizer import PreTrainedTokenizerFast

            kwargs.pop("use_fast", None)
            return PreTrainedTokenizerFast.from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)

    @classmethod
    def _names_in(cls, checkpoint: Checkpoint) -> list[str]:
        generic = {"PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"}  # the last is of 5.x files
        return [name for name in super()._names_in(checkpoint) if name not in generic]

    @classmethod
    def _class_for(cls, checkpoint: Checkpoint, config: Any, use_fast: bool) -> Any:
        data = checkpoint.read_json("tokenizer_config.json") or {}
        if data.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend"):
            generic = cls._generic(checkpoint)
            if generic is not None:
                return generic
        return super()._class_for(checkpoint, config, use_fast)

    @classmethod
    def _generic(cls, checkpoint: Checkpoint) -> Any:
        from .interfaces.tokenizer import PreTrainedTokenizerFast

        if checkpoint.path("tokenizer.json") is not None:
            return PreTrainedTokenizerFast
        return None

    @classmethod
    def register(  # type: ignore[override]
        cls,
        config_class: type[PretrainedConfig],
        slow_tokenizer_class: Any = None,
        fast_tokenizer_class: Any = None,
        exist_ok: bool = False,
    ) -> None:
        """Offer tokenizer classes for checkpoints of `config_class` in this process; the fast one is preferred."""
        chosen = fast_tokenizer_class or slow_tokenizer_class
        if chosen is None:
            raise ValueError("Give slow_tokenizer_class or fast_tokenizer_class.")
        registry("tokenizer").register(config_class.model_type, chosen, override=exist_ok)


class AutoImageProcessor(_AutoFile):
    """The image processor of a checkpoint."""

    group, base = "image_processor", "ImageProcessor"
    files, keys = ("preprocessor_config.json", "config.json"), ("image_processor_type", "feature_extractor_type")

    @classmethod
    def _names_in(cls, checkpoint: Checkpoint) -> list[str]:
        # files older than image processors name a feature extractor (ViTFeatureExtractor)
        return [name.replace("FeatureExtractor", "ImageProcessor") for name in super()._names_in(checkpoint)]


class AutoFeatureExtractor(_AutoFile):
    """The (audio) feature extractor of a checkpoint."""

    group, base = "feature_extractor", "FeatureExtractor"
    files, keys = ("preprocessor_config.json", "config.json"), ("feature_extractor_type",)


class AutoVideoProcessor(_AutoFile):
    """The video processor of a checkpoint."""

    group, base = "video_processor", "VideoProcessor"
    files = ("video_preprocessor_config.json", "preprocessor_config.json", "config.json")
    keys = ("video_processor_type",)


class AutoProcessor(_AutoFile):
    """The processor of a checkpoint; its tokenizer, image processor or feature extractor where it has no processor."""

    group, base = "processor", "Processor"
    files = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json", "config.json")
    keys = ("processor_class",)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """As its base. A checkpoint without a processor gives the part that it has."""
        refuse_remote_code(kwargs)
        options = dict(kwargs)
        checkpoint = resolve(pretrained_model_name_or_path, **pop_source_options(options))
        model_type = _model_type_of(checkpoint, options.get("config"))
        has_processor = model_type is not None and (
            registry("processor").find(model_type) is not None or bool(known.owners("processor", model_type))
        )
        if not cls._names_in(checkpoint) and not has_processor:
            for part, filename in _PARTS:
                if checkpoint.path(filename) is not None:
                    if part is AutoImageProcessor and not AutoImageProcessor._names_in(checkpoint):
                        continue
                    return part.from_pretrained(checkpoint, *inputs, **options)
        return super().from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)


_PARTS: tuple[tuple[type[_AutoFile], str], ...] = (
    (AutoTokenizer, "tokenizer_config.json"),
    (AutoTokenizer, "tokenizer.json"),
    (AutoImageProcessor, "preprocessor_config.json"),
    (AutoFeatureExtractor, "preprocessor_config.json"),
    (AutoVideoProcessor, "video_preprocessor_config.json"),
)


def model_heads_of(model_type: str) -> list[str]:
    """The documented Auto classes that the installed plugins serve for `model_type`, nothing imported."""
    return [name for name, head in HEADS.items() if registry(f"model.{head}").find(model_type) is not None]


__all__ = [
    *HEADS,
    "AutoConfig",
    "AutoFeatureExtractor",
    "AutoImageProcessor",
    "AutoModelWithLMHead",
    "AutoProcessor",
    "AutoTokenizer",
    "AutoVideoProcessor",
    "model_heads_of",
]
