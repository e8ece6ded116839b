"""Special tokens, added tokens, alignment, decoding, lists of ids."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xf import AddedToken, BatchEncoding, CharSpan, PreTrainedTokenizerFast, TokenSpan

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(GOLDENS / "wordpiece")


def test_attributes(tokenizer: Any) -> None:
    assert (tokenizer.pad_token, tokenizer.pad_token_id, tokenizer.bos_token, tokenizer.bos_token_id) == (
        "[PAD]",
        0,
        None,
        None,
    )
    tokenizer.bos_token = "[CLS]"
    assert tokenizer.bos_token_id == 2
    tokenizer.eos_token_id = 3
    assert tokenizer.eos_token == "[SEP]"
    tokenizer.additional_special_tokens = ["<sp>"]
    assert tokenizer.additional_special_tokens_ids == [tokenizer.convert_tokens_to_ids("<sp>")]
    assert tokenizer.special_tokens_map["additional_special_tokens"] == ["<sp>"]
    assert tokenizer.all_special_ids == tokenizer.convert_tokens_to_ids(tokenizer.all_special_tokens)
    for value in (5, ["a"]):
        with pytest.raises(ValueError, match="bos_token"):
            tokenizer.bos_token = value
    with pytest.raises(AttributeError, match="no attribute nonsense"):
        _ = tokenizer.nonsense


def test_adding_special_tokens(tokenizer: Any) -> None:
    size = len(tokenizer)
    assert tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": ["<a>", "[PAD]"]}) == 2
    assert len(tokenizer) == size + 2 and tokenizer.additional_special_tokens == ["<a>", "[PAD]"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<b>", "<a>"]}, replace_additional_special_tokens=False)
    assert tokenizer.additional_special_tokens == ["<a>", "[PAD]", "<b>"]
    assert (
        tokenizer.decode(tokenizer("a <a> b", add_special_tokens=False)["input_ids"], skip_special_tokens=True) == "a b"
    )
    with pytest.raises(ValueError, match="not a special token"):
        tokenizer.add_special_tokens({"nonsense": "<n>"})
    with pytest.raises(ValueError, match="should be a str or an AddedToken"):
        tokenizer.add_special_tokens({"bos_token": 5})


def test_special_tokens_of_a_model(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        GOLDENS / "wordpiece",
        extra_special_tokens={"image_token": "<image>", "boi_token": AddedToken("<boi>", rstrip=True)},
    )
    assert tokenizer.image_token_id == tokenizer.convert_tokens_to_ids("<image>")
    assert tokenizer("<boi>  a", add_special_tokens=False).tokens() == ["<boi>  ", "a"]
    tokenizer.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert (again.image_token, again.boi_token, again.boi_token_id) == ("<image>", "<boi>", tokenizer.boi_token_id)


def test_adding_tokens(tokenizer: Any) -> None:
    size = len(tokenizer)
    assert tokenizer.add_tokens(["q1", "q1", AddedToken("q2", single_word=True)]) == 2
    assert tokenizer.add_tokens(["q1"]) == tokenizer.add_tokens([]) == tokenizer.add_tokens("") == 0
    assert len(tokenizer) == size + 2 and tokenizer.get_added_vocab()["q1"] == size
    assert tokenizer.tokenize("q1 q2s q2") == ["q1", *tokenizer.tokenize("q2s"), "q2"]
    with pytest.raises(TypeError, match="AddedToken"):
        tokenizer.add_tokens([5])


def test_alignment(tokenizer: Any) -> None:
    encoding = tokenizer(["hello brown", "a"], ["world", "b c"], padding=True)
    assert encoding.n_sequences == 2 and encoding.is_fast
    tokens, words = encoding.tokens(0), encoding.word_ids(0)
    assert tokens[0] == "[CLS]" and words[0] is None and encoding.sequence_ids(0)[-1 - (tokens[-1] == "[PAD]")] is None
    at = encoding.char_to_token(0, 6)
    assert encoding.token_to_word(0, at) == encoding.char_to_word(0, 6) == 1
    assert encoding.token_to_sequence(0, at) == 0
    span = encoding.word_to_tokens(0, 1)
    assert isinstance(span, TokenSpan) and span.start == at
    assert encoding.word_to_chars(0, 1) == CharSpan(6, 11)
    assert encoding.token_to_chars(0, at).start == 6 and encoding.token_to_chars(0, 0) is None
    assert encoding.char_to_token(0, 5) is None and encoding.word_to_tokens(0, 50) is None
    assert encoding.char_to_token(0, 0, sequence_index=1) > at
    assert encoding.token_to_word(1, -1) is None  # padding
    with pytest.raises(ValueError, match="no word 50"):
        encoding.word_to_chars(0, 50)


def test_a_batch_encoding_is_a_dictionary(tokenizer: Any) -> None:
    encoding = tokenizer("hello")
    assert isinstance(encoding, dict) and {**encoding} == dict(encoding) == encoding.data
    assert encoding.input_ids is encoding["input_ids"]
    assert encoding[0].ids == encoding["input_ids"] and encoding.encodings[0].ids == encoding["input_ids"]
    with pytest.raises(AttributeError, match="its keys are"):
        _ = encoding.nonsense
    again = pickle.loads(pickle.dumps(tokenizer(["a", "b c"], padding=True)))
    assert again.tokens(0) == tokenizer(["a", "b c"], padding=True).tokens(0)
    plain = BatchEncoding({"a": [1, 2, 3]})
    assert plain[0:2] == {"a": [1, 2]} and not plain.is_fast
    for use in (lambda: plain[0], plain.tokens):
        with pytest.raises((KeyError, ValueError)):
            use()


def test_tensors(tokenizer: Any) -> None:
    texts = ["hello", "the quick brown fox"]
    lists = tokenizer(texts, padding=True)
    tensors = tokenizer(texts, padding=True, return_tensors="pt")
    arrays = tokenizer(texts, padding=True, return_tensors="np")
    for key in lists:
        assert tensors[key].dtype == torch.int64 and tensors[key].tolist() == lists[key]
        assert arrays[key].dtype == np.int64 and arrays[key].tolist() == lists[key]
    assert tensors.to("cpu") is tensors
    ragged = tokenizer(texts, return_tensors="np")["input_ids"]
    assert ragged.dtype == object and [len(row) for row in ragged] == [
        len(row) for row in tokenizer(texts)["input_ids"]
    ]
    assert tokenizer("hello").convert_to_tensors("pt", prepend_batch_axis=True)["input_ids"].shape[0] == 1


@pytest.mark.parametrize("kind", ["wordpiece", "bytelevel", "types_left", "llama"])
def test_lists_of_ids_are_dressed_like_texts(kind: str) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(GOLDENS / kind)
    first, second = "the quick brown fox", "hello world"
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (first, second)]
    options: dict[str, Any] = {"return_special_tokens_mask": True, "return_token_type_ids": True}
    for texts, lists in (((first,), ids[:1]), ((first, second), ids)):
        whole = tokenizer(*texts, **options)
        assert dict(tokenizer.prepare_for_model(*lists, **options)) == dict(whole)
        assert tokenizer.build_inputs_with_special_tokens(*lists) == whole["input_ids"]
        cut = {"truncation": True, "max_length": len(whole["input_ids"]) - 2, "return_token_type_ids": True}
        if len(texts) == 1:
            assert dict(tokenizer.prepare_for_model(*lists, **cut)) == dict(tokenizer(*texts, **cut))
    assert tokenizer.num_special_tokens_to_add(True) == len(whole["input_ids"]) - len(ids[0]) - len(ids[1])


def test_padding_of_encoded_inputs(tokenizer: Any) -> None:
    items = [tokenizer(text) for text in ("hello", "the quick brown fox")]
    padded = tokenizer.pad(items, return_tensors="pt")
    assert padded["input_ids"].tolist() == tokenizer(["hello", "the quick brown fox"], padding=True)["input_ids"]
    assert tokenizer.pad({"input_ids": torch.tensor([[5, 6]])}, padding="max_length", max_length=4)[
        "input_ids"
    ].tolist() == [[5, 6, 0, 0]]
    with pytest.raises(ValueError, match="includes input_ids"):
        tokenizer.pad({"labels": [1]})
    with pytest.raises(ValueError, match="has 1 rows"):
        tokenizer.pad({"input_ids": [[1], [2]], "token_type_ids": [[0]]})


def test_decoding(tokenizer: Any) -> None:
    ids = tokenizer("hello world, it's a naive cafe")["input_ids"]
    assert tokenizer.decode(torch.tensor(ids), skip_special_tokens=True) == tokenizer.decode(
        ids, skip_special_tokens=True
    )
    assert tokenizer.batch_decode(np.array([ids, ids])) == [tokenizer.decode(ids)] * 2
    assert tokenizer.decode(5) == tokenizer.decode([5])
    assert tokenizer.clean_up_tokenization("do n't , I 'm ok . it 's") == "don't, I'm ok. it's"
    assert tokenizer.convert_ids_to_tokens([2, 5], skip_special_tokens=True) == [tokenizer.convert_ids_to_tokens(5)]
    assert tokenizer.convert_tokens_to_ids(["hello", "no such token"])[1] == tokenizer.unk_token_id


def test_windows_cover_the_text(tokenizer: Any) -> None:
    text = "the quick brown fox jumps over the lazy dog " * 4
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    options = {"truncation": True, "max_length": 12, "stride": 3, "return_overflowing_tokens": True}
    windows = tokenizer([text, "a"], return_offsets_mapping=True, **options)
    assert windows["overflow_to_sample_mapping"] == [0] * (len(windows["input_ids"]) - 1) + [1]
    rows = [row[1:-1] for row in windows["input_ids"][:-1]]
    joined = rows[0] + [token for row in rows[1:] for token in row[3:]]
    assert joined == whole
    for row, offsets in zip(windows["input_ids"], windows["offset_mapping"], strict=True):
        assert len(row) == len(offsets)


def test_added_tokens_are_decoded_as_they_were_given(tokenizer: Any) -> None:
    """The pipeline lowers what it reads; the token itself keeps its form."""
    tokenizer.add_tokens(["UPPER Token"])
    ids = tokenizer("a upper token <sp> b", add_special_tokens=False)["input_ids"]
    index = tokenizer.convert_tokens_to_ids("UPPER Token")
    assert index in ids and tokenizer.convert_ids_to_tokens(index) == "UPPER Token"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a UPPER Token b"
    assert tokenizer.decode([index]) == "UPPER Token"
