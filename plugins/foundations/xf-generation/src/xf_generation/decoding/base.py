"""DecodingStrategy: how tokens are chosen. A plugin adds one in the registry `xf.v1.decoding`.

class MyStrategy(DecodingStrategy):
    options = {"my_option": None}

    @classmethod
    def wanted_by(cls, config): return getattr(config, "my_option", None) is not None

    def decode(self): ...          # self.run holds prompt, settings, processors and criteria

[project.entry-points."xf.v1.decoding"]
my_strategy = "my_package:MyStrategy"       # also generate(custom_generate="my_strategy")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..run import Run
from ..stopping import EosTokenCriteria, MaxLengthCriteria


class DecodingStrategy:
    """Base of all strategies.

    options: generation options declared here with defaults. crops_cache: drops latest tokens from the cache again.
    keeps_logits: reads the logits of the last position alone. needs_prompt: cannot begin from nothing. streams: feeds a
    streamer. one_row: decodes a single text.
    """

    options: ClassVar[Mapping[str, Any]] = {}
    order: ClassVar[int] = 1000
    crops_cache: ClassVar[bool] = False
    keeps_logits: ClassVar[bool] = True
    needs_prompt: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    def __init__(self, run: Run) -> None:
        self.run = run

    @classmethod
    def wanted_by(cls, config: Any) -> bool:
        """Whether these settings ask for a strategy beyond the documented modes."""
        return False

    @classmethod
    def check(cls, model: Any, config: Any, streamer: Any) -> None:
        """Raises: ValueError where model and settings do not go with this strategy."""
        if streamer is not None and not cls.streams:
            raise ValueError(
                f"{cls.__name__} cannot feed a streamer: it knows its text only at the end. Use num_beams=1, or no "
                "streamer."
            )

    @classmethod
    def rows_per_input(cls, config: Any) -> int:
        """Decoded rows per row of the batch."""
        return int(config.num_return_sequences or 1)

    def decode(self) -> Any:
        """Run to the end: returns token ids (R, T) or an output object."""
        raise NotImplementedError


class Ending:
    """Which rows are finished; the plain criteria (length, end tokens) are checked without calling them.

    Rows that have ended are filled with the padding token if the settings know an end token.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        plain = (MaxLengthCriteria, EosTokenCriteria)
        self.max_length = min((c.max_length for c in run.criteria if type(c) is MaxLengthCriteria), default=None)
        self.others = [c for c in run.criteria if type(c) not in plain]
        tokens = [c.eos_token_id for c in run.criteria if type(c) is EosTokenCriteria]
        self.ends = torch.cat(tokens).to(run.tokens.device) if tokens else None
        self.pads = any(hasattr(c, "eos_token_id") for c in run.criteria) and run.pad_token is not None
        self.unfinished_B = torch.ones(run.tokens.shape[0], dtype=torch.long, device=run.tokens.device)
        self._ids = frozenset(self.ends.tolist()) if self.ends is not None else frozenset()
        # where reading a token costs nothing, a row that ends is noticed without tensors
        self._on_cpu = run.tokens.device.type == "cpu"
        self._any_ended = False
        self._bounds = [
            c for c in run.criteria if type(c) is MaxLengthCriteria and c.max_position_embeddings is not None
        ]

    def fill(self, next_B: Tensor) -> Tensor:
        """The chosen tokens, with padding in rows that have ended."""
        if not self.pads or (self._on_cpu and not self._any_ended):
            return next_B
        return next_B * self.unfinished_B + self.run.pad_token * (1 - self.unfinished_B)

    def update(self, tokens_BT: Tensor, next_B: Tensor, scores: Any) -> bool:
        """Note which rows ended with next_B, the last of tokens_BT; True as long as one goes on."""
        if self.ends is not None and not (self._on_cpu and self._ids.isdisjoint(next_B.tolist())):
            self._any_ended = True
            ended = next_B == self.ends if len(self.ends) == 1 else torch.isin(next_B, self.ends)
            self.unfinished_B = self.unfinished_B & ~ended
        for criterion in self.others:
            self.unfinished_B = self.unfinished_B & ~torch.as_tensor(
                criterion(tokens_BT, scores), device=self.unfinished_B.device
            )
            self._any_ended = True
        if self.max_length is not None and tokens_BT.shape[1] >= self.max_length:
            return False
        if not (self.others or self.ends is not None) or (self._on_cpu and not self._any_ended):
            return True
        return bool(self.unfinished_B.any())
