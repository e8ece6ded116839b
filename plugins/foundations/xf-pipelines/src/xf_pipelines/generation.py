"""What tasks whose model generates share: whose settings count, and what stops a text."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from xf import logging

if TYPE_CHECKING:
    from .pipeline import Pipeline

logger = logging.get_logger(__name__)

#: options that say what the text is to the letter, so that nothing of it may be cleaned up
EXACT_TEXT = frozenset({"json_schema", "regex", "grammar"})
UNLIMITED = 20  # max_length of a generation config that sets no limit: the documented default


def prepare_generation(pipe: Pipeline, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give a pipeline a generation config of its own; returns the parameters that are no part of it.

    The model's own, then what the task sets, then what the model's config says for this task, then the arguments.
    A length limit of the model's or of the user's (`max_length`) takes the place of the task's `max_new_tokens`.
    """
    pipe.assistant_model, pipe.assistant_tokenizer = _assistant(pipe.model, kwargs)
    pipe.prefix = getattr(pipe.model.config, "prefix", None)
    if getattr(pipe.model, "generation_config", None) is None:
        return kwargs
    config = kwargs.pop("generation_config", None)
    pipe.generation_config = copy.deepcopy(config or pipe.model.generation_config)
    values = {} if config is not None else dict(pipe.generation_defaults)
    specific = dict((getattr(pipe.model.config, "task_specific_params", None) or {}).get(pipe.task) or {})
    pipe.prefix = specific.pop("prefix", pipe.prefix)
    known = {name: value for name, value in specific.items() if hasattr(pipe.generation_config, name)}
    given = {name: kwargs.pop(name) for name in list(kwargs) if hasattr(pipe.generation_config, name)}
    limited = pipe.generation_config.max_length != UNLIMITED or given.get("max_length") is not None
    if limited and "max_new_tokens" in values:
        del values["max_new_tokens"]
        pipe.generation_config.max_new_tokens = None
    for name, value in {**values, **known, **given}.items():
        setattr(pipe.generation_config, name, value)
    pad = getattr(pipe.tokenizer, "pad_token_id", None)
    if pipe.generation_config.pad_token_id is None and pad is not None:
        pipe.generation_config.pad_token_id = pad
    return kwargs


def generation_arguments(pipe: Pipeline, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `generate`: those of the call on the pipeline's own configuration."""
    arguments = dict(arguments)
    config = copy.deepcopy(arguments.pop("generation_config", None) or pipe.generation_config)
    if arguments.get("max_length") is not None and arguments.get("max_new_tokens") is None:
        config.max_new_tokens = None  # a limit of the call's takes the place of the task's own
    samples = arguments.get("do_sample", config.do_sample)
    if not samples and config.temperature == pipe.generation_defaults.get("temperature"):
        config.temperature = pipe.model.generation_config.temperature  # the task's own has no effect then
    arguments["generation_config"] = config
    if pipe.tokenizer is not None:  # for stop strings, and for options of plugins that look at the text
        arguments.setdefault("tokenizer", pipe.tokenizer)
    for name in ("assistant_model", "assistant_tokenizer"):
        if getattr(pipe, name, None) is not None:
            arguments.setdefault(name, getattr(pipe, name))
    return arguments


def stop_token(tokenizer: Any, stop_sequence: str) -> int:
    """The first token of a text that is to stop generation. Raises ValueError where it has none."""
    stop = tokenizer.encode(stop_sequence, add_special_tokens=False)
    if not stop:
        raise ValueError(f"stop_sequence {stop_sequence!r} has no token")
    if len(stop) > 1:
        logger.warning_once(
            f"stop_sequence has {len(stop)} tokens; generation stops at the first of them. "
            "stop_strings=[...] stops at the whole string."
        )
    return int(stop[0])


def _assistant(model: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The assistant model of assisted generation and, where its vocabulary differs, its tokenizer."""
    assistant, tokenizer = kwargs.pop("assistant_model", None), kwargs.pop("assistant_tokenizer", None)
    if isinstance(assistant, str):
        from xf import auto

        name = assistant
        loader: Any = getattr(auto, "AutoModelForCausalLM")  # noqa: B009 (made at run time)
        assistant = loader.from_pretrained(name, torch_dtype=model.dtype).to(model.device)
        if tokenizer is None and assistant.config.vocab_size != model.config.vocab_size:
            tokenizer = auto.AutoTokenizer.from_pretrained(name)
    same = assistant is None or assistant.config.vocab_size == model.config.vocab_size
    return assistant, None if same else tokenizer
