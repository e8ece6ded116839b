"""The prompting guide on a tiny random instruction model. Source: spec tasks/prompting.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from xf import pipeline

CLASSIFY = """Classify the text into neutral, negative or positive.
Text: This movie is definitely one of my favorite movies of its kind.
Sentiment:
"""
FEW_SHOTS = """Text: The first human went into space and orbited the Earth on April 12, 1961.
Date: 04/12/1961
Text: The first-ever televised presidential debate in the United States took place on September 28, 1960.
Date:"""
NAMES = """Return a list of named entities in the text.
Text: The company was founded in 2016 by French entrepreneurs in New York City.
Named entities:
"""


@pytest.fixture
def generator(checkpoint: Callable[..., str]):
    folder = checkpoint("mistral", "MistralForCausalLM", [CLASSIFY, FEW_SHOTS, NAMES])
    return pipeline(model=folder, torch_dtype=torch.bfloat16, device_map="cpu")  # the task is the model's


def test_the_task_is_told_by_the_model(generator) -> None:
    assert generator.task == "text-generation" and generator.torch_dtype == torch.bfloat16


def test_a_prompt_comes_back_with_its_answer(generator) -> None:
    outputs = generator(CLASSIFY, max_new_tokens=10)
    assert [output["generated_text"].startswith(CLASSIFY) for output in outputs] == [True]


def test_few_shots_are_sampled(generator) -> None:
    torch.manual_seed(0)
    outputs = generator(FEW_SHOTS, max_new_tokens=12, do_sample=True, top_k=10)
    ids = generator.tokenizer(outputs[0]["generated_text"]).input_ids
    assert outputs[0]["generated_text"].startswith(FEW_SHOTS)
    assert len(ids) >= len(generator.tokenizer(FEW_SHOTS).input_ids)


def test_few_shots_as_a_conversation(generator) -> None:
    messages = [
        {"role": "user", "content": "Text: The first human went into space on April 12, 1961."},
        {"role": "assistant", "content": "Date: 04/12/1961"},
        {"role": "user", "content": "Text: The first televised debate took place on September 28, 1960."},
    ]
    prompt = generator.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt.count("[user]") == 2 and prompt.endswith("[assistant]")
    greedy = {"max_new_tokens": 12, "do_sample": False}
    (from_text,) = generator(prompt, return_full_text=False, **greedy)
    (from_messages,) = generator(messages, **greedy)
    assert from_messages["generated_text"][:3] == messages
    assert from_messages["generated_text"][-1] == {"role": "assistant", "content": from_text["generated_text"]}


def test_only_the_new_text(generator) -> None:
    greedy = {"max_new_tokens": 20, "do_sample": False}
    (whole,) = generator(NAMES, **greedy)
    (new,) = generator(NAMES, return_full_text=False, **greedy)
    assert NAMES + new["generated_text"] == whole["generated_text"]
