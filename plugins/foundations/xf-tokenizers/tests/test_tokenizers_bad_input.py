"""Bad input gets an error that says what is wrong; nothing is written that should not be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xf import PreTrainedTokenizerFast

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece")


def test_empty_batches_and_texts(tokenizer: Any) -> None:
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert tokenizer([], padding=True, return_tensors="np")["input_ids"].shape == (0, 0)
    assert tokenizer("")["input_ids"] == [2, 3]
    assert tokenizer(["", ""], return_tensors="np")["input_ids"].tolist() == [[2, 3], [2, 3]]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ((None,), "either `text` or `text_target`"),
        ((5,), "text input must be of type"),
        ((b"bytes",), "text input must be of type"),
        ((["a", None],), r"text\[1\] must be a string, not NoneType"),
        ((["a", 3.5],), r"text\[1\] must be a string, not float"),
        (([["a", "b", "c"]],), "is_split_into_words=True"),
        ((["a", "b"], ["c"]), "does not match batch length"),
        (("\ud800",), "not valid Unicode"),
    ],
)
def test_wrong_texts(tokenizer: Any, inputs: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tokenizer(*inputs)


def test_a_text_for_a_batch_of_texts(tokenizer: Any) -> None:
    with pytest.raises(TypeError, match="text_pair"):
        tokenizer(["a", "b"], "c")
    with pytest.raises(ValueError, match="other than texts"):
        tokenizer.batch_encode_plus([1, 2])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"padding": "longer"}, "PaddingStrategy"),
        ({"truncation": "all"}, "TruncationStrategy"),
        ({"padding_side": "up", "padding": True}, "'right' or 'left'"),
        ({"max_length": -1, "truncation": True}, "max_length must be"),
        ({"max_length": "8", "truncation": True}, "max_length must be"),
        ({"max_length": 5, "truncation": True, "padding": True, "pad_to_multiple_of": 8}, "not a multiple"),
        ({"max_length": 5, "truncation": True, "stride": 5, "return_overflowing_tokens": True}, "stride"),
        ({"max_length": 3, "truncation": "only_second"}, "Second sequence"),
        ({"return_tensors": "tf"}, "'pt' .* and 'np'"),
    ],
)
def test_wrong_arguments(tokenizer: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tokenizer("hello world the quick brown fox", **arguments)


def test_rows_of_different_length_are_no_tensor(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["a", "a a a"], return_tensors="pt")


def test_padding_needs_a_padding_token() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "llama")
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="does not have a padding token"):
        tokenizer(["a", "a a"], padding=True)


def test_a_limit_below_the_special_tokens_is_said(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    from xf import logging

    logging.enable_propagation()
    try:
        assert len(tokenizer("hello world", truncation=True, max_length=1)["input_ids"]) > 2
    finally:
        logging.disable_propagation()
    assert "leaves no room for the 2 special tokens" in caplog.text


def test_a_text_of_a_million_characters(tokenizer: Any) -> None:
    text = "hello world " * 84_000
    assert len(tokenizer(text, truncation=True, max_length=32)["input_ids"]) == 32
    assert len(tokenizer(text)["input_ids"]) > 168_000


@pytest.mark.parametrize("ids", [[-1], ["a"], [[1], [2]], None])
def test_ids_that_are_none(tokenizer: Any, ids: Any) -> None:
    with pytest.raises(ValueError, match="decode needs one sequence of ids"):
        tokenizer.decode(ids)


def broken(tmp_path: Path, **files: str) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (GOLDENS / "wordpiece" / name).read_text("utf-8")
        (tmp_path / name).write_text(files.get(name.partition(".")[0], text), "utf-8")
    return tmp_path


def test_a_truncated_tokenizer_json(tmp_path: Path) -> None:
    text = (GOLDENS / "wordpiece" / "tokenizer.json").read_text("utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json.*damaged"):
        PreTrainedTokenizerFast.from_pretrained(broken(tmp_path, tokenizer=text[: len(text) // 2]))


def test_a_tokenizer_json_of_a_newer_version(tmp_path: Path) -> None:
    data = json.loads((GOLDENS / "wordpiece" / "tokenizer.json").read_text("utf-8"))
    data["model"]["type"] = "NewModel"
    with pytest.raises(ValueError, match="newer version"):
        PreTrainedTokenizerFast.from_pretrained(broken(tmp_path, tokenizer=json.dumps(data)))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "object"),
        ('{"added_tokens_decoder": []}', "added_tokens_decoder must be an object"),
        ('{"added_tokens_decoder": {"x": {"content": "a"}}}', "which is no number"),
        ('{"added_tokens_decoder": {"1": {"text": "a"}}}', "an object with `content`"),
        ('{"pad_token": {"lstrip": true}}', "an object with `content`"),
        ('{"pad_token": 5}', "non-string"),
        ('{"padding_side": "up"}', "padding_side"),
        ('{"chat_template": 5}', "chat_template"),
        ('{"extra_special_tokens": {"image_token": 5}}', "image_token"),
    ],
)
def test_a_broken_tokenizer_config(tmp_path: Path, config: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PreTrainedTokenizerFast.from_pretrained(broken(tmp_path, tokenizer_config=config))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of tokenizer\.json is needed"):
        PreTrainedTokenizerFast.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="single file"):
        PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece" / "tokenizer.json")
    with pytest.raises(ValueError, match="tokenizer_file="):
        PreTrainedTokenizerFast()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "", "x" * 100, "a.b", "a\x00b"])
def test_names_of_chat_templates_do_not_become_paths(tokenizer: Any, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inner"
    tokenizer.chat_template = {"default": "a", name: "b"}
    with pytest.raises(ValueError, match="cannot be saved"):
        tokenizer.save_pretrained(folder)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_prefix_of_file_names_does_not_become_a_path(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="filename_prefix"):
        tokenizer.save_pretrained(tmp_path / "inner", filename_prefix="../evil")


def test_keys_that_ask_for_code_do_nothing(tmp_path: Path) -> None:
    config = {
        "tokenizer_class": "os.system",
        "auto_map": {"AutoTokenizer": ["evil.Evil", None]},
        "trust_remote_code": True,
    }
    loaded = PreTrainedTokenizerFast.from_pretrained(broken(tmp_path, tokenizer_config=json.dumps(config)))
    assert type(loaded) is PreTrainedTokenizerFast
    with pytest.raises(ValueError, match="trust_remote_code"):
        PreTrainedTokenizerFast.from_pretrained(tmp_path, trust_remote_code=True)


def test_text_is_tokenized_without_torch() -> None:
    code = (
        "import sys\nfrom xf import AutoTokenizer\n"
        f"t = AutoTokenizer.from_pretrained({str(GOLDENS / 'wordpiece')!r})\n"
        "t(['hello', 'world the'], padding=True, truncation=True, max_length=8, return_tensors='np')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
