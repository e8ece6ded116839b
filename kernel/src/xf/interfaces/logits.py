"""LogitsProcessor: changes next-token scores; each says which generation options turn it on and where it stands.

Shapes: B batch (or beams), T tokens so far, V vocabulary.

A plugin that adds `generate(my_option=...)`:

    class MyProcessor(LogitsProcessor):
        options = {"my_option": None}          # generation options it declares, with their defaults
        order = 450                            # place among the others; the documented ones are multiples of 10

        @classmethod
        def from_options(cls, options, context):
            return cls(options["my_option"]) if options["my_option"] is not None else None

        def __call__(self, input_ids, scores): ...

    [project.entry-points."xf.v1.logits"]
    my_option = "my_package:MyProcessor"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class LogitsContext:
    """What a processor may know when it is built.

    generation_config: the settled settings of this call. prompt_length: tokens of the decoder's prompt.
    encoder_input_ids: (B, T_encoder), or None. device: of the scores. model: the model that generates.
    model_kwargs: the inputs of its first forward. extra: arguments of `generate` that are not options, by name.
    """

    generation_config: Any
    prompt_length: int
    device: torch.device
    model: Any = None
    encoder_input_ids: Tensor | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


class LogitsProcessor:
    """Base of all processors. `options`: generation options declared here, with defaults; `order`: place in the list.

    Options that the documented GenerationConfig already has may be named too; their defaults are the config's own.
    A processor that keeps state across steps does so per instance: one is built for every `generate` call.
    """

    options: ClassVar[Mapping[str, Any]] = {}
    order: ClassVar[int] = 1000

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        """The processor for these option values (all keys of `cls.options`), or None where they leave it off."""
        return None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids: (B, T) tokens so far; scores: (B, V), not changed in place. Returns the new scores (B, V)."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(input_ids, scores).")


class LogitsProcessorList(list[Any]):
    """Processors applied one after the other."""

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        """Keyword arguments go to the processors whose __call__ names them.

        Raises: ValueError if a processor needs an argument that was not given.
        """
        for processor in self:
            scores = _call(processor, input_ids, scores, kwargs)
        return scores


def _call(processor: Any, input_ids: Tensor, scores: Tensor, kwargs: dict[str, Any]) -> Tensor:
    if not kwargs:
        result: Tensor = processor(input_ids, scores)
        return result
    import inspect

    names = list(inspect.signature(processor.__call__).parameters)[2:]
    absent = [name for name in names if name not in kwargs]
    if absent:
        raise ValueError(f"{type(processor).__name__} needs {', '.join(absent)}: give them to the processor list.")
    result = processor(input_ids, scores, **{name: kwargs[name] for name in names})
    return result
