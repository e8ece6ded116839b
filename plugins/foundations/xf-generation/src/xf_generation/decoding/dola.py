"""DoLa: decoding by contrasting layers (arXiv:2309.03883): what the last layer adds to an early one counts.

Shapes: B rows, T tokens so far, L layers, C hidden width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..run import Run
from ..stepping import Stepper
from .sample import Sample

RELATIVE_TOP = 0.1  # tokens less than this times as likely as the best are dropped (section 2.2 of the paper)
_EARLY_SCORE = -1e-3  # what the early layer says about dropped tokens; they are at -inf anyway
_DEEP = 40  # from here on the buckets of early layers do not grow with the depth


class Dola(Sample):
    """Greedy search or sampling on contrasted scores. dola_layers: "low", "high" or a list of layers."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.layers = early_layers(run.model.config.get_text_config(decoder=True), run.config.dola_layers)

    @classmethod
    def check(cls, model: Any, config: Any, streamer: Any) -> None:
        super().check(model, config, streamer)
        if model.config.is_encoder_decoder:
            raise ValueError("dola_layers works with decoder-only models.")
        if model.get_output_embeddings() is None:
            raise ValueError(
                f"dola_layers needs the output embeddings of the model, which {type(model).__name__} hides."
            )

    def make_stepper(self) -> Stepper:
        return Stepper(self.run, output_hidden_states=True)

    def contrasted(self, outputs: Any, logits_BV: Tensor) -> Tensor:
        final_BV = logits_BV.float()
        head = self.run.model.get_output_embeddings()
        early = [head(outputs.hidden_states[layer][:, -1]).to(final_BV.device).float() for layer in self.layers]
        return contrast(final_BV, early[0] if len(early) == 1 else early[_furthest(final_BV, torch.stack(early))])


def early_layers(config: Any, wanted: Any) -> list[int]:
    """The layers to contrast with.

    Raises: ValueError for anything but "low", "high" or a list of layers, or if none is left.
    """
    depth = config.num_hidden_layers
    # with tied embeddings the first layers say the input token again (section 2.3): begin behind them
    start = min(2, depth - 1) if config.tie_word_embeddings else 0
    if wanted == "low":
        if start == depth // 2:
            layers = [start]
        else:
            layers = list(range(start, depth // 2 if depth <= _DEEP else 20, 2))
    elif wanted == "high":
        layers = list(range(depth // 2 if depth <= _DEEP else depth - 20, depth, 2))
    elif isinstance(wanted, (list, tuple)) and all(isinstance(layer, int) for layer in wanted):
        layers = [layer for layer in wanted if 0 <= layer < depth]
    else:
        raise ValueError(f'dola_layers must be "low", "high" or a list of layers, not {wanted!r}.')
    if not layers:
        raise ValueError(f"dola_layers={wanted!r} leaves no layer of the {depth} to contrast with.")
    return layers


def _furthest(final_BV: Tensor, early_LBV: Tensor) -> int:
    """The early layer with the largest Jensen-Shannon divergence from the last one, on average over the rows."""
    final_log, early_log = final_BV.log_softmax(-1), early_LBV.log_softmax(-1)
    middle = 0.5 * (final_BV.softmax(-1)[None] + early_LBV.softmax(-1))
    divergence = F.kl_div(final_log[None], middle, reduction="none").mean(-1)
    divergence = 0.5 * (divergence + F.kl_div(early_log, middle, reduction="none").mean(-1))
    return int(divergence.mean(-1).argmax())


def contrast(final_BV: Tensor, early_BV: Tensor) -> Tensor:
    """log p(final) - log p(early) for tokens that the last layer finds likely enough, -inf for the others."""
    final, early = final_BV.log_softmax(dim=-1), early_BV.log_softmax(dim=-1)
    unlikely = final < final.amax(dim=-1, keepdim=True) + math.log(RELATIVE_TOP)
    return final.masked_fill(unlikely, -math.inf) - early.masked_fill(unlikely, _EARLY_SCORE)
