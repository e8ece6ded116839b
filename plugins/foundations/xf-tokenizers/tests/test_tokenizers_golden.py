"""Tokenizers do what the recorded reference did: calls of every kind, saved files, files of several generations."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from xf import AddedToken, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parent))
from tokenizer_cases import KINDS, calls, outcome

GOLDENS = Path(__file__).parent / "goldens"


def load(kind: str, **kwargs: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(GOLDENS / kind, **kwargs)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    return {kind: load(kind) for kind in KINDS}


def comparable(value: Any) -> Any:
    """The reference makes float arrays of rows without tokens; JSON has no tuples."""
    return json.loads(json.dumps(value).replace("0.0", "0"))


CALLS = calls(seed=7, count=260)
EXPECTED = json.loads((GOLDENS / "calls.json").read_text("utf-8"))


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_call(tokenizers: dict[str, Any], number: int) -> None:
    found = outcome(tokenizers, CALLS[number])
    assert comparable(found) == comparable(EXPECTED[number]), CALLS[number]


def test_most_recorded_calls_succeeded() -> None:
    assert sum(expected != "error" for expected in EXPECTED) > 200


@pytest.mark.parametrize("kind", KINDS)
def test_saved_files_are_those_of_the_reference(kind: str, tmp_path: Path) -> None:
    expected = json.loads((GOLDENS / "files.json").read_text("utf-8"))[kind]
    tokenizer = load(kind)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"], "bos_token": "<begin>"})
    tokenizer.add_tokens([AddedToken("later", single_word=True)])
    tokenizer.chat_template = {"default": "a", "tool_use": "b"}
    tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        assert (tmp_path / name).read_text("utf-8") == expected[name]
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == expected["others"]
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = "hello <new> later laterx newtok"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.chat_template == tokenizer.chat_template


@pytest.mark.parametrize("kind", ["wordpiece", "bytelevel", "unigram"])
def test_files_of_5_load(kind: str, tmp_path: Path) -> None:
    saved = load(kind, additional_special_tokens=["<new>"], extra_special_tokens={"image_token": "<image>"})
    saved.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    del config["added_tokens_decoder"]
    config |= {
        "tokenizer_class": "TokenizersBackend", "backend": "tokenizers", "is_local": True,
        "extra_special_tokens": config.pop("additional_special_tokens"),
        "model_specific_special_tokens": {"image_token": "<image>"},
    }  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "special_tokens_map.json").unlink()
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert loaded.additional_special_tokens == ["<new>"]
    assert (loaded.image_token, loaded.image_token_id) == ("<image>", saved.image_token_id)
    assert loaded.all_special_tokens == saved.all_special_tokens
    assert loaded("a <new> <image>")["input_ids"] == saved("a <new> <image>")["input_ids"]


def test_files_from_before_added_tokens_decoder_load(tmp_path: Path) -> None:
    saved = load("wordpiece", additional_special_tokens=[AddedToken("<new>", lstrip=True)])
    saved.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    for key in ("added_tokens_decoder", "additional_special_tokens", "mask_token"):
        del config[key]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert loaded.mask_token == "[MASK]" and loaded.additional_special_tokens == ["<new>"]
    assert loaded("a   <new> b")["input_ids"] == saved("a   <new> b")["input_ids"]


def test_an_argument_overrides_the_files(tmp_path: Path) -> None:
    tokenizer = load("wordpiece", padding_side="left", model_max_length=5, pad_token="<pad!>")
    assert tokenizer(["a", "a a"], padding=True)["attention_mask"][0][0] == 0
    assert tokenizer.pad_token == "<pad!>" and tokenizer.model_max_length == 5
    tokenizer.save_pretrained(tmp_path)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path).padding_side == "left"


def test_a_side_that_was_set_later_is_saved(tmp_path: Path) -> None:
    tokenizer = load("wordpiece")
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path).padding_side == "left"


def test_truncation_in_the_file_is_kept_and_does_not_act(tmp_path: Path) -> None:
    tokenizer = load("char")
    assert len(tokenizer("hello " * 20)["input_ids"]) == 120
    tokenizer.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert saved["truncation"]["max_length"] == 20 and saved["padding"]["strategy"] == {"Fixed": 30}
    shutil.rmtree(tmp_path)
