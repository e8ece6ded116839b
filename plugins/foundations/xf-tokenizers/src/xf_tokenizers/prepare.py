"""Model inputs from lists of ids: truncation, special tokens, padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xf import logging
from xf.utils.enums import PaddingStrategy

from .arguments import STRATEGY_OPTIONS
from .batch_encoding import BatchEncoding, TruncationStrategy
from .lengths import check_side

if TYPE_CHECKING:
    from .token_sequences import TokenSequencesMixin

logger = logging.get_logger(__name__)


def truncate_sequences(
    ids: list[int],
    pair_ids: list[int] | None = None,
    num_tokens_to_remove: int = 0,
    truncation_strategy: str | TruncationStrategy = "longest_first",
    stride: int = 0,
    side: str = "right",
) -> tuple[list[int], list[int] | None, list[int]]:
    """Remove tokens from one or both sequences; see `PreTrainedTokenizerBase.truncate_sequences`."""
    check_side(side, "truncation_side")
    strategy = TruncationStrategy(truncation_strategy)
    if num_tokens_to_remove <= 0 or strategy is TruncationStrategy.DO_NOT_TRUNCATE:
        return ids, pair_ids, []
    if strategy is TruncationStrategy.LONGEST_FIRST and pair_ids is not None:
        from_first, from_second = longest_first(len(ids), len(pair_ids), num_tokens_to_remove)
        logger.warning(
            "Be aware, overflowing tokens are not returned for the setting you have chosen, i.e. sequence pairs "
            f"with the '{strategy.value}' truncation strategy."
        )
        return cut(ids, from_first, side), cut(pair_ids, from_second, side), []
    target = pair_ids if strategy is TruncationStrategy.ONLY_SECOND else ids
    if target is None or len(target) <= num_tokens_to_remove:
        which = "second" if strategy is TruncationStrategy.ONLY_SECOND else "first"
        logger.error(
            f"{num_tokens_to_remove} tokens are to be removed from the {which} sequence alone, which has "
            f"{len(target or [])}: nothing was removed. Select another truncation strategy than "
            f"'{strategy.value}', for instance 'longest_first'."
        )
        return ids, pair_ids, []
    window = min(len(target), stride + num_tokens_to_remove)
    overflow = target[-window:] if side == "right" else target[:window]
    kept = cut(target, num_tokens_to_remove, side)
    return (ids, kept, overflow) if target is pair_ids else (kept, pair_ids, overflow)


def cut(ids: list[int], count: int, side: str) -> list[int]:
    """`ids` without `count` of them at one side, or without any if there are fewer."""
    kept = max(len(ids) - count, 0)
    return ids[:kept] if side == "right" else ids[len(ids) - kept :]


def longest_first(first: int, second: int, count: int) -> tuple[int, int]:
    """How many of `count` tokens each sequence loses when each is taken from the longer, from the second if equal."""
    level = min(abs(first - second), count)
    rest = count - level
    taken = (level, 0) if first > second else (0, level)
    return taken[0] + rest // 2, taken[1] + rest - rest // 2


def prepare_for_model(
    tokenizer: TokenSequencesMixin, ids: list[int], pair_ids: list[int] | None = None, **options: Any
) -> BatchEncoding:
    """The model inputs for one or two sequences of ids; see `PreTrainedTokenizerBase.prepare_for_model`."""
    asked = {name: options.pop(name) for name in STRATEGY_OPTIONS}
    of, verbose = asked["pad_to_multiple_of"], asked["verbose"]
    side, stride, special = options.pop("padding_side"), options.pop("stride"), options.pop("add_special_tokens")
    tensors, axis = options.pop("return_tensors"), options.pop("prepend_batch_axis")
    wanted = {name: options.pop(f"return_{name}") for name in _RETURNED}
    padding, truncation, max_length, _ = tokenizer._get_padding_truncation_strategies(**asked, **options)
    pair = pair_ids is not None
    if wanted["token_type_ids"] and not special:
        raise ValueError("return_token_type_ids=True needs add_special_tokens=True")
    if wanted["overflowing_tokens"] and pair and truncation is TruncationStrategy.LONGEST_FIRST:
        raise ValueError(
            "Not possible to return overflowing tokens for a pair of sequences with `longest_first`. Select "
            "another truncation strategy, for instance `only_second` or `only_first`."
        )
    for name in ("token_type_ids", "attention_mask"):
        wanted[name] = name in tokenizer.model_input_names if wanted[name] is None else wanted[name]

    inputs: dict[str, Any] = {}
    added = tokenizer.num_special_tokens_to_add(pair) if special else 0
    excess = len(ids) + len(pair_ids or []) + added - (max_length or 0)
    overflow: list[int] = []
    if truncation is not TruncationStrategy.DO_NOT_TRUNCATE and max_length and excess > 0:
        ids, pair_ids, overflow = tokenizer.truncate_sequences(ids, pair_ids, excess, truncation, stride)
    if wanted["overflowing_tokens"]:
        inputs["overflowing_tokens"] = overflow
        inputs["num_truncated_tokens"] = excess if max_length is not None else 0
    inputs.update(_with_special_tokens(tokenizer, ids, pair_ids, special, wanted))
    tokenizer._eventual_warn_about_too_long_sequence(inputs["input_ids"], max_length, verbose)
    if padding is not PaddingStrategy.DO_NOT_PAD or wanted["attention_mask"]:
        inputs = tokenizer._pad(inputs, max_length, padding, of, side, wanted["attention_mask"])
    if wanted["length"]:
        inputs["length"] = len(inputs["input_ids"])
    return BatchEncoding(inputs, tensor_type=tensors, prepend_batch_axis=axis)


_RETURNED = (
    "token_type_ids", "attention_mask", "overflowing_tokens", "special_tokens_mask", "offsets_mapping", "length"
)  # fmt: skip


def _with_special_tokens(
    tokenizer: TokenSequencesMixin,
    ids: list[int],
    pair_ids: list[int] | None,
    special: bool,
    wanted: dict[str, Any],
) -> dict[str, list[int]]:
    inputs = {"input_ids": ids + (pair_ids or [])}
    if special:
        inputs["input_ids"] = tokenizer.build_inputs_with_special_tokens(ids, pair_ids)
    if wanted["token_type_ids"]:
        types = [0] * len(inputs["input_ids"])
        inputs["token_type_ids"] = tokenizer.create_token_type_ids_from_sequences(ids, pair_ids) if special else types
    if wanted["special_tokens_mask"]:
        mask = [0] * len(inputs["input_ids"])
        inputs["special_tokens_mask"] = tokenizer.get_special_tokens_mask(ids, pair_ids) if special else mask
    return inputs
