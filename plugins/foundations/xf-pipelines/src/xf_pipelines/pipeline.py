"""Pipelines: preprocess, forward, postprocess, over one input or a stream of them (spec: main_classes/pipelines.md).

A task is a subclass of `Pipeline` with four methods, and says as data which models it takes and what it loads beside
them. `run` does the rest: streaming, batches by length, workers, errors per item.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections import UserDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import GeneratorType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from xf import logging
from xf.hub import PushToHubMixin
from xf.outputs import ModelOutput

from .factory import PIPELINE_REGISTRY, PipelineRegistry, check_task, get_supported_tasks, pipeline
from .formats import (
    ArgumentHandler,
    CsvPipelineDataFormat,
    JsonPipelineDataFormat,
    PipedPipelineDataFormat,
    PipelineDataFormat,
    PipelineException,
)
from .generation import prepare_generation
from .run import KeyDataset, KeyPairDataset, PipelineItemError, Run

__all__ = [
    "ArgumentHandler", "ChunkPipeline", "CsvPipelineDataFormat", "JsonPipelineDataFormat", "KeyDataset",
    "KeyPairDataset", "PIPELINE_REGISTRY", "PipedPipelineDataFormat", "Pipeline", "PipelineDataFormat",
    "PipelineException", "PipelineItemError", "PipelineRegistry", "check_task", "get_supported_tasks", "pipeline",
]  # fmt: skip

logger = logging.get_logger(__name__)

BAR_AFTER = 3.0  # seconds of work after which a terminal is shown a progress bar
RAW_INPUTS = ("pixel_values", "pixel_values_videos", "input_features", "input_values")


class Pipeline(PushToHubMixin, ABC):
    """Base of all pipelines. A subclass defines `_sanitize_parameters`, `preprocess`, `_forward` and `postprocess`.

    Args:
        model: the model.
        tokenizer, feature_extractor, image_processor, processor: what prepares its inputs, as far as the task needs it.
        task: the name of the task.
        device: where to run: a `torch.device`, its name, or an index (-1 is the CPU). Default: where a model that was
            placed by a device map is, else the accelerator if there is one, else the CPU.
        torch_dtype (or dtype): kept for symmetry; the model has its dtype already.
        batch_size, num_workers: defaults for calls.
        kwargs: default parameters of the task, as in a call.
    """

    task: str = ""
    auto_model_heads: ClassVar[tuple[str, ...]] = ()  # registries "model.<head>", in order of preference
    loads: ClassVar[tuple[str, ...] | None] = None  # parts a checkpoint must provide; None: whatever it has
    optional_loads: ClassVar[tuple[str, ...]] = ()  # parts that are loaded where the checkpoint has them
    default_model: ClassVar[str | Mapping[Any, str] | None] = None  # "name" or "name@revision"
    default_family: ClassVar[str | None] = None  # its model type, so that an error can say what to install
    padding_side: ClassVar[str | None] = None  # of batches; None: the tokenizer's
    model_options: ClassVar[Mapping[str, Any]] = {}  # arguments of the model's from_pretrained
    calls_generate: ClassVar[bool] = False
    chunked: ClassVar[bool] = False  # whether one input gives several items
    generation_defaults: ClassVar[Mapping[str, Any]] = {}  # what this task sets in the model's generation config
    # set where calls_generate: the pipeline's own settings, and what is put before each text
    generation_config: Any
    prefix: str | None
    assistant_model: Any
    assistant_tokenizer: Any

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        feature_extractor: Any = None,
        image_processor: Any = None,
        processor: Any = None,
        modelcard: Any = None,
        framework: str | None = None,
        task: str = "",
        device: int | str | torch.device | None = None,
        torch_dtype: Any = None,
        binary_output: bool = False,
        **kwargs: Any,
    ) -> None:
        if framework not in (None, "pt"):
            raise ValueError(f"framework={framework!r}: xf runs on torch only; leave it out or pass 'pt'.")
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"model must be a loaded model, not {type(model).__name__}; pipeline(...) loads by name.")
        self.framework, self.modelcard, self.binary_output = "pt", modelcard, binary_output
        self.model: Any = model
        self.tokenizer, self.processor = tokenizer, processor
        self.feature_extractor, self.image_processor = feature_extractor, image_processor
        self.task = task or type(self).task
        self.device = _device(device, model)
        if getattr(model, "hf_device_map", None) is None and self.device != _first_device(model):
            model.to(self.device)
        model.eval()
        kwargs.pop("dtype", None)
        if self.calls_generate:
            kwargs = prepare_generation(self, kwargs)
        self.call_count = 0
        self._batch_size: int | None = kwargs.pop("batch_size", None)
        self._num_workers: int | None = kwargs.pop("num_workers", None)
        self._preprocess_params, self._forward_params, self._postprocess_params = self._sanitize_parameters(**kwargs)

    # --- what a task defines

    @abstractmethod
    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the parameters of a call (or of the constructor) into those of preprocess, _forward and postprocess."""

    @abstractmethod
    def preprocess(self, input_: Any, **parameters: Any) -> Any:
        """One input as what `_forward` takes: a mapping whose tensors have a batch dimension of size 1."""

    @abstractmethod
    def _forward(self, input_tensors: Any, **parameters: Any) -> Any:
        """Run the model on one item or on a batch of them, already on its device."""

    @abstractmethod
    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        """The result of one input, from its part of what `_forward` returned, on the CPU."""

    # --- calling

    def __call__(
        self,
        inputs: Any,
        *args: Any,
        num_workers: int | None = None,
        batch_size: int | None = None,
        on_error: str = "raise",
        **kwargs: Any,
    ) -> Any:
        """Run on one input, a list (returns a list), or a dataset or generator (returns an iterator), in their order.

        Args:
            batch_size: up to how many items run at once; those of like length run together.
            num_workers: processes that run `preprocess`.
            on_error: "raise", or "return": an input that fails gives a `PipelineItemError` and the others go on.
            kwargs: parameters of the task.
        """
        if args:
            logger.warning(f"Ignored positional arguments: {args}")
        if on_error not in ("raise", "return"):
            raise ValueError(f"on_error must be 'raise' or 'return', not {on_error!r}.")
        batch_size = batch_size or self._batch_size or 1
        num_workers = num_workers if num_workers is not None else self._num_workers or 0
        given = self._sanitize_parameters(**kwargs)
        defaults = (self._preprocess_params, self._forward_params, self._postprocess_params)
        params = tuple({**default, **new} for default, new in zip(defaults, given, strict=True))
        self.call_count += 1
        run = Run(self, params, batch_size, num_workers, on_error == "return")
        if isinstance(inputs, list):
            return list(_with_bar(run.stream(inputs), len(inputs)))
        if isinstance(inputs, (Dataset, GeneratorType)) or _is_dataset(inputs):
            return run.stream(inputs)
        if on_error == "return":
            return next(run.stream([inputs]))
        return self.run_single(inputs, *params)

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Any:
        """One input through the three stages."""
        outputs = self.forward(self.preprocess(inputs, **preprocess_params), **forward_params)
        return self.postprocess(outputs, **postprocess_params)

    def forward(self, model_inputs: Any, **forward_params: Any) -> Any:
        """Run `_forward` on the model's device without gradients; what it returns comes back on the CPU."""
        with self.device_placement(), torch.no_grad():
            placed = self._ensure_tensor_on_device(self._cast(model_inputs), self.device)
            return self._ensure_tensor_on_device(self._forward(placed, **forward_params), torch.device("cpu"))

    def predict(self, X: Any) -> Any:
        """The same as a call."""
        return self(X)

    def transform(self, X: Any) -> Any:
        """The same as a call."""
        return self(X)

    # --- devices

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The dtype of the model."""
        return getattr(self.model, "dtype", None)

    dtype = torch_dtype

    @contextmanager
    def device_placement(self) -> Iterator[None]:
        """A context in which new tensors are made on the pipeline's device."""
        with torch.device(self.device) if self.device.type != "cpu" else nullcontext():
            yield

    def ensure_tensor_on_device(self, **inputs: Any) -> Any:
        """The same arguments with every tensor on the pipeline's device."""
        return self._ensure_tensor_on_device(inputs, self.device)

    def _ensure_tensor_on_device(self, inputs: Any, device: torch.device) -> Any:
        if isinstance(inputs, Tensor):
            return inputs.to(device)
        if isinstance(inputs, ModelOutput):
            return type(inputs)(**{k: self._ensure_tensor_on_device(v, device) for k, v in inputs.items()})
        if isinstance(inputs, UserDict):
            return type(inputs)({k: self._ensure_tensor_on_device(v, device) for k, v in inputs.items()})
        if type(inputs) in (dict, list, tuple):
            if isinstance(inputs, dict):
                return {k: self._ensure_tensor_on_device(v, device) for k, v in inputs.items()}
            return type(inputs)(self._ensure_tensor_on_device(item, device) for item in inputs)
        return inputs

    def _cast(self, inputs: Any) -> Any:
        """Images and sounds in the model's dtype; preprocessing makes them in float32."""
        wanted = self.torch_dtype
        if wanted is None or wanted == torch.float32 or not isinstance(inputs, (dict, UserDict)):
            return inputs
        for name in RAW_INPUTS:
            if isinstance(inputs.get(name), Tensor) and inputs[name].is_floating_point():
                inputs[name] = inputs[name].to(wanted)
        return inputs

    # --- models and files

    def check_model_type(self, supported_models: Iterable[str] | Mapping[Any, Any]) -> None:
        """Log an error when the model's class is none of `supported_models` (names, classes, or a mapping to them)."""
        found = supported_models.values() if isinstance(supported_models, Mapping) else supported_models
        names = [name if isinstance(name, str) else name.__name__ for name in found]
        if type(self.model).__name__ not in names:
            logger.error(
                f"The model {type(self.model).__name__} does not fit the task {self.task}. "
                f"Models that do: {', '.join(sorted(names))}."
            )

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save the model and everything that prepares its inputs into a folder."""
        if os.path.isfile(save_directory):
            raise ValueError(f"{os.fspath(save_directory)} is a file; a folder is needed.")
        self.model.save_pretrained(save_directory, **kwargs)
        for part in (self.tokenizer, self.feature_extractor, self.image_processor, self.processor, self.modelcard):
            if part is not None and hasattr(part, "save_pretrained"):
                part.save_pretrained(save_directory)


class ChunkPipeline(Pipeline):
    """A pipeline whose `preprocess` is a generator: one input gives several items for the model.

    `postprocess` gets the list of what `_forward` returned for them. Batches take items of several inputs together.
    """

    chunked = True

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Any:
        items = self.preprocess(inputs, **preprocess_params)
        return self.postprocess([self.forward(item, **forward_params) for item in items], **postprocess_params)


def _is_dataset(inputs: Any) -> bool:
    """Whether it is a dataset of the `datasets` library, which is no torch Dataset."""
    return type(inputs).__module__.partition(".")[0] == "datasets"


def _with_bar(results: Iterator[Any], total: int) -> Iterator[Any]:
    """The same, with a progress bar where the work is long and somebody is watching."""
    if total < 2 or not sys.stderr.isatty() or not logging.is_progress_bar_enabled():
        return results
    return iter(logging.tqdm(results, total=total, delay=BAR_AFTER, leave=False))


def _first_device(model: torch.nn.Module) -> torch.device:
    tensor = next(model.parameters(), None)
    return tensor.device if tensor is not None else torch.device("cpu")


def _device(device: int | str | torch.device | None, model: torch.nn.Module) -> torch.device:
    if device is None and getattr(model, "hf_device_map", None) is not None:
        return _first_device(model)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None:
        return torch.device(accelerator.type, 0) if accelerator is not None else torch.device("cpu")
    if isinstance(device, int):
        if device < 0:
            return torch.device("cpu")
        if accelerator is None:
            raise ValueError(f"device={device}: torch sees no accelerator here. Pass device='cpu', or leave it out.")
        return torch.device(accelerator.type, device)
    return torch.device(device)
