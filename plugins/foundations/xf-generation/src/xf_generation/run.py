"""One `generate` call: what it was asked for, once everything is settled, and what it keeps along the way.

Shapes: B rows that are decoded (batch times beams or returned sequences), T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xf.interfaces.logits import LogitsProcessorList
from xf.outputs import ModelOutput

from . import outputs as out
from .caches import returned_cache
from .scores import draw
from .stopping import StoppingCriteriaList

_FIRST_BUFFER = 1024  # tokens per row that a buffer holds at first where no bound is near


@dataclass
class Run:
    """The settled settings and inputs of one call; decoding strategies read it.

    tokens: (B, T) the decoder's prompt, already expanded to all rows. model_kwargs: all other inputs of the model, by
    name. pad_token: fills rows after their end. eos_tokens: what ends a row. max_length: of prompt and answer.
    batch_size: rows before expansion. extra: arguments of `generate` that are not settings (tokenizer ...).
    """

    model: Any
    config: Any
    tokens: Tensor
    model_kwargs: dict[str, Any]
    processors: LogitsProcessorList
    criteria: StoppingCriteriaList
    max_length: int
    batch_size: int
    pad_token: int | None = None
    eos_tokens: tuple[int, ...] = ()
    streamer: Any = None
    assistant_model: Any = None
    synced: bool = False
    generators: list[torch.Generator] | None = None
    inputs_tensor: Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_length(self) -> int:
        return self.tokens.shape[1]

    @property
    def is_encoder_decoder(self) -> bool:
        return bool(self.model.config.is_encoder_decoder)

    def keep_going(self, unfinished: bool) -> bool:
        """Whether the loop runs on: as long as a row is unfinished, with synced ranks as long as one is on any rank."""
        if not self.synced:
            return unfinished
        flag = torch.tensor(1 if unfinished else 0, device=self.tokens.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.SUM)
        return bool(flag.item())

    def draw(self, scores_BV: Tensor, count: int = 1) -> Tensor:
        """`count` different tokens per row at random, (B, count), with the probabilities softmax(scores)."""
        return draw(scores_BV.softmax(dim=-1, dtype=torch.float32), count, self.generators, scores_BV)


class TokenBuffer:
    """Tokens (B, T) that grow at the end without copying what is there. `view` is a window on the storage."""

    def __init__(self, tokens_BT: Tensor, max_length: int) -> None:
        self.length = tokens_BT.shape[1]
        room = min(max_length, self.length + _FIRST_BUFFER)
        self._storage = tokens_BT.new_empty(tokens_BT.shape[0], max(room, self.length + 1))
        self._storage[:, : self.length] = tokens_BT

    @property
    def view(self) -> Tensor:
        """(B, T)"""
        return self._storage[:, : self.length]

    def append(self, next_B: Tensor) -> Tensor:
        """Add one token per row; returns them as (B, 1)."""
        if self.length == self._storage.shape[1]:
            grown = self._storage.new_empty(self._storage.shape[0], 2 * self.length)
            grown[:, : self.length] = self._storage
            self._storage = grown
        last_B1 = self._storage[:, self.length : self.length + 1]
        last_B1.copy_(next_B.unsqueeze(1))
        self.length += 1
        return last_B1


class Recorder:
    """Collects what the settings ask to return, step by step; makes the output object."""

    def __init__(self, run: Run) -> None:
        config = run.config
        self.run = run
        self.scores: list[Tensor] | None = [] if config.output_scores else None
        self.logits: list[Tensor] | None = [] if config.output_logits else None
        self.attentions: list[Any] | None = [] if config.output_attentions else None
        self.hidden_states: list[Any] | None = [] if config.output_hidden_states else None
        self.cross_attentions: list[Any] | None = [] if config.output_attentions and run.is_encoder_decoder else None

    @staticmethod
    def wanted_by(run: Run) -> Recorder | None:
        """A recorder if a dictionary is to be returned."""
        return Recorder(run) if run.config.return_dict_in_generate else None

    def add(self, outputs: ModelOutput, logits_BV: Tensor, scores_BV: Tensor) -> None:
        """Take over one step."""
        if self.scores is not None:
            self.scores.append(scores_BV)
        if self.logits is not None:
            self.logits.append(logits_BV)
        self.add_states(outputs)

    def add_states(self, outputs: Any) -> None:
        """Take over attentions and hidden states of one step."""
        encdec = self.run.is_encoder_decoder
        if self.attentions is not None:
            self.attentions.append(outputs.decoder_attentions if encdec else outputs.attentions)
        if self.cross_attentions is not None:
            self.cross_attentions.append(outputs.cross_attentions)
        if self.hidden_states is not None:
            self.hidden_states.append(outputs.decoder_hidden_states if encdec else outputs.hidden_states)

    def finish(self, sequences: Tensor, cache: Any, beams: bool = False, **more: Any) -> ModelOutput:
        """The output object, that of beam strategies if `beams`; `more` are its sequences_scores and beam_indices."""
        run, encdec = self.run, self.run.is_encoder_decoder
        common = {"sequences": sequences, "scores": _tuple(self.scores), "logits": _tuple(self.logits), **more}
        common["past_key_values"] = returned_cache(run.config, cache)
        if not encdec:
            kind = out.GenerateBeamDecoderOnlyOutput if beams else out.GenerateDecoderOnlyOutput
            return kind(attentions=_tuple(self.attentions), hidden_states=_tuple(self.hidden_states), **common)
        encoder = run.model_kwargs.get("encoder_outputs")
        asked = run.config
        kind2 = out.GenerateBeamEncoderDecoderOutput if beams else out.GenerateEncoderDecoderOutput
        return kind2(
            encoder_attentions=getattr(encoder, "attentions", None) if asked.output_attentions else None,
            encoder_hidden_states=getattr(encoder, "hidden_states", None) if asked.output_hidden_states else None,
            decoder_attentions=_tuple(self.attentions),
            cross_attentions=_tuple(self.cross_attentions),
            decoder_hidden_states=_tuple(self.hidden_states),
            **common,
        )


def _tuple(items: list[Any] | None) -> tuple[Any, ...] | None:
    return None if items is None else tuple(items)
