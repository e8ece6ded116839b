"""What a call of Whisper's `generate` asks for, settled: language, task, timestamps, thresholds, first tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf_plugin_whisper.languages import LANGUAGES, TASKS, TO_LANGUAGE_CODE

logger = logging.get_logger(__name__)

PROMPT_CONDITIONS = ("first-segment", "all-segments")


@dataclass
class Settings:
    """The settled settings of one call.

    config: for the decoding of a window. temperatures: tried one after the other until a transcript passes the
    thresholds; None is the decoding that the config asks for. first_timestamp: id of <|0.00|>, None where the
    vocabulary has no timestamps.
    """

    config: Any
    timestamps: bool
    first_timestamp: int | None
    temperatures: tuple[float | None, ...]
    compression_ratio_threshold: float | None
    logprob_threshold: float | None
    no_speech_threshold: float | None
    condition_on_prev_tokens: bool
    prompt_ids: Tensor | None
    prompt_condition_type: str
    token_timestamps: bool

    @property
    def first_timestamp_or_end(self) -> float:
        """Id of <|0.00|>, above all ids where there is none."""
        return float("inf") if self.first_timestamp is None else self.first_timestamp


def settle(config: Any, given: dict[str, Any], is_long: bool) -> Settings:
    """Settings from the arguments of a call (None where not given) and the generation config.

    Raises:
        ValueError: contradicting settings, or such that the checkpoint does not offer.
    """

    def value(name: str, default: Any = None) -> Any:
        return given[name] if given.get(name) is not None else getattr(config, name, default)

    no_timestamps = getattr(config, "no_timestamps_token_id", None)
    temperature = given.get("temperature")
    temperatures = tuple(temperature) if isinstance(temperature, (list, tuple)) else (temperature,)
    if not temperatures:
        raise ValueError("temperature is an empty list: give at least one, 0.0 for greedy decoding.")
    settings = Settings(
        config=config,
        timestamps=_settle_timestamps(value("return_timestamps", False), no_timestamps, is_long),
        first_timestamp=None if no_timestamps is None else no_timestamps + 1,
        temperatures=temperatures,
        compression_ratio_threshold=value("compression_ratio_threshold"),
        logprob_threshold=value("logprob_threshold"),
        no_speech_threshold=value("no_speech_threshold"),
        condition_on_prev_tokens=bool(value("condition_on_prev_tokens", False)),
        prompt_ids=given.get("prompt_ids"),
        prompt_condition_type=value("prompt_condition_type", PROMPT_CONDITIONS[0]),
        token_timestamps=bool(value("return_token_timestamps", False)),
    )
    _check(settings)
    return settings


def _settle_timestamps(wanted: bool, no_timestamps: int | None, is_long: bool) -> bool:
    if not wanted and is_long:
        raise ValueError(
            "The input is longer than 30 s, and moving through it needs timestamps: pass return_timestamps=True, or "
            "cut the input features to 3000 frames."
        )
    if wanted and no_timestamps is None:
        raise ValueError(
            "return_timestamps=True needs no_timestamps_token_id in the generation config, which this checkpoint "
            "lacks. Update its generation_config.json from the published one."
        )
    return bool(wanted)


def _check(settings: Settings) -> None:
    if settings.prompt_condition_type not in PROMPT_CONDITIONS:
        raise ValueError(
            f"prompt_condition_type={settings.prompt_condition_type!r} does not exist. "
            f"Make sure to set it to one of {', '.join(PROMPT_CONDITIONS)}."
        )
    if settings.prompt_condition_type == "all-segments" and not settings.condition_on_prev_tokens:
        raise ValueError("prompt_condition_type='all-segments' needs condition_on_prev_tokens=True.")
    if settings.no_speech_threshold is not None and settings.logprob_threshold is None:
        logger.warning("no_speech_threshold has no effect without logprob_threshold: set both.")
    if settings.token_timestamps and not getattr(settings.config, "alignment_heads", None):
        raise ValueError(
            "Model generation config has no `alignment_heads`, so times of tokens are not available. They are "
            "published for each checkpoint: update generation_config.json."
        )
    ids = settings.prompt_ids
    if ids is not None and (not isinstance(ids, Tensor) or ids.ndim != 1):
        raise ValueError("prompt_ids must be a tensor (tokens,): get_prompt_ids(text, return_tensors='pt') makes it.")


def language_token(config: Any, language: str) -> int:
    """Id of a language given by name, code or token.

    Raises:
        ValueError: Whisper or this checkpoint does not know it.
    """
    known: dict[str, int] | None = getattr(config, "lang_to_id", None)
    if known is None:
        raise ValueError(
            "The generation config has no lang_to_id, so language= cannot be used with this checkpoint. Update its "
            "generation_config.json from the published one."
        )
    language = language.lower()
    if language in known:
        token = language
    elif language in TO_LANGUAGE_CODE or language in LANGUAGES:
        token = f"<|{TO_LANGUAGE_CODE.get(language, language)}|>"
    else:
        names = list(known) if len(language) == 2 else list(TO_LANGUAGE_CODE)
        raise ValueError(f"Unsupported language: {language}. Language should be one of: {names}.")
    if token not in known:
        raise ValueError(f"{token} is not in the `generation_config.lang_to_id` of this checkpoint: it lacks it.")
    return known[token]


def check_language_and_task(config: Any, language: Any, task: str | None, batch: int) -> None:
    """ValueError unless the checkpoint offers the language(s) and the task."""
    if getattr(config, "is_multilingual", True) is False and (language is not None or task is not None):
        raise ValueError(
            "Cannot specify `task` or `language` for an English-only model. If the model is multilingual, pass "
            "is_multilingual=True, or update the generation config."
        )
    if isinstance(language, (list, tuple)):
        if any(item is None for item in language):
            raise ValueError("A list of languages must name each (str), not None. Pass language=None to detect all.")
        if len(language) != batch:
            raise ValueError(f"There are {len(language)} languages for {batch} inputs: give one each, or one for all.")
    elif language is not None and not isinstance(language, str):
        raise ValueError(f"language must be a str or a list of them, not {type(language).__name__}.")
    if task is None:
        return
    if task not in TASKS:
        raise ValueError(f"The task {task!r} is not supported. The task should be one of {list(TASKS)}.")
    if not getattr(config, "task_to_id", None):
        raise ValueError(
            "The generation config has no task_to_id, so task= cannot be used with this checkpoint. Update its "
            "generation_config.json from the published one."
        )


def first_tokens(
    config: Any,
    forced: list[Any] | None,
    language: str | list[str] | None,
    task: str | None,
    timestamps: bool,
    batch: int,
    detect: Any,
) -> Tensor:
    """The tokens that every transcript begins with, (batch, tokens): start, language, task, no timestamps.

    Args:
        forced: `forced_decoder_ids`, pairs (position, id or None) from position 1 on.
        detect: called without arguments where the language is to be heard; gives ids (batch,).

    Raises:
        ValueError: gaps in `forced`, or no start token.
    """
    start = config.decoder_start_token_id
    if start is None:
        raise ValueError("The generation config has no decoder_start_token_id: update generation_config.json.")
    languages = getattr(config, "lang_to_id", None) or {}
    tasks = getattr(config, "task_to_id", None) or {}
    rows: list[list[int | None]] = [[start, *_forced_ids(forced)] for _ in range(batch)]
    if language is not None:
        named = [language] * batch if isinstance(language, str) else list(language)
        for row, name in zip(rows, named, strict=True):
            _replace_or_add(row, language_token(config, name), set(languages.values()))
    elif languages and (len(rows[0]) < 2 or rows[0][1] is None):
        for row, found in zip(rows, detect().tolist(), strict=True):
            row[1:2] = [found]
    for row in rows:
        if task is not None:
            _replace_or_add(row, tasks[task], set(tasks.values()))
        elif language is not None and tasks and not set(row) & set(tasks.values()):
            row.append(tasks["transcribe"])
        _end_with(row, getattr(config, "no_timestamps_token_id", None), timestamps)
    return torch.tensor([[token for token in row if token is not None] for row in rows], dtype=torch.long)


def _forced_ids(forced: list[Any] | None) -> list[int | None]:
    ids: list[int | None] = []
    for position, token in forced or []:
        if position != len(ids) + 1:
            raise ValueError(
                f"forced_decoder_ids must force positions 1, 2, ... without gaps, but here come {forced}. "
                "Use the arguments language and task of generate."
            )
        ids.append(token)
    return ids


def _replace_or_add(row: list[int | None], token: int, kind: set[int]) -> None:
    """Put `token` in place of a token of its kind, or at the end."""
    if set(row) & kind:
        row[:] = [token if item in kind else item for item in row]
    else:
        row.append(token)


def _end_with(row: list[int | None], no_timestamps: int | None, timestamps: bool) -> None:
    if no_timestamps is None:
        return
    if not timestamps and row[-1] != no_timestamps:
        row.append(no_timestamps)
    elif timestamps and row[-1] == no_timestamps:
        row.pop()
