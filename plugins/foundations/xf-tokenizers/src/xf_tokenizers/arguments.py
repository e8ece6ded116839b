"""The arguments of a call: which are handed on, and what a text may be."""

from __future__ import annotations

from typing import Any

#: Those that say how to pad and truncate.
STRATEGY_OPTIONS = ("padding", "truncation", "max_length", "pad_to_multiple_of", "verbose")
#: The arguments of a call that are handed on as they are.
OPTIONS = frozenset(
    "add_special_tokens padding truncation max_length stride is_split_into_words pad_to_multiple_of padding_side "
    "return_tensors return_token_type_ids return_attention_mask return_overflowing_tokens return_special_tokens_mask "
    "return_offsets_mapping return_length verbose".split()
)


def check_text(text: Any, name: str, is_split_into_words: bool) -> None:
    """ValueError unless `text` is a string, or lists of strings as deep as a batch may be."""
    if isinstance(text, str):
        return
    if not isinstance(text, (list, tuple)):
        raise ValueError(
            f"{name} input must be of type `str` (single example), `list[str]` (batch or single pretokenized example) "
            f"or `list[list[str]]` (batch of pretokenized examples), not {type(text).__name__}: {_shortened(text)}"
        )
    for index, item in enumerate(text):
        if isinstance(item, str):
            continue
        where = f"{name}[{index}]"
        if not isinstance(item, (list, tuple)):
            raise ValueError(f"{where} must be a string, not {type(item).__name__}: {_shortened(item)}")
        if not is_split_into_words and len(item) != 2:
            raise ValueError(
                f"{where} is a list of {len(item)} texts: give a string, or two for a pair; "
                "for texts that are split into words pass is_split_into_words=True"
            )


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def has_surrogates(item: Any) -> bool:
    """Whether a text, or one inside lists, cannot be written as UTF-8."""
    if isinstance(item, (list, tuple)):
        return any(has_surrogates(part) for part in item)
    return isinstance(item, str) and any("\ud800" <= character <= "\udfff" for character in item)
