"""Engine: runs the model on what the scheduler planned and hands each request its next token. One thread at a time.

Shapes: N tokens of a step, P requests of which the next token is chosen, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xf import logging
from xf.interfaces.attention import AttentionModule
from xf.interfaces.cache import DynamicCache, DynamicLayer, layer_kinds
from xf_generation.stepping import forward_parameters

from .attention import attending_to, paged_twin
from .cache import Batch, CannotBatch, PagedCache, Segment
from .configuration import ContinuousBatchingConfig
from .pool import PagePool
from .requests import Request, RequestStatus
from .scheduler import Part, Scheduler

logger = logging.get_logger(__name__)

_KINDS = {"full_attention", "sliding_attention", "chunked_attention"}
# frequencies of these kinds depend on the longest text of a forward, so that texts would change each other
_ROPE_BY_LENGTH = ("dynamic", "longrope")


class Engine:
    """Requests of one model over one pool.

    Raises: CannotBatch for models whose cache or attention cannot be paged.
    """

    def __init__(self, model: Any, settings: ContinuousBatchingConfig) -> None:
        shapes = layer_shapes(model)
        page_bytes = settings.page_size * sum(g * (d + e) * t.itemsize for g, d, e, t in shapes)
        pages = settings.pages(page_bytes)
        self.model, self.settings, self.device = model, settings, model.device
        self.pool = PagePool(pages, settings.page_size, settings.allow_block_sharing)
        self.cache = PagedCache(shapes, pages, settings.page_size, self.device)
        self.scheduler = Scheduler(self.pool, self.cache, settings.max_batch_tokens, settings.max_requests_per_batch)
        self.steps = 0
        twin = paged_twin(model)
        direct_forward = getattr(twin, "direct_forward", None)
        self._forward: Callable[..., Any] = (direct_forward() if direct_forward is not None else None) or twin
        self._names = forward_parameters(type(model))

    def check_fits(self, request: Request) -> None:
        """Raises: ValueError if the request could come to need more than the whole pool."""
        needed = self.pool.needed(request.most_tokens)
        if needed > self.pool.pages:
            raise ValueError(
                f"The request has {request.prompt_length} tokens and may grow to {request.rules.max_length}: that "
                f"takes {needed} pages of {self.pool.page_size} tokens, but the pool has {self.pool.pages}. Make the "
                "pool larger (num_blocks or pool_bytes), or lower max_new_tokens."
            )

    @torch.inference_mode()
    def step(self) -> bool:
        """Compute one step; False if there was nothing to do."""
        for request in [r for r in (*self.scheduler.running, *self.scheduler.waiting) if r.cancelled]:
            self.end(request, RequestStatus.CANCELLED)
        parts = self.scheduler.plan()
        if not parts:
            return not self.scheduler.is_idle
        self.steps += 1
        try:
            logits_PV = self._run(parts)
        except Exception as error:
            self._run_apart(parts, error)
            return True
        self._choose(parts, logits_PV)
        return True

    def end(self, request: Request, status: RequestStatus, reason: str | None = None, error: str | None = None) -> None:
        """A request is over, for whatever reason."""
        self.scheduler.leave(request)
        request.status, request.finish_reason, request.error = status, reason, error
        if request.streamer is not None:
            try:
                broken = status is RequestStatus.FAILED and hasattr(request.streamer, "fail")
                request.streamer.fail(RuntimeError(error)) if broken else request.streamer.end()
            except Exception as problem:
                logger.warning(f"The streamer of request {request.request_id} failed at the end: {problem!r}")
        if request.told is not None:
            request.told(request.output())

    # ---- forward

    def _run(self, parts: Sequence[Part]) -> Tensor:
        """Forward of all parts in one row; logits (P, V) of the texts' last tokens."""
        tokens: list[int] = []
        slots, positions, segments, keep = [], [], [], []
        size = self.pool.page_size
        for part in parts:
            request, begin = part.request, len(tokens)
            tokens += request.tokens[part.start : part.end]
            at = np.arange(part.start, part.end)
            positions.append(at)
            pages = None if request.contiguous else np.array(request.pages)
            slots.append(at + request.pages[0] * size if pages is None else pages[at // size] * size + at % size)
            segments.append(
                Segment(
                    begin, len(tokens), part.start, part.end,
                    request.pages[0] * size if pages is None else None,
                    None if pages is None else torch.from_numpy(pages[: -(-part.end // size)]).to(self.device),
                )
            )  # fmt: skip
            if part.is_last:
                keep.append(len(tokens) - 1)
        positions_N = torch.from_numpy(np.concatenate(positions)).to(self.device)
        batch = Batch(torch.from_numpy(np.concatenate(slots)).to(self.device), positions_N, segments)
        given = {
            "input_ids": torch.tensor([tokens], device=self.device),
            "past_key_values": self.cache,
            "position_ids": positions_N[None],
            "cache_position": positions_N,
            "use_cache": True,
            "logits_to_keep": torch.tensor(keep, dtype=torch.long, device=self.device),
        }
        self.cache.begin(batch)
        with attending_to(self.cache):
            outputs = self._forward(**{name: value for name, value in given.items() if name in self._names})
        if self.cache.take_updated() is not None:
            raise CannotBatch(f"{type(self.model).__name__} does not attend through the attention contract.")
        logits_NV: Tensor = outputs.logits[0]
        return logits_NV if "logits_to_keep" in self._names else logits_NV[keep]

    def _run_apart(self, parts: Sequence[Part], error: Exception) -> None:
        """A forward broke: run each request by itself, so that only the one to blame fails."""
        for part in parts:
            try:
                if len(parts) == 1:
                    raise error
                logits_PV = self._run([part])
            except Exception as own:
                logger.warning(f"Request {part.request.request_id} failed: {own!r}")
                self.end(part.request, RequestStatus.FAILED, error=f"{type(own).__name__}: {own}")
                continue
            self._choose([part], logits_PV)

    # ---- tokens

    def _choose(self, parts: Sequence[Part], logits_PV: Tensor) -> None:
        """Note what was computed; a token for every request whose text was read to its end."""
        for part in parts:
            self.scheduler.computed(part)
        last = [part.request for part in parts if part.is_last]
        if not last:
            return
        best_P, likeliest_P = logits_PV.max(dim=-1)
        sound, likeliest = best_P.isfinite().tolist(), likeliest_P.tolist()
        for row, request in enumerate(last):
            logits_1V = logits_PV[row : row + 1]
            try:
                plain = request.rules.is_plain and sound[row]
                token = likeliest[row] if plain else request.rules.choose(logits_1V)
                self._append(request, token, logits_1V)
            except Exception as error:  # of a processor, a criterion, a streamer, or made-up scores: its own affair
                logger.warning(f"Request {request.request_id} failed: {error!r}")
                self.end(request, RequestStatus.FAILED, error=f"{type(error).__name__}: {error}")

    def _append(self, request: Request, token: int, logits_1V: Tensor) -> None:
        request.status = RequestStatus.DECODING
        request.tokens.append(token)
        if self.settings.return_logprobs:
            request.logprobs.append(float(logits_1V[0].float().log_softmax(-1)[token]))
        reason = request.rules.ended_by(token, logits_1V)
        if request.streamer is not None:
            request.streamer.put(torch.tensor([token]))
            if getattr(request.streamer, "closed", False):
                reason = reason or "closed"
        if reason is not None:
            self.end(request, RequestStatus.FINISHED, reason)
        elif request.streaming and request.told is not None:
            request.told(request.output())


@torch.inference_mode()
def layer_shapes(model: Any) -> list[tuple[int, int, int, torch.dtype]]:
    """(G, D of keys, D of values, dtype) of each layer that caches, from a forward of one token.

    Raises: CannotBatch for models that cannot be paged.
    """
    kind, config = type(model).__name__, model.config
    names = forward_parameters(type(model))

    def refuse(why: str) -> CannotBatch:
        return CannotBatch(f"{kind} cannot be batched continuously: {why}. Use generate().")

    if config.is_encoder_decoder:
        raise refuse("it has an encoder, whose states are no pages")
    if model.training:
        raise refuse("it is in training mode; call model.eval()")
    text = config.get_text_config(decoder=True)
    others = set(layer_kinds(text)) - _KINDS
    if others or "past_key_values" not in names or not any(isinstance(m, AttentionModule) for m in model.modules()):
        raise refuse(f"its layers keep states of another kind ({', '.join(sorted(others)) or 'no keys and values'})")
    if not {"position_ids", "cache_position"} & names:
        raise refuse("its forward cannot be told the positions of its tokens")
    scaling = getattr(text, "rope_scaling", None) or {}
    rope = scaling.get("rope_type", scaling.get("type"))
    if rope in _ROPE_BY_LENGTH:
        raise refuse(f"its rotary angles ({rope!r}) depend on the longest text of a batch")
    cache = DynamicCache()
    model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), past_key_values=cache, use_cache=True)
    if not len(cache) or any(type(layer) is not DynamicLayer or layer.keys is None for layer in cache.layers):
        raise refuse("it does not keep its keys and values in the cache that it is given")
    return [(k.shape[1], k.shape[3], v.shape[3], k.dtype) for k, v in cache]
