"""The task translation: the recorded answers of the reference, the conformance class, and what only xf promises."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from xf import pipeline
from xf_testing import PipelineConformance

HERE = Path(__file__).parent / "goldens"
CASES = json.loads((HERE / "cases.json").read_text("utf-8"))
ANSWERS = json.loads((HERE / "answers.json").read_text("utf-8"))
SHORT = {"max_new_tokens": 6}


def make(task: str = "translation", **parameters: Any) -> Any:
    return pipeline(task, model=str(HERE / "t5"), device="cpu", **parameters)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda tensor: tensor.tolist()))


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make()


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: json.dumps(CASES[number])[:70])
def test_the_answers_are_those_of_the_reference(number: int) -> None:
    (task, inputs, parameters), golden = CASES[number], ANSWERS[number]
    if golden == "error":
        with pytest.raises((ValueError, TypeError, KeyError)) as caught:
            make(task)(inputs, **parameters)
        assert len(str(caught.value)) > 10, "an error says what was wrong"
    else:
        assert plain(make(task)(inputs, **parameters)) == golden


class Languages:
    """A tokenizer that names the target language by its own first token, as those of mBART and NLLB do."""

    def __init__(self, tokenizer: Any) -> None:
        self.inner = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _build_translation_inputs(self, text: str, return_tensors: str, truncation: Any, src_lang: str, tgt_lang: str):
        inputs = self.inner(f"{src_lang} {text}", return_tensors=return_tensors, truncation=truncation)
        return {**inputs, "forced_bos_token_id": self.inner.convert_tokens_to_ids("\u2581" + tgt_lang)}


def test_languages_reach_a_tokenizer_that_knows_them(pipe: Any) -> None:
    tokenizer = Languages(pipe.tokenizer)
    knows = make(tokenizer=tokenizer, return_tensors=True, **SHORT)
    first = tokenizer.convert_tokens_to_ids("\u2581French")
    texts = ["hello", "the quick brown fox"]
    singly = [knows(text, src_lang="English", tgt_lang="French")[0] for text in texts]
    assert all(int(result["translation_token_ids"][1]) == first for result in singly)
    together = knows(texts, src_lang="English", tgt_lang="French", batch_size=2)
    for one, other in zip(singly, together, strict=True):
        assert torch.equal(one["translation_token_ids"], other["translation_token_ids"])
    named = make("translation_English_to_French", tokenizer=tokenizer, return_tensors=True, **SHORT)
    assert torch.equal(named("hello")[0]["translation_token_ids"], singly[0]["translation_token_ids"])
    with pytest.raises(ValueError, match="needs src_lang and tgt_lang"):
        make("translation_en_to_de", tokenizer=tokenizer).preprocess("hello")


def test_languages_without_effect_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        make("translation_en_to_fr")("hello", **SHORT)
        assert "no effect" not in caplog.text
        make("translation_en_to_fr")("hello", src_lang="de", tgt_lang="fr", **SHORT)
    assert "src_lang, tgt_lang has no effect" in caplog.text


def test_a_text_that_is_long_for_its_limit_is_said(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        pipe("the quick brown fox jumps", max_length=4)
    assert "may be cut off" in caplog.text


class TestTranslationConformance(PipelineConformance):
    name = "translation"
    inputs = ("hello world", "a", "the quick brown fox jumps", "")
    wrong = (object(), None, 5, {"text": "hello"})

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**{**SHORT, **parameters})
