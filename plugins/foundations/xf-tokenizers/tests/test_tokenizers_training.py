"""A new vocabulary in the pipeline of an old one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xf import PreTrainedTokenizerFast

GOLDENS = Path(__file__).parent / "goldens"
TEXTS = [f"the zebra number {i} eats grass" for i in range(200)]


def batches() -> Iterator[list[str]]:
    for start in range(0, len(TEXTS), 50):
        yield TEXTS[start : start + 50]


@pytest.mark.parametrize("kind", ["wordpiece", "bytelevel", "unigram", "wordlevel", "llama"])
def test_the_new_one_knows_the_new_words(kind: str, tmp_path: Path) -> None:
    old = PreTrainedTokenizerFast.from_pretrained(GOLDENS / kind)
    new = old.train_new_from_iterator(batches(), 350, length=len(TEXTS), show_progress=False)
    assert type(new) is type(old) and new.special_tokens_map == old.special_tokens_map
    assert len(new.tokenize("zebra")) < max(len(old.tokenize("zebra")), 2)
    assert new.num_special_tokens_to_add() == old.num_special_tokens_to_add()
    ids = new("the zebra")["input_ids"]
    special = {new.convert_ids_to_tokens(i) for i in ids} & set(new.all_special_tokens)
    assert special == {old.convert_ids_to_tokens(i) for i in old("the")["input_ids"]} & set(old.all_special_tokens)
    new.save_pretrained(tmp_path)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path)("the zebra")["input_ids"] == ids
    assert "newtok" in old.get_vocab() or kind == "wordlevel"  # the old one is as it was


def test_special_tokens_can_be_renamed_and_added() -> None:
    old = PreTrainedTokenizerFast.from_pretrained(GOLDENS / "bytelevel")
    new = old.train_new_from_iterator(
        batches(), 320, new_special_tokens=["<new>"], special_tokens_map={"<s>": "<begin>"}, show_progress=False
    )
    assert (new.bos_token, new.cls_token, new.additional_special_tokens) == ("<begin>", "<begin>", ["<new>"])
    assert new("the").tokens()[0] == "<begin>" and new("<new>", add_special_tokens=False).tokens() == ["<new>"]
    assert "<s>" not in new.get_vocab()
