"""Stepper: calls the model once per step and keeps its inputs up to date.

Models that use the inputs of `GenerationMixin` as they are take a short way: the keyword arguments of a step are made
once, positions are counted up in place and a mask is handed over only where there is padding. Models that override
`prepare_inputs_for_generation` or `_update_model_kwargs_for_generation` are asked at every step.

Shapes: B rows, T tokens of this step, K tokens so far.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor

from .prefill import prefill_in_chunks
from .run import Run

#: inputs with one entry per token: continued by their last column
PER_TOKEN = ("token_type_ids",)
#: inputs with one position per token: counted up
POSITIONS = ("position_ids", "decoder_position_ids")


@functools.lru_cache(maxsize=256)
def forward_parameters(model_class: type) -> frozenset[str]:
    """The names of the keyword arguments of a model's forward."""
    names = inspect.signature(model_class.forward).parameters.values()
    return frozenset(p.name for p in names if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)) - {"self"}


class Stepper:
    """Runs `run.model` on tokens that its cache does not hold yet."""

    def __init__(self, run: Run, **flags: Any) -> None:
        """flags: further arguments of every forward, such as output_hidden_states=True."""
        from .mixin import GenerationMixin

        self.model, self.run, self.kwargs = run.model, run, run.model_kwargs
        self.flags: dict[str, Any] = flags
        if run.config.return_dict_in_generate:
            for name in ("output_attentions", "output_hidden_states"):
                if getattr(run.config, name):
                    self.flags[name] = True
        if not getattr(self.model.config, "return_dict", True):
            self.flags["return_dict"] = True
        kind = type(self.model)
        own_hooks = (
            kind.prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation
            and kind._update_model_kwargs_for_generation is GenerationMixin._update_model_kwargs_for_generation
        )
        self._short = own_hooks and self.kwargs.get("use_cache", False)
        self._step: dict[str, Any] | None = None
        self._mask: Tensor | None = None
        self._mask_name = "decoder_attention_mask" if run.is_encoder_decoder else "attention_mask"
        self._length = 0
        self.forward = self._compiled()

    @property
    def cache(self) -> Any:
        """The cache as the model left it."""
        return self.kwargs.get("past_key_values")

    def __call__(self, tokens_BK: Tensor) -> Any:
        """The model's output for the tokens after those in the cache; tokens_BK are all so far."""
        if self._step is not None:
            return self.next(tokens_BK[:, -1:])
        self.kwargs = prefill_in_chunks(self.run, self.kwargs, tokens_BK)
        inputs = self.model.prepare_inputs_for_generation(tokens_BK, **self.kwargs)
        outputs = self._find_forward()(**inputs, **self.flags)
        self.kwargs = self.model._update_model_kwargs_for_generation(
            outputs, self.kwargs, is_encoder_decoder=self.run.is_encoder_decoder
        )
        self.run.model_kwargs = self.kwargs
        if self._short and self.cache is not None:
            self._begin_steps(inputs)
        return outputs

    def _begin_steps(self, first: dict[str, Any]) -> None:
        """Make the keyword arguments of all later steps from those of the first."""
        step = dict(first)
        names = forward_parameters(type(self.model))
        for name in ("inputs_embeds", "decoder_inputs_embeds", "logits_to_keep", *self.model.prefill_only_inputs):
            step.pop(name, None)
        step["past_key_values"] = self.cache
        step.pop("cache_position", None)
        if "cache_position" in names and getattr(self.cache, "is_compileable", True):
            step["cache_position"] = self.kwargs["cache_position"]  # other caches know how far they are
        for name in PER_TOKEN:
            if step.get(name) is not None:
                step[name] = step[name][:, -1:]
        for name in POSITIONS:
            if step.get(name) is not None:
                step[name] = step[name][..., -1:] + 1
        mask = self.kwargs.get(self._mask_name)
        if mask is not None and mask.ndim == 2:
            self._length = mask.shape[1]
            room = max(self.run.max_length + 1 - self.run.prompt_length, 1)
            self._mask = torch.cat([mask, mask.new_ones(mask.shape[0], min(room, 4096))], dim=1)
        self._step = {**step, **self.flags}
        self._find_forward()
        self._token_name = "decoder_input_ids" if self.run.is_encoder_decoder else "input_ids"

    def _find_forward(self) -> Any:
        """The model, or the form of its forward that costs less per token, where its family offers one."""
        if self.forward is None:
            direct_forward = getattr(self.model, "direct_forward", None)
            self.forward = (direct_forward() if direct_forward is not None else None) or self.model
        return self.forward

    def next(self, last_B1: Tensor) -> Any:
        """The output for one more token per row; only after the first call, and with `is_short`."""
        step = self._step
        assert step is not None
        step[self._token_name] = last_B1
        if self._mask is not None:
            if self._length > self._mask.shape[1]:
                self._mask = torch.cat([self._mask, torch.ones_like(self._mask)], dim=1)
            step[self._mask_name] = self._mask[:, : self._length]
            self._length += 1
        outputs = self.forward(**step)
        for name in ("cache_position", *POSITIONS):
            position = step.get(name)
            if position is not None:
                step[name] = position + 1
        return outputs

    def reorder(self, rows_B: Tensor) -> None:
        """Row i goes on from the text of row rows_B[i] (beam search)."""
        cache = self.cache if self.cache is not None else self.kwargs.get("cache_params")  # of state-space models
        if cache is not None:
            cache.reorder_cache(rows_B)

    def needs_cropping(self, who: str) -> None:
        """Raises: ValueError if the model cannot go back by a token."""
        if not self.is_short or not hasattr(self.cache, "crop"):
            raise ValueError(f"{who} does not work with {type(self.model).__name__}: its cache cannot forget a token.")

    def take_back(self) -> None:
        """Forget the last token."""
        assert self._step is not None
        self.cache.crop(-1)
        self._length -= 1
        for name in ("cache_position", *POSITIONS):
            if self._step.get(name) is not None:
                self._step[name] = self._step[name] - 1

    def repeat_rows(self, times: int) -> None:
        """From now on every row stands `times` times, one after the other."""
        assert self._step is not None
        cache = self._step.pop("past_key_values")
        for name in ("input_ids", "decoder_input_ids", self._mask_name):  # set anew at every step
            self._step.pop(name, None)
        nothing = torch.empty(0, 0, device=self.run.tokens.device)
        encdec = self.run.is_encoder_decoder
        _, step = self.model._expand_inputs_for_generation(times, encdec, nothing, **self._step)
        cache.batch_repeat_interleave(times)
        self._step = {**step, "past_key_values": cache}
        if self._mask is not None:
            self._mask = self._mask.repeat_interleave(times, dim=0)

    @property
    def is_short(self) -> bool:
        """Whether `next` may be called."""
        return self._step is not None

    def _compiled(self) -> Any:
        """The compiled forward, where the settings and the cache ask for it."""
        return None
