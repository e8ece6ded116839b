"""What holds for every text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xf import PreTrainedTokenizerFast

GOLDENS = Path(__file__).parent / "goldens"
TOKENIZERS = {
    kind: PreTrainedTokenizerFast.from_pretrained(GOLDENS / kind)
    for kind in ("bytelevel", "wordpiece", "unigram", "llama")
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KINDS = pytest.mark.parametrize("kind", sorted(TOKENIZERS))


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_bytes_lose_nothing(text: str) -> None:
    tokenizer = TOKENIZERS["bytelevel"]
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    plain = not any(str(token) in text for token in tokenizer.added_tokens_decoder.values())
    assert not plain or tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@KINDS
@given(text=TEXT, limit=st.integers(4, 20), side=st.sampled_from(["left", "right"]))
@settings(max_examples=60, deadline=None)
def test_truncation_keeps_one_end(kind: str, text: str, limit: int, side: str) -> None:
    tokenizer = TOKENIZERS[kind]
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    tokenizer.truncation_side = side
    cut = tokenizer(text, add_special_tokens=False, truncation=True, max_length=limit)["input_ids"]
    tokenizer.truncation_side = "right"
    assert cut == (whole[:limit] if side == "right" else whole[max(len(whole) - limit, 0) :])


@KINDS
@given(texts=st.lists(TEXT, min_size=1, max_size=4), side=st.sampled_from(["left", "right"]))
@settings(max_examples=60, deadline=None)
def test_a_padded_batch_holds_its_rows(kind: str, texts: list[str], side: str) -> None:
    tokenizer = TOKENIZERS[kind]
    batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="np")
    for text, ids, mask in zip(texts, batch["input_ids"], batch["attention_mask"], strict=True):
        row = tokenizer(text)["input_ids"]
        assert ids[mask == 1].tolist() == row and set(ids[mask == 0].tolist()) <= {tokenizer.pad_token_id}


@KINDS
@given(text=TEXT)
@settings(max_examples=100, deadline=None)
def test_offsets_lie_in_the_text(kind: str, text: str) -> None:
    encoding = TOKENIZERS[kind](text, return_offsets_mapping=True)
    for (start, end), sequence in zip(encoding["offset_mapping"], encoding.sequence_ids(), strict=True):
        assert 0 <= start <= end <= len(text)
        assert sequence is not None or (start, end) == (0, 0)
