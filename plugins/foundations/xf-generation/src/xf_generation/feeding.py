"""Feeder: runs a model on all tokens that its cache does not hold yet, and forgets tokens again (one row).

Shapes: T tokens so far, K tokens of this call, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .caches import past_length
from .stepping import forward_parameters


class Feeder:
    """Keeps one model's inputs up to date where several tokens are tried and some are taken back."""

    def __init__(self, model: Any, kwargs: dict[str, Any], prompt_length: int) -> None:
        """kwargs: the inputs of the model besides the tokens, with its cache. prompt_length: tokens of the prompt."""
        self.model, self.kwargs = model, dict(kwargs)
        encdec = bool(model.config.is_encoder_decoder)
        embeds = None if encdec else self.kwargs.get("inputs_embeds")
        self._embedded = 0 if embeds is None else max(embeds.shape[1] - prompt_length, 0)
        self._mask_name = "decoder_attention_mask" if encdec else "attention_mask"
        self._keeps_logits = "logits_to_keep" in forward_parameters(type(model))
        self.kwargs.pop("logits_to_keep", None)

    @property
    def cache(self) -> Any:
        """The model's cache, None before the first call where the model makes it."""
        return self.kwargs.get("past_key_values")

    def __call__(self, tokens_1T: Tensor, wanted: int = 1, **flags: Any) -> Any:
        """The model's output for the tokens after those in the cache; its logits are those of the last `wanted`."""
        total = self._embedded + tokens_1T.shape[1]
        past = past_length(self.kwargs)
        self.kwargs["cache_position"] = torch.arange(past, total, device=tokens_1T.device)
        mask = self.kwargs.get(self._mask_name)
        if mask is not None and mask.ndim == 2:
            self.kwargs[self._mask_name] = F.pad(mask, (0, total - mask.shape[1]), value=1)
        if self._keeps_logits:
            flags["logits_to_keep"] = wanted
        inputs = self.model.prepare_inputs_for_generation(tokens_1T, **self.kwargs)
        outputs = self.model(**inputs, **flags)
        if getattr(outputs, "past_key_values", None) is not None:
            self.kwargs["past_key_values"] = outputs.past_key_values
        outputs.logits = outputs.logits[:, -wanted:]
        return outputs

    def forget(self, tokens: int) -> None:
        """Keep the first `tokens` tokens of the text in the cache.

        Raises: ValueError if the cache cannot forget.
        """
        if not hasattr(self.cache, "crop"):
            raise ValueError(f"{type(self.model).__name__} cannot forget tokens: its memory is no cache of keys.")
        if past_length(self.kwargs) > self._embedded + tokens:
            self.cache.crop(self._embedded + tokens)
