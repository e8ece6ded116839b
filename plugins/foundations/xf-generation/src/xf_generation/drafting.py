"""Drafters propose the next tokens, which the model then checks all at once (arXiv:2211.17192, arXiv:2302.01318).

Shapes: T tokens so far, K proposed tokens, V vocabulary.
"""

from __future__ import annotations

import copy
import weakref
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from .feeding import Feeder
from .fields import FIELDS
from .run import Run

#: by draft model: the length that the schedule "heuristic" has come to, which later calls go on with
_LENGTHS: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
_SCHEDULES = ("constant", "heuristic", "heuristic_transient")


class Drafter(ABC):
    """Proposes tokens."""

    @abstractmethod
    def propose(self, tokens_1T: Tensor, room: int) -> tuple[Tensor, Tensor | None]:
        """Up to `room` tokens (K,) that may follow, and the scores (K, V) that they were drawn or picked from.

        Scores are None where the proposal is no draw from a distribution over the model's vocabulary.
        """

    def learn(self, proposed: int, matched: int) -> None:  # noqa: B027  # an optional hook
        """Of `proposed` tokens the first `matched` were right."""


class PromptLookup(Drafter):
    """What followed earlier in the text on its latest tokens (github.com/apoorvumang/prompt-lookup-decoding)."""

    def __init__(self, count: int, ngram_size: int) -> None:
        """count: tokens to propose. ngram_size: latest tokens that must match, at most."""
        for name, value in (("prompt_lookup_num_tokens", count), ("max_matching_ngram_size", ngram_size)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}.")
        self.count, self.ngram_size = count, ngram_size

    def propose(self, tokens_1T: Tensor, room: int) -> tuple[Tensor, Tensor | None]:
        text_T = tokens_1T[0]
        count = min(self.count, room)
        for size in range(min(self.ngram_size, len(text_T) - 1), 0, -1):
            windows = text_T.unfold(0, size, 1)
            places = (windows == text_T[-size:]).all(dim=1).nonzero().flatten()
            for place in places.tolist():
                found = text_T[place + size : place + size + count]
                if len(found) and count:
                    return found, None
        return text_T[:0], None


class DraftModel(Drafter):
    """A smaller model with the same vocabulary."""

    def __init__(self, run: Run, model: Any, kwargs: dict[str, Any]) -> None:
        """kwargs: the inputs of the draft model besides the tokens, with its cache."""
        self.run = run
        self.feeder = Feeder(model, kwargs, run.prompt_length)
        self.threshold = float(setting(run, model, "assistant_confidence_threshold") or 0.0)
        self.schedule = setting(run, model, "num_assistant_tokens_schedule")
        if self.schedule not in _SCHEDULES:
            raise ValueError(f"num_assistant_tokens_schedule must be one of {_SCHEDULES}, not {self.schedule!r}.")
        self.length = float(setting(run, model, "num_assistant_tokens"))
        if self.length < 1:
            raise ValueError(f"num_assistant_tokens is {self.length:g}; it must be at least 1.")
        if self.schedule == "heuristic":
            self.length = _LENGTHS.get(model, self.length)
        self.ends = set(run.eos_tokens)

    def propose(self, tokens_1T: Tensor, room: int) -> tuple[Tensor, Tensor | None]:
        text = tokens_1T
        all_scores: list[Tensor] = []
        while len(all_scores) < min(int(self.length), room):
            logits_1V = self.feeder(text).logits[:, -1].to(torch.float32, copy=True)
            scores_1V = self.run.processors(text, logits_1V) if self.run.processors else logits_1V
            if not bool(scores_1V.amax().isfinite()):
                break  # the draft cannot go on: what it says up to here may be right
            next_1 = self.run.draw(scores_1V)[:, 0] if self.run.config.do_sample else scores_1V.argmax(dim=-1)
            text = torch.cat([text, next_1[:, None]], dim=1)
            all_scores.append(scores_1V)
            token = int(next_1)
            unsure = self.threshold and float(scores_1V.softmax(dim=-1)[0, token]) < self.threshold
            if token in self.ends or unsure:
                break
        if not all_scores:
            return tokens_1T[0, :0], None
        return text[0, tokens_1T.shape[1] :], torch.cat(all_scores)

    def keep(self, tokens: int) -> None:
        """The text goes on behind its first `tokens` tokens: forget all later ones."""
        if self.feeder.cache is not None:
            self.feeder.forget(tokens)

    def learn(self, proposed: int, matched: int) -> None:
        if self.schedule == "constant" or not proposed:
            return
        self.length = self.length + 2 if matched == proposed else max(1.0, self.length - 1)
        if self.schedule == "heuristic":
            _LENGTHS[self.feeder.model] = self.length


def setting(run: Run, model: Any, name: str) -> Any:
    """A setting of the call; where that is at its default, the draft model's own."""
    value = getattr(run.config, name)
    return getattr(model.generation_config, name) if value == FIELDS[name] else value


def early_exit(model: Any, layers: int) -> Any:
    """The model with its first `layers` decoder layers alone; it shares all weights with `model`.

    Raises: ValueError if the model has not that many layers, or no list of layers to cut.
    """
    depth = model.config.get_text_config(decoder=True).num_hidden_layers
    if isinstance(layers, bool) or not isinstance(layers, int) or not 0 < layers < depth:
        raise ValueError(f"assistant_early_exit must be between 1 and {depth - 1} for this model, not {layers!r}.")
    body = model.get_decoder() if model.config.is_encoder_decoder else model.base_model
    names = [name for name, part in body.named_children() if isinstance(part, nn.ModuleList) and len(part) == depth]
    if len(names) != 1:
        raise ValueError(f"assistant_early_exit finds no list of {depth} layers in {type(body).__name__}.")
    short_body = _twin(body)
    short_body._modules[names[0]] = nn.ModuleList(getattr(body, names[0])[:layers])
    for name, value in vars(body).items():  # what a model keeps per layer beside the layers: kinds, windows ...
        if isinstance(value, (list, tuple)) and len(value) == depth:
            setattr(short_body, name, value[:layers])
    return _replaced(model, body, short_body)


def _twin(module: nn.Module) -> nn.Module:
    """Another module with the same parts, which may be exchanged."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _replaced(module: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """`module` with `new` where `old` is in it."""
    if module is old:
        return new
    twin = _twin(module)
    for name, part in module.named_children():
        if any(inner is old for inner in part.modules()):
            twin._modules[name] = _replaced(part, old, new)
    return twin
