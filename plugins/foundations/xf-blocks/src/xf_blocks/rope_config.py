"""Check of config.rope_scaling when a config is built: a wrong file fails before a model does. Without torch."""

from __future__ import annotations

from typing import Any

from xf import logging

logger = logging.get_logger(__name__)

#: keys that each kind needs, and those it also reads
_REQUIRED: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
}
_OPTIONAL: dict[str, tuple[str, ...]] = {
    "dynamic": ("original_max_position_embeddings",),
    "yarn": ("attention_factor", "beta_fast", "beta_slow", "original_max_position_embeddings", "mscale",
             "mscale_all_dim", "truncate"),
    "longrope": ("attention_factor", "factor", "original_max_position_embeddings"),
}  # fmt: skip


def settle_rope_scaling(config: Any) -> None:
    """Check config.rope_scaling, and give it the key "rope_type" where an older file says "type".

    Raises: as `check_rope_scaling`.
    """
    check_rope_scaling(config)
    if config.rope_scaling and "type" in config.rope_scaling:
        config.rope_scaling.setdefault("rope_type", config.rope_scaling["type"])


def check_rope_scaling(config: Any) -> None:
    """Check config.rope_scaling.

    Raises: ValueError for a value that no rotary embedding can be built from. A key that its kind does not read, and a
    kind that is not known here (a model plugin may have its own), is warned about.
    """
    scaling = config.rope_scaling
    if scaling is None:
        return
    if not isinstance(scaling, dict):
        raise ValueError(f"rope_scaling must be null or an object with a rope_type, not {scaling!r}.")
    kind = scaling.get("rope_type", scaling.get("type"))
    if not isinstance(kind, str):
        raise ValueError(f"rope_scaling must name its rope_type, one of {', '.join(_REQUIRED)}: {scaling!r}.")
    if kind not in _REQUIRED:
        logger.warning_once(f"rope_scaling has the rope_type {kind!r}, which is not one of {', '.join(_REQUIRED)}.")
        return
    missing = [key for key in _REQUIRED[kind] if scaling.get(key) is None]
    if missing:
        raise ValueError(f"rope_scaling of rope_type {kind!r} needs {', '.join(missing)}: {scaling!r}.")
    unread = set(scaling) - {"rope_type", "type", *_REQUIRED[kind], *_OPTIONAL.get(kind, ())}
    if unread:
        logger.warning(f"rope_scaling of rope_type {kind!r} does not use {', '.join(sorted(unread))}.")
    _check_numbers(kind, scaling)


def _check_numbers(kind: str, scaling: dict[str, Any]) -> None:
    for key in ("factor", "attention_factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow"):
        value = scaling.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0):
            raise ValueError(f"rope_scaling's {key} must be a positive number, not {value!r}.")
    if kind != "longrope" and scaling.get("factor") is not None and scaling["factor"] < 1:
        logger.warning(f"rope_scaling's factor is {scaling['factor']}; below 1 it shortens the text a model can read.")
    if kind == "llama3" and scaling["high_freq_factor"] <= scaling["low_freq_factor"]:
        raise ValueError(
            f"rope_scaling's high_freq_factor ({scaling['high_freq_factor']}) must be above its low_freq_factor "
            f"({scaling['low_freq_factor']})."
        )
    for key in ("short_factor", "long_factor"):
        value = scaling.get(key)
        numbers = isinstance(value, (list, tuple)) and all(isinstance(x, (int, float)) for x in value)
        if value is not None and not numbers:
            raise ValueError(f"rope_scaling's {key} must be a list of numbers, not {value!r}.")
