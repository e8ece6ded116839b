"""Bad input to the text tasks: each is an error that says what was wrong, or has a result that makes sense."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xf import PipelineItemError, pipeline
from xf.plugins import PluginNotInstalledError, known

TEXT = "hello world, this is a small text"
HEADS = {
    "text-classification": ("bert", "BertForSequenceClassification"),
    "token-classification": ("bert", "BertForTokenClassification"),
    "fill-mask": ("bert", "BertForMaskedLM"),
    "feature-extraction": ("bert", "BertModel"),
    "text-generation": ("gpt2", "GPT2LMHeadModel"),
    "text2text-generation": ("t5", "T5ForConditionalGeneration"),
    "summarization": ("t5", "T5ForConditionalGeneration"),
    "translation": ("t5", "T5ForConditionalGeneration"),
}
GENERATES = ("text-generation", "text2text-generation", "summarization", "translation")


@pytest.fixture
def make(checkpoint: Callable[..., str]) -> Callable[[str], Any]:
    def build(task: str) -> Any:
        settings: dict[str, Any] = {"max_new_tokens": 3} if task in GENERATES else {}
        return pipeline(task, model=checkpoint(*HEADS[task], [TEXT]), device="cpu", **settings)

    return build


@pytest.mark.parametrize("task", HEADS)
def test_empty_texts_and_lists(make: Callable[[str], Any], task: str) -> None:
    pipe = make(task)
    assert pipe([]) == []
    if task == "fill-mask":
        with pytest.raises(Exception, match="No mask_token"):
            pipe("")
    else:
        assert len(pipe(["", TEXT])) == 2 and isinstance(pipe(""), list)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("task", HEADS)
def test_none_in_a_list(make: Callable[[str], Any], task: str, batch_size: int) -> None:
    pipe = make(task)
    texts: list[Any] = [TEXT, None, "hello"]
    if task == "fill-mask":
        texts = ["[MASK] a", None, "b [MASK]"]
    with pytest.raises((ValueError, TypeError)) as caught:
        pipe(texts, batch_size=batch_size)
    notes = getattr(caught.value, "__notes__", ["input 1 "])  # Python 3.10 has no notes: there the log says it
    assert "input 1 " in " ".join(notes)
    first, second, third = pipe(texts, batch_size=batch_size, on_error="return")
    assert isinstance(second, PipelineItemError) and second.index == 1
    assert not isinstance(first, PipelineItemError) and not isinstance(third, PipelineItemError)


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "feature-extraction"])
def test_a_million_characters(make: Callable[[str], Any], task: str) -> None:
    pipe = make(task)
    text = "hello world " * 84_000
    assert len(text) > 1_000_000
    options = {} if task == "token-classification" else {"truncation": True}  # which cuts by itself
    assert pipe(text, **options) is not None
    if options:
        with pytest.raises(ValueError, match="tokens long, but the model has 512 positions: truncate it"):
            pipe(text)


def test_a_million_characters_for_a_model_that_writes(make: Callable[[str], Any]) -> None:
    pipe = make("text2text-generation")
    assert len(pipe("hello world " * 84_000, truncation=True)) == 1


def test_a_question_without_a_context(checkpoint: Callable[..., str]) -> None:
    ask = pipeline("question-answering", model=checkpoint("bert", "BertForQuestionAnswering", [TEXT]))
    for arguments, error in (
        ({"question": "Who?"}, ValueError),
        ({"question": "Who?", "context": ""}, ValueError),
        ({"question": "Who?", "context": None}, ValueError),
        ({"question": ["Who?", "Why?"], "context": [TEXT]}, ValueError),
    ):
        with pytest.raises(error, match="context"):
            ask(**arguments)
    with pytest.raises(KeyError, match="context"):
        ask({"question": "Who?"})
    good = {"question": "Who?", "context": TEXT}
    results = ask(iter_of(good, {"question": "Who?"}), on_error="return")
    assert [isinstance(result, PipelineItemError) for result in results] == [False, True]


def iter_of(*items: Any) -> Any:
    yield from items


def test_a_hypothesis_without_a_place_for_the_label(checkpoint: Callable[..., str]) -> None:
    labels = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}, "num_labels": 3}
    labels["label2id"] = {name: i for i, name in labels["id2label"].items()}
    judge = pipeline(
        "zero-shot-classification", model=checkpoint("bert", "BertForSequenceClassification", [TEXT], **labels)
    )
    with pytest.raises(ValueError, match="no place for the label"):
        judge(TEXT, candidate_labels=["a", "b"], hypothesis_template="This is about it.")
    for candidates in ([], "", None):
        with pytest.raises((ValueError, TypeError)):
            judge(TEXT, candidate_labels=candidates)
    assert judge(TEXT, candidate_labels="a, b", hypothesis_template="About {}.")["sequence"] == TEXT


def folder_of(tmp_path: Path, **config: Any) -> str:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


def test_a_family_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "xf-plugin-newfam": {"config": {"newfam": "NewfamConfig"}, "model.masked_lm": {"newfam": "NewfamForMaskedLM"}}
    }
    monkeypatch.setattr(known, "table", lambda: table)
    folder = folder_of(tmp_path, model_type="newfam", architectures=["NewfamForMaskedLM"])
    for task in ("fill-mask", None):
        with pytest.raises(PluginNotInstalledError, match="pip install xf-plugin-newfam"):
            pipeline(task, model=folder)


def test_a_family_that_does_not_exist(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type="no_such_family", architectures=["NoSuchModel"])
    with pytest.raises(PluginNotInstalledError, match="no_such_family") as caught:
        pipeline("fill-mask", model=folder)
    assert "pip install" not in str(caught.value), "a name from a checkpoint is no hint"


def test_a_folder_of_an_adapter(tmp_path: Path) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "google/some-base", "r": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter), "utf-8")
    for task in ("text-generation", None):
        with pytest.raises(ValueError, match="adapter .* for google/some-base.*merge_and_unload"):
            pipeline(task, model=str(tmp_path))


@pytest.mark.parametrize("task", [*HEADS, "translation_en_to_fr", "question-answering", "table-question-answering"])
def test_a_default_model_that_is_not_here(task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XF_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    table = {f"xf-plugin-{name}": {"config": {name: "C"}} for name in ("distilbert", "bart", "gpt2", "t5", "tapas")}
    monkeypatch.setattr(known, "table", lambda: table)
    with pytest.raises(ValueError) as caught:
        pipeline(task)
    says = str(caught.value)
    if task == "translation":
        assert "translation_en_to_fr" in says  # a direction is to be named first
        return
    assert "The default model of" in says and "Pass model= with a folder" in says
    if task in ("feature-extraction", "text-classification", "question-answering"):
        from xf.plugins import registry

        assert ("pip install xf-plugin-distilbert" in says) == ("distilbert" not in registry("config"))
