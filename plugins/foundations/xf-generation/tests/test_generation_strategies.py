"""Every decoding strategy and part of generation equals the reference, on recorded answers."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open

import xf

HERE = Path(__file__).parent
FILES = sorted((HERE / "goldens").glob("generation_*.safetensors"))


def answers_module() -> ModuleType:
    if "generation_answers" in sys.modules:  # another file of tests has loaded it, with its models
        return sys.modules["generation_answers"]
    spec = importlib.util.spec_from_file_location("generation_answers", HERE / "generation_answers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ANSWERS = answers_module()


def recorded(path: Path) -> tuple[dict[str, dict], dict[str, dict[str, torch.Tensor]]]:
    with safe_open(path, framework="pt") as file:
        cases = json.loads(file.metadata()["cases"])
        found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in cases}
        for key in file.keys():
            name, part = key.split("/", 1)
            found[name][part] = file.get_tensor(key)
    return cases, found


RECORDED = {path.stem.removeprefix("generation_"): recorded(path) for path in FILES}
NAMES = [(group, name) for group, (cases, _) in RECORDED.items() for name in cases]
# the reference numbers rows within groups (which compute_transition_scores reads as rows of the batch), and has no
# rows for constrained beams; ours are rows of the batch in every strategy
OWN = "beam_indices"


@pytest.mark.parametrize(("group", "name"), NAMES, ids=["-".join(pair) for pair in NAMES])
def test_equals_the_reference(group: str, name: str) -> None:
    cases, answers = RECORDED[group]
    ours, expected = ANSWERS.answer(xf, cases[name]), dict(answers[name])
    if cases[name].get("untransitioned"):
        expected.pop(OWN, None)
        ours.pop(OWN, None)
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        if value.is_floating_point():
            tolerance = 1e-6 if group == "logits" else 1e-5
            torch.testing.assert_close(ours[key], value, atol=tolerance, rtol=1e-5, msg=lambda m, k=key: f"{k}: {m}")
        else:
            assert torch.equal(ours[key], value), f"{key}: {ours[key].tolist()} is not {value.tolist()}"


def test_everything_was_recorded() -> None:
    counts = {group: len(cases) for group, (cases, _) in RECORDED.items()}
    assert counts == {
        "constraints": 16,
        "logits": 48,
        "scorers": 9,
        "stopping": 10,
        "strategies_gpt2": 47,
        "strategies_llama": 50,
        "strategies_t5": 37,
        "strategies_whisper": 32,
    }


@pytest.mark.parametrize("strategy", ["beam", "beam_sample", "group", "constrained"])
def test_transition_scores_add_up_to_the_score_of_the_sequence(strategy: str) -> None:
    cases, _ = RECORDED["strategies_llama"]
    case = {**cases[strategy]}
    case["arguments"] = {**case["arguments"], "return_dict_in_generate": True, "output_scores": True}
    case.pop("untransitioned", None)
    model = ANSWERS.model(xf, "llama")
    found = ANSWERS.answer(xf, case)
    length = (found["beam_indices"] >= 0).sum(dim=1)
    moved = found["transition_scores"]
    if strategy == "constrained":  # its scores are sums already
        total = moved[torch.arange(len(moved)), length - 1]
    else:
        total = moved.sum(dim=1)
    assert model.generation_config.length_penalty == 1.0
    torch.testing.assert_close(total / length, found["sequences_scores"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strategy", [{}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 2}], ids=str)
def test_attentions_of_sliding_windows_reach_over_the_whole_text(strategy: dict[str, int]) -> None:
    model, prompt = ANSWERS.model(xf, "mistral"), torch.tensor([[5, 9, 30, 11, 7, 9]])
    settings = {"max_new_tokens": 4, "min_new_tokens": 4, "return_dict_in_generate": True, **strategy}
    found = model.generate(prompt, output_attentions=True, **settings)
    for step, layers in enumerate(found.attentions):
        for weights in layers:
            assert weights.shape[-1] == 6 + step
            assert (weights[..., -1, : 6 + step - 4] == 0).all()  # but what lies before the window gets nothing
    assert torch.equal(found.sequences, model.generate(prompt, **settings).sequences)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_embeddings_as_prompt_are_continued_as_their_tokens(name: str, length: int) -> None:
    model, prompt = ANSWERS.model(xf, name), torch.tensor([[12, 9, 30, 11], [8, 22, 3, 18]])[:, :length]
    embeds = model.get_input_embeddings()(prompt).detach()
    for settings in ({}, {"num_beams": 3}, {"use_cache": False}):  # the reference goes astray after one embedding
        found = model.generate(inputs_embeds=embeds, max_new_tokens=6, **settings)
        assert torch.equal(found, model.generate(prompt, max_new_tokens=6, **settings)[:, length:])
