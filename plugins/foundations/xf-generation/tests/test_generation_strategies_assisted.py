"""Assisted decoding: the answers of plain decoding, in fewer forward passes, whoever proposes the tokens."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import xf
from xf_generation.decoding.assisted import AssistedGeneration
from xf_generation.drafting import PromptLookup


def answers_module() -> ModuleType:
    if "generation_answers" in sys.modules:  # another file of tests has loaded it, with its models
        return sys.modules["generation_answers"]
    path = Path(__file__).with_name("generation_answers.py")
    spec = importlib.util.spec_from_file_location("generation_answers", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ANSWERS = answers_module()
PROMPT = torch.tensor([[5, 9, 30, 11, 7, 9, 30]])
EVERYTHING = {
    "return_dict_in_generate": True, "output_scores": True, "output_logits": True, "output_attentions": True,
    "output_hidden_states": True,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ends": {"eos_token_id": [2, 27, 16, 33]},
    "least": {"eos_token_id": [2, 31, 33], "min_new_tokens": 8},
    "penalties": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "suppress_tokens": [27, 33]},
    "last": {"forced_eos_token_id": 2},
    "length": {"num_assistant_tokens": 1},
    "many": {"num_assistant_tokens": 30, "assistant_confidence_threshold": 0.0},
    "heuristic": {"num_assistant_tokens": 2, "num_assistant_tokens_schedule": "heuristic_transient"},
}
DRAFTERS = {
    "llama": [{"assistant": "llama_draft"}, {"assistant": "llama_tied"}, {"assistant_early_exit": 1}],
    "gpt2": [{"assistant": "llama_draft"}, {"assistant": "gpt2"}, {"assistant_early_exit": 1}],
    "t5": [{"assistant": "t5_draft"}, {"assistant": "t5"}],
    "whisper": [{"assistant": "whisper_draft"}, {"assistant": "whisper_decoder"}],
}
LOOKUPS = [{"prompt_lookup_num_tokens": 4}, {"prompt_lookup_num_tokens": 9, "max_matching_ngram_size": 1}]
CASES = [(model, drafter) for model, found in DRAFTERS.items() for drafter in [*found, *LOOKUPS]]


def answer(model: str, arguments: dict[str, Any], **more: Any) -> dict[str, torch.Tensor]:
    prompt = {"features": 3, "rows": 1} if model == "whisper" else PROMPT.tolist()
    return ANSWERS.answer(xf, {"model": model, "prompt": prompt, "arguments": arguments, **more})


FIRST = [drafters[0] for drafters in DRAFTERS.values()]
GREEDY = [(m, d, s) for m, d in CASES for s in (SETTINGS if d in FIRST or m == "llama" else ("plain", "ends"))]


@pytest.mark.parametrize(
    ("model", "drafter", "name"), GREEDY, ids=[f"{m}-{'-'.join(map(str, d.values()))}-{s}" for m, d, s in GREEDY]
)
def test_greedy_answers_are_those_of_greedy_search(model: str, drafter: dict[str, Any], name: str) -> None:
    settings = SETTINGS[name]
    shared = {"max_new_tokens": 14, **settings}
    assert torch.equal(answer(model, {**shared, **drafter})["sequences"], answer(model, shared)["sequences"])


@pytest.mark.parametrize(("model", "drafter"), CASES, ids=[f"{m}-{'-'.join(map(str, d.values()))}" for m, d in CASES])
def test_scores_states_and_attentions_are_those_of_greedy_search(model: str, drafter: dict[str, Any]) -> None:
    shared = {"max_new_tokens": 6, **EVERYTHING}
    expected, ours = answer(model, shared), answer(model, {**shared, **drafter})
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def counted(model: Any, **arguments: Any) -> tuple[torch.Tensor, int]:
    """The answer, and how often the model ran."""
    calls = []
    hook = model.register_forward_hook(lambda *_: calls.append(1))
    try:
        return model.generate(PROMPT, **arguments), len(calls)
    finally:
        hook.remove()


def test_right_proposals_save_forward_passes() -> None:
    model = ANSWERS.model(xf, "llama")
    twin = copy.deepcopy(model)
    settings = {"max_new_tokens": 16, "num_assistant_tokens": 5, "assistant_confidence_threshold": 0.0}
    plain, alone = counted(model, max_new_tokens=16)
    answered, together = counted(model, assistant_model=twin, **settings)
    assert torch.equal(plain, answered)
    assert (alone, together) == (16, 3)  # 5 proposals and one more per pass


def test_the_strategy_is_registered_by_name() -> None:
    from xf.plugins import registry

    assert registry("decoding").get("assisted_generation") is AssistedGeneration


def test_the_cache_goes_on_after_an_assisted_answer() -> None:
    model = ANSWERS.model(xf, "llama")
    first = model.generate(PROMPT, max_new_tokens=6, prompt_lookup_num_tokens=4, return_dict_in_generate=True)
    assert first.past_key_values.get_seq_length() == first.sequences.shape[1] - 1
    onward = model.generate(first.sequences, past_key_values=first.past_key_values, max_new_tokens=5)
    assert torch.equal(onward, model.generate(PROMPT, max_new_tokens=11))


def test_left_padding_and_embeddings() -> None:
    model, draft = ANSWERS.model(xf, "llama"), ANSWERS.model(xf, "llama_draft")
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
    settings = {"attention_mask": mask, "max_new_tokens": 10}
    plain = model.generate(PROMPT, **settings)
    assert torch.equal(model.generate(PROMPT, assistant_model=draft, **settings), plain)
    embeds = model.get_input_embeddings()(PROMPT).detach()
    assert torch.equal(
        model.generate(inputs_embeds=embeds, prompt_lookup_num_tokens=3, max_new_tokens=9),
        model.generate(inputs_embeds=embeds, max_new_tokens=9),
    )


# ---- sampling ---------------------------------------------------------------------------------------------------


def test_rejection_keeps_the_distribution_of_the_model() -> None:
    torch.manual_seed(0)
    draft, scores = torch.randn(1, 6), 2 * torch.randn(2, 6)
    strategy = AssistedGeneration.__new__(AssistedGeneration)
    strategy.run = SimpleNamespace(generators=None, draw=lambda s: torch.multinomial(s.softmax(-1), 1))
    counts = torch.zeros(6, 6)
    for _ in range(6000):
        proposed = torch.multinomial(draft[0].softmax(-1), 1)
        tokens, matched = strategy._reject(scores, proposed, draft)
        assert len(tokens) == matched + 1
        second = tokens[1] if matched else int(torch.multinomial(scores[1].softmax(-1), 1))
        counts[tokens[0], second] += 1
    expected = scores[0].softmax(-1)[:, None] * scores[1].softmax(-1)
    assert (counts / 6000 - expected).abs().sum() / 2 < 0.05  # total variation; chance alone gives 0.02


@pytest.mark.parametrize(
    "drafter", [{"assistant": "llama_draft"}, {"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 1}], ids=str
)
def test_sampled_answers_are_distributed_as_those_of_sampling(drafter: dict[str, Any]) -> None:
    model, count = ANSWERS.model(xf, "llama"), 150
    settings = {"do_sample": True, "top_k": 3, "max_new_tokens": 2}
    given = {**settings, **{k: v for k, v in drafter.items() if k != "assistant"}}
    if "assistant" in drafter:
        given["assistant_model"] = ANSWERS.model(xf, drafter["assistant"])
    plain = model.generate(PROMPT.expand(count, -1), seed=1, **settings)[:, -1]
    ours = torch.cat([model.generate(PROMPT, seed=i, **given) for i in range(count)])[:, -1]
    shares = [torch.bincount(tokens, minlength=40) / count for tokens in (plain, ours)]
    assert (shares[0] - shares[1]).abs().sum() / 2 < 0.2  # total variation; chance alone gives 0.08


def test_sampling_is_repeatable_under_a_seed() -> None:
    model, draft = ANSWERS.model(xf, "llama"), ANSWERS.model(xf, "llama_draft")
    draws = [
        model.generate(PROMPT, assistant_model=draft, do_sample=True, max_new_tokens=12, seed=s) for s in (3, 3, 4)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


# ---- settings -----------------------------------------------------------------------------------------------------


def test_lookup_prefers_the_longest_and_earliest_match() -> None:
    text = torch.tensor([[1, 2, 9, 3, 2, 8, 1, 2]])
    assert PromptLookup(2, 2).propose(text, 10)[0].tolist() == [9, 3]
    assert PromptLookup(2, 1).propose(text, 10)[0].tolist() == [9, 3]
    assert PromptLookup(5, 2).propose(text, 3)[0].tolist() == [9, 3, 2]
    assert PromptLookup(2, 2).propose(torch.tensor([[1, 2, 3]]), 10)[0].tolist() == []


def test_the_heuristic_schedule_lasts_over_calls() -> None:
    model, draft = ANSWERS.model(xf, "llama"), copy.deepcopy(ANSWERS.model(xf, "llama"))
    settings: dict[str, Any] = {"num_assistant_tokens": 2, "assistant_confidence_threshold": 0.0, "max_new_tokens": 13}

    def passes(schedule: str) -> int:
        given = {**settings, "num_assistant_tokens_schedule": schedule}
        return counted(model, assistant_model=draft, **given)[1]

    assert [passes("constant"), passes("heuristic_transient")] == [5, 3]  # 3 + 3 + 3 + 3 + 1; 3 + 5 + 5
    assert [passes("heuristic"), passes("heuristic")] == [3, 2]


def test_the_draft_models_own_settings_count_where_the_call_says_nothing() -> None:
    model, draft = ANSWERS.model(xf, "llama"), copy.deepcopy(ANSWERS.model(xf, "llama"))
    draft.generation_config.num_assistant_tokens = 3
    draft.generation_config.assistant_confidence_threshold = 0.0
    assert counted(model, assistant_model=draft, max_new_tokens=12)[1] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"assistant_early_exit": 9}, "between 1 and 3"),
        ({"prompt_lookup_num_tokens": 0}, "prompt_lookup_num_tokens"),
        ({"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 0}, "max_matching_ngram_size"),
        ({"prompt_lookup_num_tokens": 3, "num_beams": 2}, "greedy search and sampling"),
        ({"prompt_lookup_num_tokens": 3, "use_cache": False}, "use_cache=True"),
        ({"prompt_lookup_num_tokens": 3, "guidance_scale": 1.5}, "token by token"),
        ({"prompt_lookup_num_tokens": 3, "do_sample": True, "num_return_sequences": 2}, "one text, not on 2"),
    ],
    ids=str,
)
def test_what_cannot_work_says_so(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ANSWERS.model(xf, "llama").generate(PROMPT, max_new_tokens=4, **arguments)


def test_a_batch_and_a_schedule_that_does_not_exist_are_refused() -> None:
    model, draft = ANSWERS.model(xf, "llama"), ANSWERS.model(xf, "llama_draft")
    with pytest.raises(ValueError, match="one text, not on 2"):
        model.generate(PROMPT.expand(2, -1), assistant_model=draft, max_new_tokens=4)
    with pytest.raises(ValueError, match="num_assistant_tokens_schedule"):
        model.generate(PROMPT, assistant_model=draft, num_assistant_tokens_schedule="often", max_new_tokens=4)


# ---- another tokenizer ---------------------------------------------------------------------------------------------


def relabelled(shift: int) -> Any:
    """The model, with its rows in the order of the tokenizer `shift`: it writes the same text in other ids."""
    own, other = ANSWERS.tokenizer(xf), ANSWERS.tokenizer(xf, shift)
    twin = copy.deepcopy(ANSWERS.model(xf, "llama"))
    texts = own.get_vocab()
    order = [texts.get(text, 0) for text, _ in sorted(other.get_vocab().items(), key=lambda pair: pair[1])]
    with torch.no_grad():
        for table in (twin.get_input_embeddings(), twin.get_output_embeddings()):
            table.weight.copy_(table.weight[order].clone())
    return twin


@pytest.mark.parametrize("backs", [(10, 10), (1, 3)])
def test_a_draft_model_with_another_tokenizer(backs: tuple[int, int]) -> None:
    model, draft = ANSWERS.model(xf, "llama"), relabelled(1)
    tokenizers = {"tokenizer": ANSWERS.tokenizer(xf), "assistant_tokenizer": ANSWERS.tokenizer(xf, 1)}
    looking_back = {"target_lookbehind": backs[0], "assistant_lookbehind": backs[1]}
    settings = {"num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0, "suppress_tokens": [0, 1, 2, 3]}
    plain, alone = counted(model, max_new_tokens=15, suppress_tokens=[0, 1, 2, 3])
    ours, together = counted(model, max_new_tokens=15, assistant_model=draft, **tokenizers, **settings, **looking_back)
    assert torch.equal(plain, ours)
    assert together < alone


def test_another_vocabulary_needs_both_tokenizers() -> None:
    model = ANSWERS.model(xf, "llama")
    config = xf.LlamaConfig(**{**ANSWERS.MODELS["llama"][2], "vocab_size": 50})
    draft = xf.LlamaForCausalLM(config)
    with pytest.raises(ValueError, match="vocabulary of 50 tokens"):
        model.generate(PROMPT, assistant_model=draft, max_new_tokens=4)
    with pytest.raises(ValueError, match="needs tokenizer= too"):
        model.generate(PROMPT, assistant_model=draft, assistant_tokenizer=ANSWERS.tokenizer(xf, 1), max_new_tokens=4)


@pytest.mark.parametrize("sampled", [False, True])
def test_processors_never_see_a_text_behind_a_token_that_they_forbid(sampled: bool) -> None:
    model, prompt = ANSWERS.model(xf, "llama"), torch.tensor([[5, 9, 30, 11, 7, 5, 9]])

    def forbid(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert 30 not in ids[0, 7:]  # the lookup proposes it
        return scores.index_fill(1, torch.tensor([30]), -torch.inf)

    settings = {"max_new_tokens": 8, "logits_processor": [forbid], "do_sample": sampled, "seed": 3}
    found = model.generate(prompt, prompt_lookup_num_tokens=4, **settings)
    assert found.shape == (1, 15)
    if not sampled:
        assert torch.equal(found, model.generate(prompt, **settings))


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("drafter", ["lookup", "draft"])
def test_a_text_that_cannot_go_on_is_an_error_wherever_it_ends(sampled: bool, drafter: str) -> None:
    model, prompt = ANSWERS.model(xf, "llama"), torch.tensor([[5, 9, 30, 11, 7, 5, 9]])

    def forbid(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores if ids.shape[1] < 11 else torch.full_like(scores, -torch.inf)

    given = {"prompt_lookup_num_tokens": 4} if drafter == "lookup" else {"assistant_model": model}
    settings = {"max_new_tokens": 4, "logits_processor": [forbid], "do_sample": sampled, "eos_token_id": None}
    assert model.generate(prompt, **given, **settings).shape == (1, 11)
    with pytest.raises(ValueError, match="no token left to choose"):
        model.generate(prompt, **given, **{**settings, "max_new_tokens": 8})


def test_a_streamer_gets_every_token() -> None:
    model, got = ANSWERS.model(xf, "llama"), []

    class Streamer(xf.BaseStreamer):
        def put(self, value: torch.Tensor) -> None:
            got.extend(value.reshape(-1).tolist())

        def end(self) -> None:
            got.append(-1)

    answered = model.generate(PROMPT, prompt_lookup_num_tokens=4, max_new_tokens=9, streamer=Streamer())
    assert got == [*answered[0].tolist(), -1]
