"""What cannot work says what is wrong and what to do; nothing is made up in silence."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import xf
from xf.interfaces.cache import DynamicCache


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
IDS = torch.tensor([[5, 9, 30, 11], [7, 22, 3, 18]])
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy_processed": {"repetition_penalty": 1.3},
    "sample": {"do_sample": True},
    "beam": {"num_beams": 2},
    "beam_sample": {"num_beams": 2, "do_sample": True},
    "group": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    "constrained": {"num_beams": 2, "force_words_ids": [[7]]},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 3},
    "dola": {"dola_layers": [0]},
    "lookup": {"prompt_lookup_num_tokens": 2},
}


def llama() -> Any:
    return ANSWERS.model(xf, "llama")


def spoiled(value: float, vocabulary: slice = slice(3, 5)) -> Any:
    """A model whose logits are `value` at some tokens (an infinite one through the head's weights is NaN)."""
    broken = copy.deepcopy(llama())

    def spoil(module: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(-1, torch.arange(40)[vocabulary], value)

    broken.lm_head.register_forward_hook(spoil)
    return broken


def one_row(name: str) -> torch.Tensor:
    return IDS[:1] if name == "lookup" else IDS


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_nan_or_infinite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"rows \[0.* have (NaN|infinite scores)"):
        spoiled(value).generate(one_row(name), max_new_tokens=4, **STRATEGIES[name])


@pytest.mark.parametrize("name", ["greedy", "sample", "beam", "group", "contrastive", "lookup"])
def test_nan_that_comes_late(name: str) -> None:
    broken, calls = copy.deepcopy(llama()), []

    def spoil(module: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return logits * float("nan") if len(calls) > 2 else logits

    broken.lm_head.register_forward_hook(spoil)
    with pytest.raises(ValueError, match="NaN"):
        broken.generate(one_row(name), max_new_tokens=6, min_new_tokens=6, **STRATEGIES[name])


@pytest.mark.parametrize("name", ["greedy", "sample", "beam", "contrastive"])
def test_logits_without_a_choice(name: str) -> None:
    with pytest.raises(ValueError, match="NaN|no token left to choose"):
        spoiled(float("-inf"), slice(0, 40)).generate(IDS, max_new_tokens=4, **STRATEGIES[name])


def test_nan_can_be_replaced() -> None:
    found = spoiled(float("nan")).generate(IDS, max_new_tokens=4, remove_invalid_values=True)
    assert found.shape == (2, 8)


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_empty_prompt(name: str) -> None:
    with pytest.raises(ValueError, match="The prompt is empty: give at least one token"):
        llama().generate(torch.ones(1, 0, dtype=torch.long), max_new_tokens=4, **STRATEGIES[name])


def test_no_prompt_at_all_starts_with_the_start_token() -> None:
    assert llama().generate(max_new_tokens=3)[0, 0] == ANSWERS.START
    with pytest.raises(ValueError, match="no bos_token_id to start from"):
        llama().generate(max_new_tokens=3, bos_token_id=None, use_model_defaults=False)


def test_a_prompt_that_is_no_batch_of_integers() -> None:
    with pytest.raises(ValueError, match=r"use ids\[None\] for one text"):
        llama().generate(IDS[0], max_new_tokens=3)
    with pytest.raises(ValueError, match="must be integers"):
        llama().generate(IDS.float(), max_new_tokens=3)
    with pytest.raises(ValueError, match="return_tensors='pt'"):
        llama().generate([[5, 9]], max_new_tokens=3)
    with pytest.raises(ValueError, match="given twice"):
        llama().generate(IDS, input_ids=IDS, max_new_tokens=3)


def test_a_cache_that_is_too_short_or_too_long() -> None:
    model = llama()
    cache = xf.StaticCache(config=model.config, max_batch_size=2, max_cache_len=3)
    with pytest.raises(ValueError, match="holds 3 tokens, but prompt and answer may need 7"):
        model.generate(IDS, past_key_values=cache, max_new_tokens=4)
    full = DynamicCache()
    model(input_ids=IDS, past_key_values=full)
    with pytest.raises(ValueError, match="past_key_values holds 4 tokens, but the prompt has only 2"):
        model.generate(IDS[:, :2], past_key_values=full, max_new_tokens=4)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"min_new_tokens": 5, "max_new_tokens": 3}, r"min_new_tokens \(5\) is larger than max_new_tokens \(3\)"),
        ({"min_length": 30, "max_length": 12}, "raise the one or lower the other"),
        ({"max_length": 3}, "Raise max_length, or better set max_new_tokens"),
        ({"max_new_tokens": 0}, "greater than 0"),
        ({"num_beams": 0}, "num_beams is 0"),
        ({"num_return_sequences": 3}, "greedy decoding finds one sequence"),
        ({"num_beams": 2, "num_return_sequences": 3}, "cannot be larger than num_beams"),
        ({"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1.0}, "multiple of num_beam_groups"),
        ({"num_beams": 4, "num_beam_groups": 2}, "diversity_penalty > 0"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "do_sample": True}, "do_sample=False"),
        ({"num_beams": 2, "do_sample": True, "force_words_ids": [[5]]}, "does not sample"),
        ({"force_words_ids": [[5]]}, "num_beams to at least 2"),
        ({"do_sample": True, "temperature": 0.0}, "do_sample=False"),
        ({"do_sample": True, "top_p": 1.5}, "top_p must be a number between 0 and 1"),
        ({"repetition_penalty": -1.0}, "greater than 0"),
        ({"early_stopping": "sometimes", "num_beams": 2}, "early_stopping"),
        ({"penalty_alpha": 0.6, "top_k": 4, "use_cache": False}, "use_cache=True"),
        ({"dola_layers": "middle"}, "dola_layers"),
        ({"dola_layers": [17]}, "leaves no layer"),
        ({"seed": [1, 2, 3], "do_sample": True}, "3 seeds or generators for a batch of 2"),
        ({"seed": 1, "generator": torch.Generator(), "do_sample": True}, "not both"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_contradicting_settings(settings: dict[str, Any], told: str) -> None:
    given = {"max_new_tokens": 4, **settings} if "max_length" not in settings else settings
    with pytest.raises(ValueError, match=told):
        llama().generate(IDS, **given)


def test_settings_that_would_be_ignored_are_told(caplog: pytest.LogCaptureFixture) -> None:
    told = xf.GenerationConfig()
    told.update(temperature=0.3, length_penalty=2.0)
    with pytest.raises(
        ValueError, match=r"temperature=0.3 acts only with do_sample=True.*length_penalty=2.0 acts only"
    ):
        told.validate(strict=True)


@pytest.mark.parametrize("bad", [40, 999, -1])
def test_ids_outside_of_the_vocabulary(bad: int) -> None:
    ids = IDS.clone()
    ids[1, 2] = bad
    with pytest.raises(ValueError, match=f"holds the id {bad}, but the model has 40 token embeddings"):
        llama().generate(ids, max_new_tokens=3)
    with pytest.raises(ValueError, match=f"holds the id {bad}"):
        ANSWERS.model(xf, "t5").generate(IDS, decoder_input_ids=ids, max_new_tokens=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"forced_bos_token_id": 400},
        {"forced_eos_token_id": 400},
        {"bad_words_ids": [[400]]},
        {"sequence_bias": {(400,): 1.0}},
    ],
    ids=str,
)
def test_settings_with_ids_outside_of_the_vocabulary(settings: dict[str, Any]) -> None:
    prompt = torch.tensor([[5]]) if "forced_bos_token_id" in settings else IDS
    with pytest.raises(ValueError, match="400"):
        llama().generate(prompt, max_new_tokens=3, **settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"force_words_ids": [[5, 6, 7, 8]]}, "take at least 4 tokens, but the answer may have only 3"),
        ({"force_words_ids": [[5, 6], [7, 8]]}, "take at least 4 tokens"),
        ({"force_words_ids": [[99]]}, r"ask for tokens \[99\], outside of the vocabulary"),
        ({"force_words_ids": []}, "not empty"),
        ({"force_words_ids": [[]]}, "force_words_ids has the entry"),
        ({"constraints": ["a"]}, "list of Constraint objects"),
    ],
    ids=str,
)
def test_constraints_that_cannot_be_met(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        llama().generate(IDS, num_beams=3, max_new_tokens=3, **settings)


def test_constraints_that_contradict_themselves() -> None:
    for make, told in (
        (lambda: xf.PhrasalConstraint([]), "not empty"),
        (lambda: xf.PhrasalConstraint([1, -2]), "at least 0"),
        (lambda: xf.DisjunctiveConstraint([[1, 2], [1, 2, 3]]), "beginning of another"),
        (lambda: xf.DisjunctiveConstraint([]), "not empty"),
    ):
        with pytest.raises(ValueError, match=told):
            make()


def test_forbidding_everything_is_no_reason_to_make_a_token_up() -> None:
    for settings in ({}, {"do_sample": True}, {"num_beams": 2}):
        with pytest.raises(ValueError, match="no token left to choose"):
            llama().generate(IDS, max_new_tokens=3, suppress_tokens=list(range(40)), **settings)


def test_a_stop_string_that_never_comes() -> None:
    tokenizer = ANSWERS.tokenizer(xf)
    settings = {"max_new_tokens": 7, "tokenizer": tokenizer}
    plain = llama().generate(IDS, max_new_tokens=7)
    assert torch.equal(llama().generate(IDS, stop_strings=["?!", "nowhere to be found"], **settings), plain)
    with pytest.raises(ValueError, match="need the tokenizer"):
        llama().generate(IDS, stop_strings="a", max_new_tokens=3)
    for nothing in ([], [""], [3]):
        with pytest.raises(ValueError, match="stop_strings"):
            llama().generate(IDS, stop_strings=nothing, **settings)


@pytest.mark.parametrize("name", STRATEGIES)
def test_padding_on_the_wrong_side(name: str) -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    mask = mask[: len(one_row(name))]
    with pytest.raises(ValueError, match=r'rows \[0\].*padding_side="left"'):
        llama().generate(one_row(name), attention_mask=mask, max_new_tokens=3, **STRATEGIES[name])


def test_padding_on_the_wrong_side_is_seen_without_a_mask() -> None:
    ids = IDS.clone()
    ids[1, 2:] = ANSWERS.PAD
    with pytest.raises(ValueError, match=r'rows \[1\].*padding_side="left"'):
        llama().generate(ids, max_new_tokens=3)
    answered = ANSWERS.model(xf, "t5").generate(ids, max_new_tokens=3)  # an encoder reads it as it should
    assert answered.shape[0] == 2


def test_unknown_fields_are_errors_with_close_matches() -> None:
    with pytest.raises(ValueError, match="'temprature'; did you mean 'temperature'"):
        llama().generate(IDS, temprature=0.5)
    with pytest.raises(ValueError, match="'attention_mas'; did you mean 'attention_mask'"):
        llama().generate(IDS, attention_mas=torch.ones_like(IDS))
    with pytest.raises(ValueError, match="'num_beam'; did you mean 'num_beam"):
        xf.GenerationConfig(num_beam=3)


def test_strategies_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="no installed decoding strategy.*never runs code from a repository"):
        llama().generate(IDS, custom_generate="someone/somewhere")
    with pytest.raises(ValueError, match="trust_remote_code"):
        llama().generate(IDS, custom_generate="greedy_search", trust_remote_code=True)


@pytest.mark.parametrize("name", ["beam", "group", "constrained"])
def test_beams_cannot_feed_a_streamer(name: str) -> None:
    with pytest.raises(ValueError, match="cannot feed a streamer"):
        llama().generate(IDS, streamer=xf.TextStreamer(ANSWERS.tokenizer(xf)), **STRATEGIES[name])


def test_a_failed_call_leaves_the_model_as_it_was() -> None:
    model = llama()
    before, settings = model.generate(IDS, max_new_tokens=5), model.generation_config.to_dict()
    for arguments in ({"num_beams": 2, "num_return_sequences": 5}, {"force_words_ids": [[99]], "num_beams": 2}):
        with pytest.raises(ValueError):
            model.generate(IDS, **arguments)
    assert model.generation_config.to_dict() == settings
    assert torch.equal(model.generate(IDS, max_new_tokens=5), before)
