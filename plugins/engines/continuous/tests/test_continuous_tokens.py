"""A batch answers as `generate` does one by one, whatever the pool, the chunks and the company."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from continuous_models import FAMILIES, gemma3, llama, one_by_one, ragged

from xf import ContinuousBatchingConfig, RequestStatus

POOLS = {
    "roomy": {},
    "pages of one token": {"page_size": 1, "num_blocks": 100},
    "so tight that requests give way": {"page_size": 4, "num_blocks": 30},
    "prompts in chunks": {"page_size": 16, "num_blocks": 7, "max_batch_tokens": 9},
    "nothing shared": {"page_size": 5, "num_blocks": 25, "max_batch_tokens": 33, "allow_block_sharing": False},
}


def tokens_of(outputs: dict[str, Any]) -> list[list[int]]:
    assert all(output.status is RequestStatus.FINISHED for output in outputs.values()), outputs
    return [output.generated_tokens for output in outputs.values()]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_same_tokens_as_one_by_one(family: str, attention: str) -> None:
    model = FAMILIES[family]()
    model.set_attn_implementation(attention)
    prompts = ragged(12, 60, shared=20)
    prompts += [prompts[0][:16], prompts[0][:16]]  # a prompt whose every page is known already
    expected = one_by_one(model, prompts, max_new_tokens=20, do_sample=False)
    assert len({tuple(answer) for answer in expected}) > 8, "texts must differ, or nothing is shown"
    for name, pool in list(POOLS.items())[:: 1 if attention == "sdpa" else 2]:
        config = ContinuousBatchingConfig(**pool)
        outputs = model.generate_batch(prompts, max_new_tokens=20, do_sample=False, continuous_batching_config=config)
        assert tokens_of(outputs) == expected, name


def test_the_model_is_left_as_it_was() -> None:
    model, prompt = gemma3(), torch.tensor([[9, 8, 12]])
    before, names = model.generate(prompt, max_new_tokens=8), [name for name, _ in model.named_modules()]
    model.generate_batch([[9, 8, 12]], max_new_tokens=8)
    assert model.config._attn_implementation == "sdpa"
    assert [name for name, _ in model.named_modules()] == names
    assert torch.equal(model.generate(prompt, max_new_tokens=8), before)


def test_requests_give_way_and_come_back() -> None:
    model, prompts = llama(), ragged(12, 30, seed=3)
    settings = {"max_new_tokens": 24, "do_sample": False, "eos_token_id": None}
    manager = model.init_continuous_batching(
        continuous_batching_config=ContinuousBatchingConfig(page_size=4, num_blocks=20)
    )
    names = manager.add_requests(prompts, **settings)
    with manager:
        answers = [manager.get_result(name).generated_tokens for name in names]
    assert manager.statistics()["preemptions"] > 0
    assert manager.statistics()["pages_taken"] == 0
    assert answers == one_by_one(model, prompts, **settings)


def test_common_beginnings_are_computed_once() -> None:
    model, start = llama(), list(range(10, 42))
    prompts = [[*start, 50 + index] for index in range(4)]
    with model.init_continuous_batching(max_new_tokens=4) as manager:
        first = manager.get_result(manager.add_request(prompts[0]))
        others = [manager.get_result(name) for name in manager.add_requests(prompts[1:])]
        assert manager.statistics()["shared_tokens"] == 3 * 32
    answers = [output.generated_tokens for output in (first, *others)]
    assert answers == one_by_one(model, prompts, max_new_tokens=4)


def test_a_shared_page_is_copied_before_it_is_written_to() -> None:
    model, prompt = llama(), list(range(10, 42))  # two full pages
    with model.init_continuous_batching(max_new_tokens=12, eos_token_id=None) as manager:
        answers = [manager.get_result(manager.add_request(prompt)).generated_tokens for _ in range(3)]
        longer = manager.get_result(manager.add_request([*prompt, 5])).generated_tokens
    assert answers == one_by_one(model, [prompt] * 3, max_new_tokens=12, eos_token_id=None)
    assert longer == one_by_one(model, [[*prompt, 5]], max_new_tokens=12, eos_token_id=None)[0]


def test_a_known_prompt_that_fills_the_whole_pool() -> None:
    model, prompt = llama(), list(range(10, 42))
    config = ContinuousBatchingConfig(page_size=16, num_blocks=2)
    with model.init_continuous_batching(continuous_batching_config=config, max_new_tokens=1) as manager:
        answers = [manager.get_result(manager.add_request(prompt), timeout=30) for _ in range(2)]
    assert [answer.generated_tokens for answer in answers] == one_by_one(model, [prompt] * 2, max_new_tokens=1)


def test_sampling_with_a_seed_is_that_of_generate() -> None:
    model, prompts = llama(), ragged(6, 20)
    settings = [{"do_sample": True, "seed": index, "temperature": 1.5, "top_k": 20} for index in range(6)]
    with model.init_continuous_batching(max_new_tokens=10) as manager:
        names = [manager.add_request(p, **own) for p, own in zip(prompts, settings, strict=True)]
        answers = [manager.get_result(name).generated_tokens for name in names]
    expected = [one_by_one(model, [p], max_new_tokens=10, **own)[0] for p, own in zip(prompts, settings, strict=True)]
    assert answers == expected


def test_every_request_has_settings_of_its_own() -> None:
    model, prompts = llama(), ragged(4, 20)
    settings: list[dict[str, Any]] = [
        {"max_new_tokens": 3, "eos_token_id": None},
        {"max_new_tokens": 9, "repetition_penalty": 1.7},
        {"max_new_tokens": 9, "bad_words_ids": [[40], [41]], "min_new_tokens": 6},
        {"max_new_tokens": 30, "eos_token_id": list(range(50, 70))},
    ]
    with model.init_continuous_batching() as manager:
        names = [manager.add_request(p, **own) for p, own in zip(prompts, settings, strict=True)]
        outputs = [manager.get_result(name) for name in names]
    expected = [one_by_one(model, [p], **own)[0] for p, own in zip(prompts, settings, strict=True)]
    assert [output.generated_tokens for output in outputs] == expected
    assert outputs[0].finish_reason == "length"
    assert outputs[3].finish_reason == "eos"


def test_log_probabilities_of_the_chosen_tokens() -> None:
    model, prompt = llama(), [9, 12, 30]
    config = ContinuousBatchingConfig(return_logprobs=True)
    output = model.generate_batch([prompt], max_new_tokens=5, continuous_batching_config=config)["req_0"]
    text = torch.tensor([prompt + output.generated_tokens])
    with torch.no_grad():
        expected = model(text).logits[0].log_softmax(-1)[range(2, 7), text[0, 3:]]
    torch.testing.assert_close(torch.tensor(output.logprobs), expected, rtol=1e-4, atol=1e-4)


def test_optimized_and_bfloat16_models() -> None:
    model, prompts = llama().optimize(), ragged(6, 40)
    assert tokens_of(model.generate_batch(prompts, max_new_tokens=8)) == one_by_one(model, prompts, max_new_tokens=8)
    outputs = model.to(torch.bfloat16).generate_batch(prompts, max_new_tokens=8)
    assert all(output.is_finished() for output in outputs.values())
