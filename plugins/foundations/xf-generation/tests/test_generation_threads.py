"""Threads share one model and one tokenizer; a stream may be read by another thread or an event loop, or be left."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import xf
from xf_testing.tiny import fill_weights

torch.set_num_threads(1)
PROMPTS = ["abcd", "b c d e f", "ccc", "d e", "e fgh ijk", "fab", "g", "hhh hhh"]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"do_sample": True, "seed": 1, "temperature": 1.5},
    {"num_beams": 3},
    {"do_sample": True, "seed": 2, "top_k": 5, "cache_implementation": "static"},
    {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    {"stop_strings": ["e", "xy"]},
    {"cache_implementation": "offloaded", "min_new_tokens": 20},
    {"watermarking_config": {"bias": 5.0, "seeding_scheme": "selfhash"}},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({"<pad>": 0, "</s>": 1, **{c: i + 2 for i, c in enumerate(alphabet)}}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return xf.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", padding_side="left")


@pytest.fixture(scope="module")
def model() -> Any:
    config = xf.LlamaConfig(
        vocab_size=258, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    made = xf.LlamaForCausalLM(config)
    fill_weights(made)
    return made.eval()


def work(model: Any, tokenizer: Any, number: int) -> tuple[list[list[int]], list[str]]:
    """One caller: its own texts, padding, truncation and settings."""
    texts = [PROMPTS[number], PROMPTS[number] * (1 + number % 3)]
    inputs = tokenizer(
        texts, return_tensors="pt", padding="max_length" if number % 2 else True, max_length=24, truncation=True,
        return_token_type_ids=False,
    )  # fmt: skip
    tokens = model.generate(**inputs, tokenizer=tokenizer, max_new_tokens=30, **SETTINGS[number])
    return tokens.tolist(), tokenizer.batch_decode(tokens, skip_special_tokens=True)


def test_eight_threads_get_what_each_gets_alone(model: Any, tokenizer: Any) -> None:
    alone = [work(model, tokenizer, number) for number in range(8)]
    start = threading.Barrier(8)

    def together(number: int) -> Any:
        start.wait()
        return [work(model, tokenizer, number) for _ in range(3)]

    before = torch.get_rng_state()
    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(together, range(8))):
            assert found == [alone[number]] * 3
    assert torch.equal(torch.get_rng_state(), before)  # a seed of the call leaves the global state alone


def test_a_seed_belongs_to_the_call(model: Any, tokenizer: Any) -> None:
    ids = tokenizer(["ab", "cd"], return_tensors="pt")["input_ids"]
    options = {"do_sample": True, "max_new_tokens": 20, "top_k": 0}
    first = model.generate(ids, seed=3, **options)
    torch.rand(5)
    assert torch.equal(model.generate(ids, seed=3, **options), first)
    assert not torch.equal(model.generate(ids, seed=4, **options), first)
    rows = model.generate(ids, seed=[7, 8], **options)
    for row, seed in enumerate((7, 8)):
        alone = model.generate(ids[row : row + 1], seed=[seed], **options)
        length = alone.shape[1]
        assert torch.equal(rows[row, :length], alone[0]) and (rows[row, length:] == 0).all()
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(model.generate(ids, generator=generator, **options), first)
    torch.manual_seed(3)
    assert torch.equal(model.generate(ids, **options), first)  # the same stream of random numbers
    with pytest.raises(ValueError, match="either generator= or seed=, not both"):
        model.generate(ids, seed=1, generator=generator, **options)
    with pytest.raises(ValueError, match="3 seeds or generators for a batch of 2"):
        model.generate(ids, seed=[1, 2, 3], **options)


@pytest.fixture
def spoken(model: Any, tokenizer: Any) -> tuple[dict[str, Any], str]:
    """(arguments of generate, the answer's text)."""
    inputs = tokenizer("ab", return_tensors="pt", return_token_type_ids=False)
    arguments = {**inputs, "max_new_tokens": 40, "do_sample": True, "seed": 11}
    answer = model.generate(**arguments)[0, 2:]
    return arguments, tokenizer.decode(answer, skip_special_tokens=True)


def test_text_is_printed_as_it_comes(model: Any, tokenizer: Any, spoken: Any, capsys: Any) -> None:
    arguments, answer = spoken
    model.generate(**arguments, streamer=xf.TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True))
    assert capsys.readouterr().out == answer + "\n"


def test_another_thread_reads(model: Any, tokenizer: Any, spoken: Any) -> None:
    arguments, answer = spoken
    streamer = xf.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60.0, skip_special_tokens=True)
    thread = threading.Thread(target=model.generate, kwargs={**arguments, "streamer": streamer})
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == answer and len(pieces) > 1


def test_an_event_loop_reads(model: Any, tokenizer: Any, spoken: Any) -> None:
    arguments, answer = spoken

    async def read() -> str:
        streamer = xf.AsyncTextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60.0, skip_special_tokens=True)
        running = asyncio.get_running_loop().run_in_executor(
            None, lambda: model.generate(**arguments, streamer=streamer)
        )
        found = "".join([piece async for piece in streamer])
        await running
        return found

    assert asyncio.run(read()) == answer


def test_generation_ends_when_nobody_reads_on(model: Any, tokenizer: Any, spoken: Any) -> None:
    """A consumer that stops reading frees the thread: nothing is generated for nobody."""
    arguments = {**spoken[0], "max_new_tokens": 5000, "eos_token_id": None}
    streamer = xf.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60.0)
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.append(model.generate(**arguments, streamer=streamer)))
    thread.start()
    for _, _ in zip(range(3), streamer, strict=False):
        pass
    streamer.close()
    thread.join(60.0)
    assert not thread.is_alive() and 3 <= found[0].shape[1] < 5000


def test_a_stream_that_is_left_open_blocks_nobody(model: Any, tokenizer: Any, spoken: Any) -> None:
    streamer = xf.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60.0)
    thread = threading.Thread(target=model.generate, kwargs={**spoken[0], "streamer": streamer})
    thread.start()
    next(streamer)
    thread.join(60.0)
    assert not thread.is_alive()


def test_an_event_loop_may_stop_reading(model: Any, tokenizer: Any, spoken: Any) -> None:
    arguments = {**spoken[0], "max_new_tokens": 5000, "eos_token_id": None}

    async def read_a_little() -> int:
        async with xf.AsyncTextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60.0) as streamer:
            running = asyncio.get_running_loop().run_in_executor(
                None, lambda: model.generate(**arguments, streamer=streamer)
            )
            await anext(aiter(streamer))
        return (await asyncio.wait_for(running, 60.0)).shape[1]

    assert asyncio.run(read_a_little()) < 5000


def test_an_error_reaches_who_reads(model: Any, tokenizer: Any, spoken: Any) -> None:
    def fail(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if ids.shape[1] > 5:
            raise RuntimeError("the device is on fire")
        return scores

    streamer = xf.TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60.0)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            model.generate(**spoken[0], streamer=streamer, logits_processor=[fail])
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with pytest.raises(RuntimeError, match="the device is on fire"):
        list(streamer)
    thread.join()
    assert len(raised) == 1
