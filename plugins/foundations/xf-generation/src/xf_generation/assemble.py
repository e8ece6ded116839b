"""Builds the parts of a run from the registries: strategy, logits processors, stopping criteria."""

from __future__ import annotations

from typing import Any

from xf import logging
from xf.interfaces.logits import LogitsContext, LogitsProcessorList
from xf.plugins import registry

from .modes import GenerationMode
from .options import option_values, providers
from .run import Run
from .stopping import StoppingCriteriaList

logger = logging.get_logger(__name__)
CUSTOM_PROCESSORS_AT = 300  # the user's own processors come before the warpers of sampling, which begin here


def choose_strategy(config: Any, assistant_model: Any, custom: str | None) -> Any:
    """The decoding strategy: the one named `custom`, else the plugin whose options ask for it, else the documented
    mode.

    Raises: ValueError if `custom` names none.
    """
    found = registry("decoding")
    if custom is not None:
        if not isinstance(custom, str) or found.find(custom) is None:
            raise ValueError(
                f"custom_generate={custom!r} is no installed decoding strategy; here are {found.names()}. xf never "
                "runs code from a repository: install the strategy as a plugin (entry point group xf.v1.decoding)."
            )
        return found.get(custom)
    mode = config.get_generation_mode(assistant_model)
    for provider in providers("decoding"):
        if provider.wanted_by(config):
            return provider
    return found.get(mode.value if isinstance(mode, GenerationMode) else mode)


def _context(run: Run, arguments: dict[str, Any]) -> LogitsContext:
    encoder_ids = run.inputs_tensor
    if encoder_ids is not None and (encoder_ids.ndim != 2 or encoder_ids.is_floating_point()):
        encoder_ids = None
    return LogitsContext(
        generation_config=run.config,
        prompt_length=run.prompt_length,
        device=run.tokens.device,
        model=run.model,
        encoder_input_ids=encoder_ids,
        model_kwargs=run.model_kwargs,
        extra={**run.extra, **arguments},
    )


def build_processors(run: Run, custom: Any, arguments: dict[str, Any]) -> LogitsProcessorList:
    """The processors that the settings turn on, by their order, with the user's own in between.

    A processor of the user's replaces the one of the same class that a setting would make (with a warning).
    """
    context = _context(run, arguments)
    mine = list(custom or ())
    if any(not callable(processor) for processor in mine):
        raise ValueError("logits_processor must be a list of callables (input_ids, scores) -> scores.")
    before, after = [], []
    for provider in providers("logits"):
        processor = provider.from_options(option_values(provider, run.config), context)
        if processor is None:
            continue
        if any(type(own) is type(processor) for own in mine):
            logger.warning_once(
                f"The settings ask for a {type(processor).__name__} too; the one given in logits_processor is used "
                "instead."
            )
            continue
        (before if provider.order < CUSTOM_PROCESSORS_AT else after).append(processor)
    return LogitsProcessorList([*before, *mine, *after])


def build_criteria(run: Run, custom: Any) -> StoppingCriteriaList:
    """The stopping criteria that the settings turn on, then the user's own (which replace those of the same class)."""
    context = _context(run, {})
    mine = list(custom or ())
    if any(not callable(criterion) for criterion in mine):
        raise ValueError("stopping_criteria must be a list of callables (input_ids, scores) -> bool per row.")
    criteria = StoppingCriteriaList()
    for provider in providers("stopping"):
        criterion = provider.from_options(option_values(provider, run.config), context)
        if criterion is None:
            continue
        if any(type(own) is type(criterion) for own in mine):
            logger.warning_once(
                f"The settings ask for a {type(criterion).__name__} too; the one given in stopping_criteria is used "
                "instead."
            )
            continue
        criteria.append(criterion)
    criteria.extend(mine)
    return criteria
