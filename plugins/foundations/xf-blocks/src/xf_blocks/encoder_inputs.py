"""Checks of what an encoder is given: exactly one of ids and embeddings, a text that fits its positions."""

from __future__ import annotations

from torch import Tensor

from xf.interfaces.model import PreTrainedModel


def check_text(model: PreTrainedModel, input_ids: Tensor | None, inputs_embeds: Tensor | None, mask: object) -> None:
    """Warn of padding without a mask.

    Raises: ValueError unless exactly one of input_ids and inputs_embeds is given.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError(f"{type(model).__name__} needs exactly one of input_ids and inputs_embeds.")
    if input_ids is not None:
        model.warn_if_padding_and_no_attention_mask(input_ids, mask if isinstance(mask, Tensor) else None)


def check_length(length: int, limit: int) -> None:
    """Raises: ValueError for a text of more tokens than the model has positions."""
    if length > limit:
        raise ValueError(f"The text is {length} tokens long, but the model has {limit} positions: truncate it.")
