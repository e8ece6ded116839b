"""Padding, truncation and the like belong to a call: threads that ask for different things do not mix."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from xf import PreTrainedTokenizerFast

GOLDENS = Path(__file__).parent / "goldens"
TEXTS = ["hello world", "the quick brown fox jumps over the lazy dog " * 3, "", "newtok <sp> Single"]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"truncation": True, "max_length": 6},
    {"truncation": True, "max_length": 9, "stride": 2, "return_overflowing_tokens": True},
    {"padding": True},
    {"padding": "max_length", "max_length": 40, "padding_side": "left"},
    {"padding": True, "truncation": True, "max_length": 16, "pad_to_multiple_of": 8},
    {"add_special_tokens": False, "truncation": True, "max_length": 3},
    {"split_special_tokens": True},
    {"padding": True, "return_tensors": "np", "truncation": True, "max_length": 12},
]


@pytest.mark.parametrize("kind", ["wordpiece", "bytelevel", "llama"])
def test_eight_threads_give_what_one_gives(kind: str) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / kind)

    def call(number: int) -> str:
        found = tokenizer(TEXTS, **SETTINGS[number % len(SETTINGS)])
        return repr({key: getattr(value, "tolist", lambda value=value: value)() for key, value in found.items()})

    alone = [call(number) for number in range(len(SETTINGS))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, range(1500)))
    assert found == [alone[number % len(SETTINGS)] for number in range(1500)]


def test_adding_tokens_is_seen_by_calls_with_settings() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece")
    cut = {"truncation": True, "max_length": 4}
    before = tokenizer("<later> hello", **cut)["input_ids"]
    tokenizer.add_tokens(["<later>"])
    after = tokenizer("<later> hello", **cut)["input_ids"]
    assert before != after and tokenizer.convert_tokens_to_ids("<later>") in after
    tokenizer.backend_tokenizer.add_tokens(["hello"])
    assert tokenizer("hello", **cut)["input_ids"][1] == tokenizer.convert_tokens_to_ids("hello")


def test_changes_of_the_backend_are_seen_by_calls_with_settings() -> None:
    from tokenizers import normalizers, processors

    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece")
    cut = {"truncation": True, "max_length": 4}
    tokenizer("hello", **cut)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [SEP]", pair="$A $B [SEP]", special_tokens=[("[SEP]", 3)]
    )
    assert tokenizer("hello", **cut)["input_ids"] == tokenizer("hello")["input_ids"]
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("hello", "world")
    assert tokenizer("hello", **cut)["input_ids"] == tokenizer("world", **cut)["input_ids"]


def test_settings_of_the_backend_do_not_act_on_calls() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece")
    plain = tokenizer(TEXTS)["input_ids"]
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    assert tokenizer(TEXTS)["input_ids"] == plain
    assert len(tokenizer.backend_tokenizer.encode("hello hello hello")) == 50


def test_copies_and_pickles_are_independent() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "unigram")
    expected = tokenizer(TEXTS, padding=True, truncation=True, max_length=8)
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert other(TEXTS, padding=True, truncation=True, max_length=8) == expected
        other.add_tokens(["<only here>"])
        assert "<only here>" not in tokenizer.get_vocab()


def test_targets_with_other_special_tokens_leave_the_tokenizer_as_it_was() -> None:
    from tokenizers import processors

    class Translator(PreTrainedTokenizerFast):
        """Puts another token before targets than before inputs, as translation models do."""

        def _switch_to_target_mode(self) -> None:
            special = [("</s>", 2), ("<mask>", 4)]
            self._tokenizer.post_processor = processors.TemplateProcessing(
                single="<mask> $A </s>", pair="<mask> $A $B </s>", special_tokens=special
            )

    tokenizer = Translator.from_pretrained(GOLDENS / "bytelevel")

    def call(number: int) -> tuple[int, int]:
        found = tokenizer(
            "hello", text_target="world", truncation=number % 2 == 0, max_length=8 if number % 2 == 0 else None
        )
        return found["input_ids"][0], found["labels"][0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(call, range(300))) == {(0, 4)}
    assert tokenizer("hello")["input_ids"][0] == 0


def test_the_older_ways_to_encode_targets() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece")
    found = tokenizer.prepare_seq2seq_batch(["hello world", "a"], ["world", "the quick"], max_target_length=4)
    both = tokenizer(["hello world", "a"], text_target=["world", "the quick"], padding=True)
    assert found["input_ids"] == both["input_ids"] and all(len(row) == 4 for row in found["labels"])
    with tokenizer.as_target_tokenizer():
        assert tokenizer("hello") == tokenizer(text_target="hello")
