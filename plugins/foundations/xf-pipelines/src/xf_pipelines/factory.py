"""`pipeline(...)`: from names to a pipeline that is ready, or at once to an error that says what is missing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xf import logging
from xf.plugins import PluginNotInstalledError, find_attribute, known, registry
from xf.plugins.registry import load_attribute

if TYPE_CHECKING:
    import torch

    from .pipeline import Pipeline

logger = logging.get_logger(__name__)

PARTS = {
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
    "image_processor": "AutoImageProcessor",
    "processor": "AutoProcessor",
}
_FILES = {  # a part that is optional is loaded where one of these is in the checkpoint
    "tokenizer": ("tokenizer.json", "tokenizer_config.json"),
    "feature_extractor": ("preprocessor_config.json",),
    "image_processor": ("preprocessor_config.json",),
    "processor": ("processor_config.json", "preprocessor_config.json"),
}
_SHARED = ("cache_dir", "force_download", "local_files_only", "subfolder")  # model_kwargs that tell where files are
# The task that a model was made for, by the head its architecture is registered under.
TASK_OF_HEAD = {
    "audio_classification": "audio-classification",
    "causal_lm": "text-generation",
    "ctc": "automatic-speech-recognition",
    "depth_estimation": "depth-estimation",
    "document_question_answering": "document-question-answering",
    "image_classification": "image-classification",
    "image_segmentation": "image-segmentation",
    "image_text_to_text": "image-text-to-text",
    "image_to_image": "image-to-image",
    "instance_segmentation": "image-segmentation",
    "mask_generation": "mask-generation",
    "masked_lm": "fill-mask",
    "object_detection": "object-detection",
    "question_answering": "question-answering",
    "semantic_segmentation": "image-segmentation",
    "seq2seq_lm": "text2text-generation",
    "sequence_classification": "text-classification",
    "speech_seq2seq": "automatic-speech-recognition",
    "table_question_answering": "table-question-answering",
    "text_to_spectrogram": "text-to-audio",
    "text_to_waveform": "text-to-audio",
    "token_classification": "token-classification",
    "universal_segmentation": "image-segmentation",
    "video_classification": "video-classification",
    "vision2seq": "image-to-text",
    "visual_question_answering": "visual-question-answering",
    "zero_shot_image_classification": "zero-shot-image-classification",
    "zero_shot_object_detection": "zero-shot-object-detection",
}


class PipelineRegistry:
    """The tasks, of plugins and of this process, in the documented form."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}  # what register_pipeline was given

    def get_supported_tasks(self) -> list[str]:
        """The names of the tasks that are installed or registered."""
        return registry("task").names()

    def check_task(self, task: str) -> tuple[str, dict[str, Any], Any]:
        """(name of the task, what is known of it, options): "translation_en_to_fr" has the options ("en", "fr").

        Raises: KeyError for a malformed translation task; a PluginError where the task cannot be used.
        """
        options = None
        if task.startswith("translation_"):
            parts = task.split("_")
            if len(parts) != 4 or parts[2] != "to":
                raise KeyError(f"Malformed task {task!r}; write translation_XX_to_YY, e.g. translation_en_to_fr.")
            task, options = "translation", (parts[1], parts[3])
        implementation = registry("task").get(task)
        entry = {"impl": implementation, "pt": (), "default": {"model": implementation.default_model}}
        return task, {**entry, **self._entries.get(task, {})}, options

    def register_pipeline(
        self,
        task: str,
        pipeline_class: type[Pipeline],
        pt_model: type | tuple[type, ...] | None = None,
        tf_model: Any = None,
        default: Mapping[str, Any] | None = None,
        type: str | None = None,
    ) -> None:
        """Register a task in this process; an existing one is replaced, with a warning.

        Args:
            pt_model: classes with `from_pretrained` that load its models, tried in this order.
            default: the model to use when none is named: {"pt": (name, revision)}.
            type: the kind of its inputs: "text", "image", "audio", "video" or "multimodal".
        """
        if registry("task").find(task) is not None:
            logger.warning(f"The task {task} is already registered; this process now uses {pipeline_class.__name__}.")
        models = () if pt_model is None else pt_model if isinstance(pt_model, tuple) else (pt_model,)
        entry: dict[str, Any] = {"impl": pipeline_class, "pt": models}
        if default is not None:
            model = default.get("model", default)
            found = model.get("pt") if isinstance(model, Mapping) else model
            if found is None:
                raise ValueError(f"default must name a model as {{'pt': (name, revision)}}, not {default!r}.")
            entry["default"] = {"model": "@".join(found) if isinstance(found, tuple) else found}
        if type is not None:
            entry["type"] = type
        self._entries[task] = entry
        registry("task").register(task, pipeline_class, override=True)

    def to_dict(self) -> dict[str, Any]:
        """What `register_pipeline` was given, by task."""
        return dict(self._entries)


PIPELINE_REGISTRY = PipelineRegistry()


def check_task(task: str) -> tuple[str, dict[str, Any], Any]:
    """See `PipelineRegistry.check_task`."""
    return PIPELINE_REGISTRY.check_task(task)


def get_supported_tasks() -> list[str]:
    """See `PipelineRegistry.get_supported_tasks`."""
    return PIPELINE_REGISTRY.get_supported_tasks()


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    processor: Any = None,
    framework: str | None = None,
    revision: str | None = None,
    use_fast: bool = True,
    token: str | bool | None = None,
    device: int | str | torch.device | None = None,
    device_map: Any = None,
    torch_dtype: Any = None,
    trust_remote_code: bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    pipeline_class: type[Pipeline] | None = None,
    **kwargs: Any,
) -> Pipeline:
    """Build the pipeline of a task, of a model, or of both.

    Args:
        task: e.g. "fill-mask", "translation_en_to_fr" (`xf plugins` lists what is installed). Default: what the
            model's architecture was made for.
        model: a name, a folder or a loaded model. Default: the task's default model.
        config, tokenizer, feature_extractor, image_processor, processor: names or objects; default: the model's own.
            A tokenizer may be a pair of its name and its arguments.
        framework: "pt" or None.
        revision, token: of the checkpoint on the hub.
        use_fast: whether a tokenizer of the `tokenizers` library is preferred.
        device: see `Pipeline`. Not together with `device_map`, which places the parts of a large model.
        torch_dtype (or dtype): of the model; "auto", the default, is the checkpoint's own.
        model_kwargs: further arguments of the model's `from_pretrained`.
        pipeline_class: a class of your own instead of the task's.
        kwargs: default parameters of the pipeline.

    Raises:
        PluginNotInstalledError (and the other plugin errors): the task, the model's architecture or its tokenizer is
            no usable plugin here; the text says what to install.
        RuntimeError: neither a task nor a model, or a part of a model without the model.
        ValueError: arguments that contradict each other, or a part that nothing says where to find.
    """
    from xf.hub import refuse_remote_code

    refuse_remote_code({"trust_remote_code": trust_remote_code})
    if framework not in (None, "pt"):
        raise ValueError(f"framework={framework!r}: xf runs on torch only; leave it out or pass 'pt'.")
    parts = {
        "tokenizer": tokenizer,
        "feature_extractor": feature_extractor,
        "image_processor": image_processor,
        "processor": processor,
    }
    _check_presence(task, model, pipeline_class, parts)
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    hub = {"revision": revision, "token": token}
    source = model if isinstance(model, str) else None
    model_options = _model_options(model_kwargs, torch_dtype, kwargs, device, device_map)
    hub |= {name: value for name, value in model_options.items() if name in _SHARED or name.endswith("_file")}
    if source is not None:
        if config is None:
            _refuse_adapter(source, hub)
        config = _config(config, source, hub)
    if task is None and pipeline_class is None:
        loaded = [] if source is not None else [type(model).__name__]
        described = config if source is not None else model.config
        task = _task_of(described, loaded or getattr(described, "architectures", None) or [])
    entry, options = _entry(task, pipeline_class)
    chosen: type[Pipeline] = pipeline_class or entry["impl"]
    if model is None:
        model, hub["revision"] = _default_model(task, entry, options, revision)
        source, config = model, _config(config, model, hub)
    if isinstance(model, str):
        model = _load_model(chosen, entry, model, config, hub, model_options)
    elif not hasattr(model, "config"):
        raise TypeError(f"model must be a name, a folder or a model, not {type(model).__name__}.")
    found = _load_parts(chosen, parts, source, config, model, {**hub, "use_fast": use_fast})
    if device is not None:
        kwargs["device"] = device
    return chosen(model=model, framework="pt", task=task or chosen.task, **found, **kwargs)


def _entry(task: str | None, pipeline_class: Any) -> tuple[dict[str, Any], Any]:
    """What is known of a task, and its options. A class of the user's own may serve a task that is not installed."""
    if task is None:
        return {}, None
    try:
        _, entry, options = check_task(task)
    except PluginNotInstalledError:
        if pipeline_class is None:
            raise
        return {}, None
    return entry, options


def _check_presence(task: str | None, model: Any, pipeline_class: Any, parts: Mapping[str, Any]) -> None:
    if task is None and model is None:
        raise RuntimeError("pipeline() needs a task or a model: pipeline('fill-mask'), pipeline(model='...').")
    for name in parts if model is None else ():
        if parts[name] is not None:
            raise RuntimeError(
                f"pipeline() was given a {name} but no model: it may not fit the task's default model. Name the model."
            )


def _model_options(
    model_kwargs: dict[str, Any] | None, torch_dtype: Any, kwargs: dict[str, Any], device: Any, device_map: Any
) -> dict[str, Any]:
    """The arguments for the model's from_pretrained. Raises ValueError where two of them say the same thing twice."""
    options = dict(model_kwargs or {})
    given = {"torch_dtype": torch_dtype, "dtype": kwargs.pop("dtype", None)}
    given = {name: value for name, value in given.items() if value is not None}
    inner = {name for name in ("torch_dtype", "dtype") if name in options}
    if len(given) + len(inner) > 1 and len({str(v) for v in (*given.values(), *(options[n] for n in inner))}) > 1:
        raise ValueError(f"The dtype is given twice, differently: {given}, model_kwargs {sorted(inner)}. Give it once.")
    if device_map is not None:
        if "device_map" in options:
            raise ValueError("device_map is given twice, also in model_kwargs. Give it once.")
        if device is not None:
            raise ValueError("device and device_map both say where the model goes. Give one of them.")
        options["device_map"] = device_map
    if not inner:
        options["torch_dtype"] = next(iter(given.values()), "auto")
    return options


def _config(config: Any, source: str, hub: dict[str, Any]) -> Any:
    if config is not None and not isinstance(config, (str, os.PathLike)):
        return config
    from xf.auto import AutoConfig

    return AutoConfig.from_pretrained(config or source, **hub)


def _refuse_adapter(source: str, hub: dict[str, Any]) -> None:
    """Raises ValueError for a checkpoint that holds only an adapter: the changes to a model, without the model."""
    from xf.checkpoint import resolve
    from xf.checkpoint.source import pop_source_options

    try:
        checkpoint = resolve(source, **pop_source_options(dict(hub)))
        if checkpoint.path("config.json") is not None or checkpoint.path("adapter_config.json") is None:
            return
        base = (checkpoint.read_json("adapter_config.json") or {}).get("base_model_name_or_path")
    except (OSError, ValueError):
        return  # whoever reads the config next says what is wrong
    raise ValueError(
        f"{source} is an adapter (adapter_config.json) for {base or 'a model that it does not name'}, and no model; xf "
        "loads no adapters. Merge it with its model (merge_and_unload of peft), save the result, and pass that folder; "
        "or pass the model without the adapter."
    )


def _task_of(config: Any, architectures: list[str]) -> str:
    """The task an architecture was made for. Raises ValueError where that cannot be told."""
    model_type = getattr(config, "model_type", "")
    for architecture in architectures:
        record = find_attribute(architecture)
        head = record.group.removeprefix("model.") if record is not None else ""
        if head in TASK_OF_HEAD:
            return TASK_OF_HEAD[head]
        for head, task in TASK_OF_HEAD.items():
            named = registry(f"model.{head}").find(model_type)
            if named is not None and named.attribute == architecture:
                return task
    base = registry("model.base").find(model_type)
    if base is not None and base.attribute in architectures:
        images = registry("tokenizer").find(model_type) is None and registry("image_processor").find(model_type)
        return "image-feature-extraction" if images else "feature-extraction"
    raise ValueError(
        f"The task of a {model_type or 'model without a type'} with the architectures {architectures} is not known. "
        "Name it: pipeline(task, model=...)."
    )


def _default_model(task: str | None, entry: dict[str, Any], options: Any, revision: str | None) -> tuple[str, Any]:
    """(name, revision) of the model to use when none is named. Raises ValueError where the task has none."""
    model = entry.get("default", {}).get("model")
    if isinstance(model, Mapping):
        if options not in model:
            known = ", ".join(f"translation_{a}_to_{b}" for a, b in model)
            raise ValueError(f"There is no default model for {task!r} with {options}. Name one, or use {known}.")
        model = model[options]
    if not model:
        raise ValueError(f"The task {task!r} has no default model. Name one: pipeline({task!r}, model=...).")
    name, _, pinned = model.partition("@")
    logger.warning(
        f"No model was named; the task {task} takes {name}" + (f" at revision {pinned}" if pinned else "") + ". "
        "Name a model and a revision for anything that is to last."
    )
    from xf.checkpoint import resolve
    from xf.hub import is_offline

    try:
        resolve(name, revision=revision or pinned or None).path("config.json")
    except (OSError, ValueError) as error:
        place = " (offline)" if is_offline() else ""
        raise ValueError(
            f"The default model of {task!r}, {name}, is not here{place}: {error} Pass model= with a folder or a "
            f"package that holds one (package://...), or load {name} once where there is a network."
            + _needs(getattr(entry.get("impl"), "default_family", None))
        ) from error
    return name, revision or pinned or None


def _needs(family: str | None) -> str:
    """What else is to be installed before a default model of that family runs; "" where that is nothing."""
    if family is None or registry("config").find(family) is not None:
        return ""
    owners = known.owners("config", family)
    return f" It is a {family}: " + (known.install_line(owners) if owners else "no known plugin has that family.")


def _load_model(
    chosen: type[Pipeline], entry: dict[str, Any], name: str, config: Any, hub: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Load the model with the class its architecture names, else with the first head of the task that fits its type."""
    loaders = [*entry.get("pt", ())] or [_model_class(chosen, config)]
    errors: list[str] = []
    for loader in loaders:
        try:
            return loader.from_pretrained(name, config=config, **{**chosen.model_options, **hub, **options})
        except (KeyError, ValueError) as error:
            if len(loaders) == 1:
                raise
            errors.append(f"{loader.__name__}: {error}")
    raise ValueError(f"No class of the task loads {name}: " + "; ".join(errors))


def _model_class(chosen: type[Pipeline], config: Any) -> Any:
    """What loads the model: the head that the checkpoint names, among the task's; else the first that serves its type.

    Raises: PluginNotInstalledError with what to install; ValueError where models of this type have no such head.
    """
    from xf import auto

    architectures = getattr(config, "architectures", None) or []
    if not chosen.auto_model_heads and architectures:
        return load_attribute(architectures[0])

    def named(head: str) -> bool:
        record = registry(f"model.{head}").find(config.model_type)
        return record is not None and record.attribute in architectures

    heads = tuple(sorted(chosen.auto_model_heads or ("base",), key=lambda head: not named(head)))  # stable
    return type("AutoModel", (auto._AutoModel,), {"heads": heads})


def _load_parts(
    chosen: type[Pipeline], given: Mapping[str, Any], source: str | None, config: Any, model: Any, hub: dict[str, Any]
) -> dict[str, Any]:
    """Every part the pipeline needs, loaded. Raises ValueError for one that nothing says where to find."""
    found: dict[str, Any] = {}
    name = source or (config if isinstance(config, str) else None)
    for part in ("processor", "tokenizer", "feature_extractor", "image_processor"):
        value = given[part]
        if value is None and found.get("processor") is not None:
            value = getattr(found["processor"], part, None)
        if isinstance(value, (str, os.PathLike, tuple)):
            value = _load_part(part, value, hub)
        elif value is None and part in (chosen.loads or ()):
            if name is None:
                raise ValueError(
                    f"The pipeline needs a {part}, and a loaded model does not say where its {part} is. "
                    f"Pass {part}= with a name, a folder or an object."
                )
            value = _load_part(part, name, hub)
        elif value is None and name is not None and _offers(chosen, part, name, model.config, hub):
            value = _load_part(part, name, hub)
        found[part] = value
    return found


def _load_part(part: str, source: Any, hub: dict[str, Any]) -> Any:
    from xf import auto

    options = {key: value for key, value in hub.items() if key != "use_fast" or part in ("tokenizer", "processor")}
    if isinstance(source, tuple):
        source, options = source[0], {**options, **source[1]}
    return getattr(auto, PARTS[part]).from_pretrained(source, **options)


def _offers(chosen: type[Pipeline], part: str, name: str, config: Any, hub: dict[str, Any]) -> bool:
    """Whether a part that is optional is there: its plugin is installed and its file is in the checkpoint."""
    if part not in (tuple(PARTS) if chosen.loads is None else chosen.optional_loads):
        return False
    if part != "tokenizer" and getattr(config, "model_type", "") not in registry(part):
        return False  # the kernel reads any tokenizer.json; the others need their family
    from xf.checkpoint import resolve
    from xf.checkpoint.source import pop_source_options

    checkpoint = resolve(name, **pop_source_options(dict(hub)))
    return any(checkpoint.path(file) is not None for file in _FILES[part])
