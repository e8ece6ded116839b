"""WatermarkLogitsProcessor: tokens on a secret list gain a bias (arXiv:2301.10226; selfhash: arXiv:2306.04634).

The list is a random part of the vocabulary, drawn with a seed that the latest tokens and a secret key give.
Shapes: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.interfaces.logits import LogitsContext, LogitsProcessor

from .configs import WatermarkingConfig

logger = logging.get_logger(__name__)
_HASH_TABLE_SIZE = 1_000_003  # a prime; token ids hash to places in a permutation of so many (the paper's code)
_SEEDS = 2**64 - 1
_TRIED = 40  # selfhash: only so many of the likeliest tokens are tested for their own list
_REMEMBERED = 128  # lists


class WatermarkLogitsProcessor(LogitsProcessor):
    """Adds `bias` to the scores of the tokens on the green list.

    vocab_size: of the model. device: of the scores; the lists of one device type are not those of another. The other
    arguments: see `WatermarkingConfig`.
    Raises: ValueError for settings that cannot work.
    """

    options = {"watermarking_config": None}
    order = 800  # after everything that shapes the distribution

    def __init__(
        self,
        vocab_size: int,
        device: str | torch.device,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ) -> None:
        WatermarkingConfig(greenlist_ratio, bias, hashing_key, seeding_scheme, context_width).validate()
        self.vocab_size = vocab_size
        self.greenlist_size = int(vocab_size * greenlist_ratio)
        self.bias, self.hash_key, self.seeding_scheme = bias, hashing_key, seeding_scheme
        self.context_width = context_width
        self.device = torch.device(device)
        self._generator = torch.Generator(device=self.device).manual_seed(hashing_key)
        # the paper's code: place of a token id in a permutation that the key gives
        self._places = torch.randperm(_HASH_TABLE_SIZE, generator=self._generator, device=self.device)
        self._lists: OrderedDict[int, Tensor] = OrderedDict()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], context: LogitsContext) -> LogitsProcessor | None:
        config = options["watermarking_config"]
        if not isinstance(config, WatermarkingConfig):
            return None
        vocab_size = context.model.config.get_text_config(decoder=True).vocab_size
        return config.construct_processor(vocab_size, context.device)

    def seed_of(self, context: Tensor) -> int:
        """The seed of the list that follows `context`, the latest tokens (one axis, oldest first)."""
        if self.seeding_scheme == "lefthash":
            return (self.hash_key * int(context[-1])) % _SEEDS
        latest = context[-self.context_width :]
        hashes = self._places[latest % _HASH_TABLE_SIZE] + 1
        return int((self.hash_key * hashes * hashes[-1]).min()) % _SEEDS

    def greenlist(self, context: Tensor) -> Tensor:
        """(V,) bool: the list that follows `context`."""
        seed = self.seed_of(context)
        found = self._lists.get(seed)
        if found is None:
            self._generator.manual_seed(seed)
            order = torch.randperm(self.vocab_size, device=self.device, generator=self._generator)
            found = torch.zeros(self.vocab_size, dtype=torch.bool, device=self.device)
            found[order[: self.greenlist_size]] = True
            self._lists[seed] = found
            if len(self._lists) > _REMEMBERED:
                self._lists.popitem(last=False)
        return found

    def is_green(self, context: Tensor, token: int) -> bool:
        """Whether `token` after `context` is on the list; with selfhash the token is part of what decides."""
        if self.seeding_scheme == "selfhash":
            context = torch.cat([context, context.new_tensor([token])])
        return bool(self.greenlist(context)[token])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[-1] < self.context_width:
            logger.warning_once(
                f"The watermark needs {self.context_width} tokens (context_width) and the text has "
                f"{input_ids.shape[-1]}: tokens up to there are not marked."
            )
            return scores
        favoured = torch.stack([self._favoured(ids, row) for ids, row in zip(input_ids, scores, strict=True)])
        return torch.where(favoured, scores + self.bias, scores)

    def _favoured(self, ids_T: Tensor, scores_V: Tensor) -> Tensor:
        """(V,) bool: the tokens that gain the bias."""
        context = ids_T[-self.context_width :].to(self.device)
        green = torch.zeros_like(scores_V, dtype=torch.bool)
        if self.seeding_scheme == "lefthash":
            green[: self.vocab_size] = self.greenlist(context)[: green.shape[0]].to(green.device)
            return green
        likeliest = scores_V.argsort(descending=True)[:_TRIED].tolist()
        chosen = [token for token in likeliest if token < self.vocab_size and self.is_green(context, token)]
        green[chosen] = True
        return green
