"""ContinuousBatchingManager: requests from any thread, served together by one; `generate_batch` on the same engine."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any

from torch import Tensor

from xf import logging

from .configuration import ContinuousBatchingConfig
from .engine import Engine
from .requests import GenerationOutput, Request, RequestStatus
from .rules import Rules

logger = logging.get_logger(__name__)


class ContinuousBatchingManager:
    """Serves requests of one model as they come, many in each forward pass.

    generation_config, settings: defaults of all requests, as `generate` takes them. The model's weights are shared, not
    copied; it can be used otherwise meanwhile, but not changed.

        with model.init_continuous_batching(max_new_tokens=20) as manager:
            name = manager.add_request([1, 5, 7])
            print(manager.get_result(name).generated_tokens)

    Raises: ValueError (CannotBatch) for models whose cache or attention cannot be paged.
    """

    def __init__(
        self,
        model: Any,
        generation_config: Any = None,
        continuous_batching_config: ContinuousBatchingConfig | None = None,
        **settings: Any,
    ) -> None:
        self.model, self.generation_config, self.settings = model, generation_config, settings
        self.engine = Engine(model, continuous_batching_config or ContinuousBatchingConfig.of(generation_config))
        self._changed = threading.Condition()
        self._requests: dict[str, Request] = {}  # not over
        self._results: dict[str, GenerationOutput] = {}  # over, and not fetched
        self._streams: dict[str, SimpleQueue[GenerationOutput]] = {}
        self._inbox: list[Request] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._stopping = self._hard = False

    # ---- life

    def start(self) -> None:
        """Begin to serve, in a thread of its own.

        Raises: RuntimeError if it serves already.
        """
        if self.is_running():
            raise RuntimeError("The manager is running already.")
        self._stopping = self._hard = False
        self._thread = threading.Thread(target=self._serve, name="continuous-batching", daemon=True)
        self._thread.start()

    def is_running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, block: bool = True, timeout: float | None = None, hard_stop: bool = False) -> None:
        """Take no more requests and end when those taken are done; hard_stop: cancel them. block: wait for the end."""
        with self._changed:
            self._stopping, self._hard = True, hard_stop or self._hard
            self._changed.notify_all()
        if block:
            self.join(timeout)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)

    def __enter__(self) -> ContinuousBatchingManager:
        if not self.is_running():
            self.start()
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        self.stop(hard_stop=kind is not None)

    # ---- requests

    def add_request(
        self,
        input_ids: Sequence[int] | Tensor,
        request_id: str | None = None,
        max_new_tokens: int | None = None,
        streaming: bool = False,
        streamer: Any = None,
        generation_config: Any = None,
        **settings: Any,
    ) -> str:
        """Add a prompt; from any thread. Its name is returned.

        streaming: `request_id_iter` yields after every token. streamer: is fed as by `generate`. settings: as
        `generate` takes them (do_sample, seed, stop_strings with tokenizer, logits_processor ...), for this request.
        Raises: ValueError for a bad prompt or setting, for a request that the pool can never hold, for a name that is
        taken; RuntimeError if the manager does not take requests any more. Others go on undisturbed.
        """
        if max_new_tokens is not None:
            settings["max_new_tokens"] = max_new_tokens
        prompt = token_list(input_ids)
        given = self.generation_config if generation_config is None else generation_config
        rules = Rules(self.model, given, prompt, {**self.settings, **settings})
        request = Request("", len(prompt), list(prompt), rules, streaming=streaming, streamer=streamer)
        self.engine.check_fits(request)
        request.told = self._take_output
        if streamer is not None:
            streamer.put(rules.run.tokens.cpu())
        with self._changed:
            if self._stopping:
                raise RuntimeError("The manager was stopped: it takes no more requests.")
            request.request_id = self._free_name(request_id)
            self._requests[request.request_id] = request
            self._streams[request.request_id] = SimpleQueue()
            self._inbox.append(request)
            self._changed.notify_all()
            return request.request_id

    def add_requests(self, inputs: Sequence[Sequence[int] | Tensor], **settings: Any) -> list[str]:
        """`add_request` for each of `inputs`, with the same settings."""
        return [self.add_request(prompt, **settings) for prompt in inputs]

    def cancel_request(self, request_id: str) -> None:
        """End a request, running or not; its result has what there is. No effect on one that is over."""
        with self._changed:
            request = self._requests.get(request_id)
            if request is not None:
                request.cancelled = True
            self._changed.notify_all()

    # ---- results

    def get_result(self, request_id: str | None = None, timeout: float | None = None) -> GenerationOutput | None:
        """Wait for the end of a request, or of any; None after `timeout` seconds, or if the manager ends without it.

        A result is handed out once. Raises: ValueError for a name that was never added, or whose result was fetched.
        """
        deadline = None if timeout is None else monotonic() + timeout
        with self._changed:
            while True:
                if request_id is None and self._results:
                    return self._fetch(next(iter(self._results)))
                if request_id in self._results:
                    return self._fetch(str(request_id))
                if request_id is not None and request_id not in self._requests:
                    raise ValueError(f"There is no request {request_id!r}, or its result was fetched before.")
                ended = self._thread is not None and not self.is_running()
                left = None if deadline is None else deadline - monotonic()
                if ended or (request_id is None and not self._requests) or (left is not None and left <= 0):
                    return None
                self._changed.wait(left)

    def request_id_iter(self, request_id: str) -> Iterator[GenerationOutput]:
        """What a request has come to: after every token if it was added with streaming=True, and at its end.

        Leaving the loop early cancels the request.
        """
        with self._changed:
            stream = self._streams.get(request_id)
        if stream is None:
            raise ValueError(f"There is no request {request_id!r}, or its result was fetched before.")
        try:
            while True:
                output = stream.get()
                if output.status.is_over:
                    with self._changed:
                        self._results.pop(request_id, None)
                        self._streams.pop(request_id, None)
                yield output
                if output.status.is_over:
                    return
        finally:
            self.cancel_request(request_id)

    def __iter__(self) -> Iterator[GenerationOutput]:
        """The results, as they come, until no request is left."""
        while (output := self.get_result()) is not None:
            yield output

    def statistics(self) -> Mapping[str, int]:
        """Counts: pages of the pool and how many are taken or cached, steps, preemptions, prompt tokens found."""
        engine = self.engine
        return {
            "pages": engine.pool.pages,
            "pages_taken": engine.pool.pages - engine.pool.available,
            "pages_cached": engine.pool.cached,
            "pool_bytes": engine.cache.nbytes,
            "steps": engine.steps,
            "preemptions": engine.scheduler.preemptions,
            "shared_tokens": engine.scheduler.shared_tokens,
        }

    @staticmethod
    def generate_batch(
        model: Any,
        inputs: Sequence[Sequence[int] | Tensor],
        generation_config: Any = None,
        continuous_batching_config: ContinuousBatchingConfig | None = None,
        **settings: Any,
    ) -> dict[str, GenerationOutput]:
        """See `GenerationMixin.generate_batch`. In the calling thread."""
        return generate_batch(model, inputs, generation_config, continuous_batching_config, **settings)

    # ---- inside

    def _free_name(self, request_id: str | None) -> str:
        taken = self._streams
        if request_id is None:
            return next(name for name in (f"req_{i}" for i in self._numbers) if name not in taken)
        if request_id in taken:
            raise ValueError(f"There is a request called {request_id!r} already.")
        return request_id

    def _fetch(self, request_id: str) -> GenerationOutput:
        self._streams.pop(request_id, None)
        return self._results.pop(request_id)

    def _take_output(self, output: GenerationOutput) -> None:
        """From the engine."""
        with self._changed:
            stream = self._streams.get(output.request_id)
            if output.status.is_over:
                self._requests.pop(output.request_id, None)
                self._results[output.request_id] = output
                self._changed.notify_all()
            if stream is not None:
                stream.put(output)

    def _serve(self) -> None:
        scheduler = self.engine.scheduler
        try:
            while True:
                with self._changed:
                    while not (self._inbox or self._stopping) and scheduler.is_idle:
                        self._changed.wait()
                    scheduler.waiting.extend(self._inbox)
                    self._inbox.clear()
                    if self._hard:
                        for request in self._requests.values():
                            request.cancelled = True
                    if self._stopping and scheduler.is_idle:
                        return
                self.engine.step()
        except BaseException as error:  # a fault of the engine itself: nobody may wait for ever
            logger.error(f"Continuous batching broke down: {error!r}")
            self._fail_all(f"The engine broke down: {type(error).__name__}: {error}")
            raise
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()

    def _fail_all(self, why: str) -> None:
        with self._changed:
            self._stopping = True
            left = list(self._requests.values())
            self._inbox.clear()
        for request in left:
            self.engine.end(request, RequestStatus.FAILED, error=why)


def generate_batch(
    model: Any,
    inputs: Sequence[Sequence[int] | Tensor],
    generation_config: Any = None,
    continuous_batching_config: ContinuousBatchingConfig | None = None,
    **settings: Any,
) -> dict[str, GenerationOutput]:
    """{"req_0": output of the first prompt, ...}, in the order of `inputs`; see `GenerationMixin.generate_batch`."""
    engine = Engine(model, continuous_batching_config or ContinuousBatchingConfig.of(generation_config))
    outputs: dict[str, GenerationOutput] = {f"req_{index}": GenerationOutput("") for index in range(len(inputs))}

    def told(output: GenerationOutput) -> None:
        outputs[output.request_id] = output

    for request_id, prompt in zip(outputs, inputs, strict=True):
        tokens: list[int] = []
        try:
            tokens = token_list(prompt)
            request = Request(request_id, len(tokens), tokens, Rules(model, generation_config, tokens, settings), told)
            engine.check_fits(request)
        except ValueError as error:
            logger.warning(f"Request {request_id} failed: {error}")
            outputs[request_id] = GenerationOutput(
                request_id, list(tokens), error=f"ValueError: {error}", status=RequestStatus.FAILED
            )
            continue
        engine.scheduler.waiting.append(request)
    while engine.step():
        pass
    return outputs


def token_list(input_ids: Sequence[int] | Tensor) -> list[int]:
    """Token ids of one text as a list.

    Raises: ValueError for several texts at once, or what are no token ids.
    """
    if isinstance(input_ids, Tensor):
        if input_ids.ndim == 2 and input_ids.shape[0] == 1:
            input_ids = input_ids[0]
        if input_ids.ndim != 1 or input_ids.is_floating_point():
            raise ValueError(f"A request is one text of token ids; this has shape {tuple(input_ids.shape)}.")
        input_ids = input_ids.tolist()
    tokens = list(input_ids)
    if any(not isinstance(token, int) or isinstance(token, bool) for token in tokens):
        raise ValueError("A request is a list of token ids (whole numbers): use tokenizer(text)['input_ids'].")
    return tokens
