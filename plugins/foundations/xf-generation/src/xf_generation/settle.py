"""From the arguments of `generate` to settled settings: whose default wins, how long, which special tokens.

Every length counts the decoder's tokens, prompt included, unless its name says `new`.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor

from xf import logging

from .configuration import GenerationConfig
from .fields import FIELDS
from .modes import GenerationMode
from .options import all_option_names

logger = logging.get_logger(__name__)
#: arguments of `generate` that are neither settings nor inputs of the model
EXTRA = ("tokenizer", "assistant_tokenizer", "generator", "seed")
#: files from this generation of the layout on: the model's settings stand in for what a user's config leaves at default
_MODEL_DEFAULTS_SINCE = Version("4.50.0")


def settle_config(
    model: Any, given: GenerationConfig | None, use_model_defaults: bool | None, kwargs: dict[str, Any]
) -> tuple[GenerationConfig, dict[str, Any], dict[str, Any], set[str]]:
    """(settings, inputs of the model, extra arguments, names of the settings that were keyword arguments).

    Raises: ValueError for contradicting settings; TypeError if `given` is no GenerationConfig.
    """
    own = _own_config(model)
    if given is None:
        config = copy.copy(own)
    elif not isinstance(given, GenerationConfig):
        raise TypeError(f"generation_config must be a GenerationConfig, not {type(given).__name__}.")
    else:
        config = copy.copy(given)
        if use_model_defaults is True or (use_model_defaults is None and _is_recent(own)):
            _fill_in(config, own)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
            if getattr(config, name) is None:
                setattr(config, name, getattr(own, name))
    options = all_option_names() if any(name not in FIELDS for name in kwargs) else FIELDS
    settings = {name: value for name, value in kwargs.items() if name in options or hasattr(config, name)}
    names = set(settings)
    inputs = {name: value for name, value in kwargs.items() if name not in settings and value is not None}
    for name in ("output_attentions", "output_hidden_states"):
        if settings.get(name) is None:
            settings.pop(name, None)
    if settings:
        config.update(**settings)
    elif given is not None:
        config.validate()
    extra = {name: inputs.pop(name) for name in EXTRA if name in inputs}
    return config, inputs, extra, names


def _own_config(model: Any) -> GenerationConfig:
    """The model's settings; made anew from its config where that was changed after the settings came from there."""
    own: GenerationConfig = model.generation_config
    if own._from_model_config:
        state = _generation_values(model.config)
        if model.__dict__.get("_generation_values_seen") == state:
            return own
        model.__dict__["_generation_values_seen"] = state
        fresh = GenerationConfig.from_model_config(model.config)
        if fresh != own and own.to_json_string() == getattr(model, "_generation_config_read", None):
            model.generation_config = own = fresh
    return own


def _generation_values(config: Any) -> list[dict[str, Any]]:
    """What generation settings could be made from, in a model's config: a copy, to see later whether it was changed."""
    decoder = config.get_text_config(decoder=True)
    return [
        {name: copy.copy(value) for name, value in vars(part).items() if name in FIELDS}
        for part in ((config,) if decoder is config else (config, decoder))
    ]


def _is_recent(config: GenerationConfig) -> bool:
    try:
        return Version(config.transformers_version or "0") >= _MODEL_DEFAULTS_SINCE
    except InvalidVersion:
        return False


def _fill_in(config: GenerationConfig, own: GenerationConfig) -> None:
    """Where `config` has the documented default and the model another value, take the model's."""
    taken = {}
    for name, default in FIELDS.items():
        value, preferred = getattr(config, name), getattr(own, name)
        if value == default and preferred != default:
            setattr(config, name, preferred)
            taken[name] = preferred
    if taken:
        logger.warning_once(
            f"generation_config leaves {sorted(taken)} at the documented default; the model's own values are used: "
            f"{taken}. Set them, or pass use_model_defaults=False."
        )


def settle_tokens(config: GenerationConfig) -> tuple[int | None, tuple[int, ...]]:
    """(padding token, end tokens); padding defaults to the first end token."""
    eos = config.eos_token_id
    if isinstance(eos, Tensor):
        eos = eos.reshape(-1).tolist()
    ends = () if eos is None else (eos,) if isinstance(eos, int) else tuple(int(token) for token in eos)
    pad = config.pad_token_id
    if pad is None and ends:
        pad = ends[0]
        logger.info_once(f"pad_token_id is not set; rows are filled up with eos_token_id {pad}.")
    config.pad_token_id, config.eos_token_id = pad, list(ends) or None
    return pad, ends


def start_tokens(config: GenerationConfig, batch_size: int, device: torch.device) -> Tensor:
    """(B, 1) the decoder's first token: decoder_start_token_id (one for all, or one per row), else bos_token_id.

    Raises: ValueError if there is none, or a list that does not fit the batch.
    """
    start = config.decoder_start_token_id if config.decoder_start_token_id is not None else config.bos_token_id
    if start is None:
        raise ValueError("An encoder-decoder needs decoder_start_token_id (or bos_token_id) to begin its answer.")
    ids = torch.as_tensor(start, dtype=torch.long, device=device).reshape(-1)
    if len(ids) not in (1, batch_size):
        raise ValueError(
            f"decoder_start_token_id has {len(ids)} entries for a batch of {batch_size}: give one, or one per row."
        )
    return ids[:, None].expand(batch_size, 1).clone()


def settle_lengths(
    model: Any, config: GenerationConfig, settings: set[str], prompt_length: int, embedded: int, extended: bool
) -> None:
    """Set max_length and min_length of `config`.

    prompt_length: tokens of the decoder's prompt. embedded: tokens given as inputs_embeds beyond them (decoder-only).
    extended: whether inputs_embeds stand for a prompt of other length than the token ids.
    Raises: ValueError if nothing can be generated or the least is more than the most.
    """
    defaulted = "max_length" not in settings and config.max_length in (None, FIELDS["max_length"])
    positions = getattr(model.config, "max_position_embeddings", None)
    if config.max_new_tokens is not None:
        if not defaulted and config.max_length is not None:
            logger.warning_once(
                f"Both max_new_tokens ({config.max_new_tokens}) and max_length ({config.max_length}) are set; "
                "max_new_tokens counts."
            )
        config.max_length = config.max_new_tokens + prompt_length
    elif extended:
        config.max_length = (FIELDS["max_length"] if config.max_length is None else config.max_length) - embedded
    elif defaulted:
        config.max_length = FIELDS["max_length"] + prompt_length
        if positions is not None and positions > 0:
            config.max_length = min(config.max_length, positions)
    if config.min_new_tokens is not None:
        config.min_length = config.min_new_tokens + prompt_length
    elif extended:
        config.min_length = max((config.min_length or 0) - embedded, 0)
    if config.max_length <= prompt_length:
        told = (
            "max_length leaves no room: it" if not defaulted else "the prompt is as long as the model's positions go:"
        )
        raise ValueError(
            f"The prompt has {prompt_length + (embedded if extended else 0)} tokens and {told} is "
            f"{config.max_length + (embedded if extended else 0)}. Raise max_length, or better set max_new_tokens."
        )
    if (config.min_length or 0) > config.max_length:
        raise ValueError(
            f"At least {config.min_length} tokens are asked for (min_length, min_new_tokens), but at most "
            f"{config.max_length} (max_length, max_new_tokens): raise the one or lower the other."
        )
    if positions is not None and 0 < positions < config.max_length:
        logger.warning_once(
            f"Up to {config.max_length} tokens are asked for, but the model's positions go to {positions}: beyond, "
            "the text may be meaningless or an error."
        )


@functools.lru_cache(maxsize=1)
def _warned_sync() -> None:
    logger.warning("synced_gpus=True without torch.distributed: it is ignored.")


def settle_sync(synced: bool | None) -> bool:
    """Whether ranks must run the same number of steps."""
    if not synced:
        return False
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size() > 1
    _warned_sync()
    return False


def settle_generators(extra: dict[str, Any], batch_size: int, rows: int, device: torch.device) -> Any:
    """The random generators of this call: None for the global one, one for all rows, or one per decoded row.

    seed: an int for the call, or one per row of the batch (then row i draws as if it were alone with its seed).
    Raises: ValueError for both at once, or a number of seeds that does not fit.
    """
    generator, seed = extra.get("generator"), extra.get("seed")
    if generator is not None and seed is not None:
        raise ValueError("Give either generator= or seed=, not both.")
    if generator is not None:
        given = list(generator) if isinstance(generator, (list, tuple)) else [generator]
    elif seed is None:
        return None
    elif isinstance(seed, int):
        given = [torch.Generator(device=device).manual_seed(seed)]
    else:
        given = [torch.Generator(device=device).manual_seed(int(one)) for one in seed]
    if len(given) == 1:
        return given
    if len(given) != batch_size or rows != batch_size:
        raise ValueError(
            f"{len(given)} seeds or generators for a batch of {batch_size} with {rows // max(batch_size, 1)} "
            "sequences each: give one for the call, or one per row with num_return_sequences=1."
        )
    return given


def needs_more_rows(config: GenerationConfig, mode: GenerationMode | str) -> int:
    """Rows per row of the batch: beams, or returned sequences when sampling."""
    return max(config.num_beams or 1, config.num_return_sequences or 1)
