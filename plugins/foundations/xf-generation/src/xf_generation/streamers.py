"""Streamers: receive tokens while `generate` runs, hand out text (spec: internal/generation_utils.md).

`generate` calls `put` with the prompt and then with every new token, and `end` when it is through. A streamer whose
`closed` is True ends the generation at the next token; `fail` is called with the error of a generation that broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from queue import Queue
from typing import Any

from torch import Tensor

_STOP = object()
#: code points of Chinese, Japanese and Korean writing, which put no spaces between words (Unicode 15, block names)
_NO_SPACES = (
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # CJK Unified Ideographs Extension A
    (0x4E00, 0x9FFF),  # CJK Unified Ideographs
    (0xF900, 0xFAFF),  # CJK Compatibility Ideographs
    (0x20000, 0x2FA1F),  # Extensions B to F, Compatibility Ideographs Supplement
)


class BaseStreamer:
    """Base of all streamers."""

    closed: bool = False

    def put(self, value: Tensor) -> None:
        """Take token ids: first the prompt (B, T), then (B,) at every step."""
        raise NotImplementedError(f"{type(self).__name__} must define put(value).")

    def end(self) -> None:
        """Take note that nothing more comes."""
        raise NotImplementedError(f"{type(self).__name__} must define end().")

    def fail(self, error: BaseException) -> None:
        """Take note that the generation broke; the default is to end."""
        self.end()

    def close(self) -> None:
        """End the generation at its next token."""
        self.closed = True


@contextlib.contextmanager
def telling(streamer: Any) -> Iterator[None]:
    """Tell the streamer of an error in the body, so that a consumer that waits for text hears of it."""
    try:
        yield
    except BaseException as error:
        if streamer is not None and hasattr(streamer, "fail"):
            streamer.fail(error)
        raise


class TextStreamer(BaseStreamer):
    """Prints text as soon as whole words are there; decode_kwargs go to tokenizer.decode. For one text at a time."""

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer, self.skip_prompt, self.decode_kwargs = tokenizer, skip_prompt, decode_kwargs
        self._begin()

    def _begin(self) -> None:
        self._tokens: list[int] = []
        self._sent = 0  # characters of the text of self._tokens that were handed out
        self._prompt_next = True

    def put(self, value: Tensor) -> None:
        """Take the tokens of one text.

        Raises: ValueError for more than one row.
        """
        if value.ndim > 1 and value.shape[0] > 1 or value.ndim == 1 and not self._prompt_next and len(value) > 1:
            raise ValueError(f"{type(self).__name__} streams one sequence, not {value.shape[0]}: use one per prompt.")
        prompt, self._prompt_next = self._prompt_next, False
        if prompt and self.skip_prompt:
            return
        self._tokens.extend(value.reshape(-1).tolist())
        text = self._decode()
        if text.endswith("\n"):
            ready = text[self._sent :]
            self._tokens, self._sent = [], 0
        else:
            end = len(text) if text and _has_no_spaces(text[-1]) else text.rfind(" ") + 1
            ready = text[self._sent : end]
            self._sent += len(ready)
        self.on_finalized_text(ready)

    def end(self) -> None:
        """Hand out the rest."""
        rest = self._decode()[self._sent :] if self._tokens else ""
        self._begin()
        self.on_finalized_text(rest, stream_end=True)

    def _decode(self) -> str:
        return str(self.tokenizer.decode(self._tokens, **self.decode_kwargs))

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """What is done with new text; stream_end with the last."""
        sys.stdout.write(text + ("\n" if stream_end else ""))
        sys.stdout.flush()


def _has_no_spaces(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _NO_SPACES)


class TextIteratorStreamer(TextStreamer):
    """An iterator over pieces of text, for a consumer in another thread than `generate`.

    timeout: seconds that `next` waits at most; then queue.Empty is raised. Leaving a `with` block, or `close()`, ends
    the generation. An error in `generate` is raised in the consumer too.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: Queue[Any] = Queue()
        self.stop_signal = _STOP
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queue new text."""
        self.text_queue.put(text)
        if stream_end:
            self.text_queue.put(self.stop_signal)

    def fail(self, error: BaseException) -> None:
        """Hand the error to the consumer."""
        self._begin()
        self.text_queue.put(error)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        value = self.text_queue.get(timeout=self.timeout)
        if value is self.stop_signal:
            raise StopIteration
        if isinstance(value, BaseException):
            raise value
        return str(value)

    def __enter__(self) -> TextIteratorStreamer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncTextIteratorStreamer(TextStreamer):
    """As `TextIteratorStreamer`, for `async for` in the event loop that is running when it is made.

    timeout: seconds that the next piece is waited for; then TimeoutError is raised.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.stop_signal = _STOP
        self.timeout = timeout
        self.loop = asyncio.get_running_loop()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queue new text, from whatever thread."""
        self.loop.call_soon_threadsafe(self.text_queue.put_nowait, text)
        if stream_end:
            self.loop.call_soon_threadsafe(self.text_queue.put_nowait, self.stop_signal)

    def fail(self, error: BaseException) -> None:
        """Hand the error to the consumer."""
        self._begin()
        self.loop.call_soon_threadsafe(self.text_queue.put_nowait, error)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        try:
            value = await asyncio.wait_for(self.text_queue.get(), self.timeout)
        except asyncio.TimeoutError as error:
            raise TimeoutError(f"No text came within {self.timeout} seconds.") from error
        if value is self.stop_signal:
            raise StopAsyncIteration
        if isinstance(value, BaseException):
            raise value
        return str(value)

    async def __aenter__(self) -> AsyncTextIteratorStreamer:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
