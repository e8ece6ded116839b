"""Streamers: the pieces join to the decoded text, words come whole, and consumers in other threads see them all."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xf_generation.streamers import AsyncTextIteratorStreamer, TextIteratorStreamer, TextStreamer


class Characters:
    """A tokenizer whose ids are code points."""

    def decode(self, ids, **options):
        return "".join(map(chr, ids))


class Kept(TextStreamer):
    """Keeps the pieces."""

    def __init__(self, **options):
        super().__init__(Characters(), **options)
        self.pieces, self.ended = [], False

    def on_finalized_text(self, text, stream_end=False):
        self.pieces.append(text)
        self.ended = stream_end


def feed(streamer, text, prompt=""):
    streamer.put(torch.tensor([[ord(c) for c in prompt]], dtype=torch.long))
    for character in text:
        streamer.put(torch.tensor([ord(character)]))
    streamer.end()


@given(st.text(alphabet="ab \n\u4e2d\u20ac", max_size=30), st.text(alphabet="xy ", max_size=5))
def test_the_pieces_join_to_the_text(text, prompt):
    for skip in (False, True):
        streamer = Kept(skip_prompt=skip)
        feed(streamer, text, prompt)
        assert "".join(streamer.pieces) == ("" if skip else prompt) + text and streamer.ended


def test_words_come_whole_and_ideographs_at_once():
    streamer = Kept(skip_prompt=True)
    feed(streamer, "one two\nthree \u4e2d\u6587")
    shown = [piece for piece in streamer.pieces if piece]
    assert shown == ["one ", "two\n", "three ", "\u4e2d", "\u6587"]


def test_a_streamer_can_be_used_again_and_skips_the_prompt_again():
    streamer = Kept(skip_prompt=True)
    feed(streamer, "a", "prompt")
    feed(streamer, "b", "prompt")
    assert "".join(streamer.pieces) == "ab"


def test_several_sequences_are_refused():
    with pytest.raises(ValueError, match="one sequence"):
        Kept().put(torch.zeros(2, 3, dtype=torch.long))


def test_text_is_printed(capsys):
    feed(TextStreamer(Characters(), skip_prompt=True), "hello world")
    assert capsys.readouterr().out == "hello world\n"


def test_an_iterator_in_another_thread_gets_everything_and_ends():
    streamer = TextIteratorStreamer(Characters(), skip_prompt=True, timeout=10.0)
    thread = threading.Thread(target=feed, args=(streamer, "some words\nand more"))
    thread.start()
    assert "".join(streamer) == "some words\nand more"
    thread.join()


def test_a_stream_that_stops_coming_is_a_timeout():
    from queue import Empty

    with pytest.raises(Empty):
        next(TextIteratorStreamer(Characters(), timeout=0.01))


def test_an_asynchronous_iterator_gets_everything_and_times_out():
    async def consume():
        streamer = AsyncTextIteratorStreamer(Characters(), skip_prompt=True, timeout=10.0)
        thread = threading.Thread(target=feed, args=(streamer, "some words"))
        thread.start()
        text = "".join([piece async for piece in streamer])
        thread.join()
        silent = AsyncTextIteratorStreamer(Characters(), timeout=0.01)
        with pytest.raises(TimeoutError):
            await anext(silent)
        return text

    assert asyncio.run(consume()) == "some words"
