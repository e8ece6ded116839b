"""Tokenizers from the vocabulary of a file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xf_plugin_format_gguf.pre_tokenizers import PRE_TOKENIZERS
from xf_plugin_format_gguf.reader import GGUFError
from xf_plugin_format_gguf.tokenization import merges_from_scores, tokenizer_arguments

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BYTES = [f"<0x{i:02X}>" for i in range(256)]


def metadata(**values):
    return {f"tokenizer.ggml.{key}": value for key, value in values.items() if value is not None}


def byte_level(pre="gpt-2", merges=(), extra=(), **values):
    """All bytes in GPT-2's spelling, the results of `merges`, and control tokens `extra`."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {b: chr(b) for b in printable}
    spelled |= {b: chr(256 + i) for i, b in enumerate(sorted(set(range(256)) - set(printable)))}
    tokens = [*spelled.values(), *(m.replace(" ", "") for m in merges), *extra]
    types = [NORMAL] * (256 + len(merges)) + [CONTROL] * len(extra)
    return metadata(model="gpt2", pre=pre, tokens=tokens, token_type=types, merges=list(merges), **values)


def build(data):
    arguments = tokenizer_arguments(data, "model.gguf")
    return arguments["tokenizer_object"], arguments


def pieces(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).tokens


def test_merges_are_applied_in_their_order():
    tokenizer, _ = build(byte_level(merges=["a b", "b c", "ab c"]))
    assert pieces(tokenizer, "abc bc") == ["abc", "\u0120", "bc"]


@pytest.mark.parametrize("pre", sorted(PRE_TOKENIZERS))
def test_every_splitting_rule_loses_nothing(pre):
    tokenizer, _ = build(byte_level(pre))
    text = "It's 12345.67 naive caf\u00e9  \n\n\t x=y+1; \u4f60\u597d \U0001f389 HTTPServer  end "
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def splits(pre, text):
    """Where text is split: merges of all pairs would join everything else."""
    tokenizer, _ = build(byte_level(pre))
    return [text[a:b] for _, (a, b) in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def test_digits_are_kept_as_the_family_does():
    assert splits("gpt-2", "in 12345")[-1] == " 12345"
    assert splits("smollm", "in 12345")[-5:] == ["1", "2", "3", "4", "5"]
    assert splits("llama-bpe", "in 12345")[-2:] == ["123", "45"]
    assert splits("qwen2", "in 12345")[-5:] == ["1", "2", "3", "4", "5"]


def test_contractions_in_capitals():
    assert splits("gpt-2", "WE'LL") == ["WE", "'", "LL"]
    assert splits("llama-bpe", "WE'LL") == ["WE", "'LL"]


def test_words_are_split_at_capitals_where_the_family_does():
    assert splits("gpt-4o", "camelCase") == ["camel", "Case"]
    assert splits("llama-bpe", "camelCase") == ["camelCase"]


def test_an_unknown_rule_is_an_error():
    with pytest.raises(GGUFError, match="'mystery' is not known, so its tokens would come out wrong"):
        build(byte_level("mystery"))


def test_a_missing_rule_is_said(caplog):
    tokenizer, _ = build(byte_level(None))
    assert pieces(tokenizer, "ab") == ["a", "b"]


def test_special_tokens_and_their_roles():
    data = byte_level(extra=["<s>", "</s>"], bos_token_id=256, eos_token_id=257, padding_token_id=257)
    tokenizer, arguments = build(data)
    assert (arguments["bos_token"], arguments["eos_token"], arguments["pad_token"]) == ("<s>", "</s>", "</s>")
    assert pieces(tokenizer, "a</s>b") == ["a", "</s>", "b"]
    assert tokenizer.decode(tokenizer.encode("a</s>b").ids, skip_special_tokens=True) == "ab"


@pytest.mark.parametrize(("pre", "said", "expected"), [
    ("gpt-2", None, ["a"]), ("gpt-2", True, ["<s>", "a"]),
    ("llama-bpe", None, ["<s>", "a"]), ("llama-bpe", False, ["a"]),
])  # fmt: skip
def test_bos_is_added_where_the_file_or_the_family_says(pre, said, expected):
    tokenizer, _ = build(byte_level(pre, extra=["<s>"], bos_token_id=256, add_bos_token=said))
    assert tokenizer.encode("a").tokens == expected


def test_bos_and_eos_around_pairs():
    settings = {"bos_token_id": 256, "eos_token_id": 257, "add_bos_token": True, "add_eos_token": True}
    tokenizer, _ = build(byte_level(extra=["<s>", "</s>"], **settings))
    encoding = tokenizer.encode("a", "b")
    assert encoding.tokens == ["<s>", "a", "</s>", "<s>", "b", "</s>"]
    assert encoding.type_ids == [0, 0, 0, 1, 1, 1]


# ---- SentencePiece


def sentencepiece(pieces, scores=None, user=(), prefix=False, **values):
    tokens = ["<unk>", "<s>", *BYTES, *pieces, *user]
    types = [UNKNOWN, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces), *[USER] * len(user)]
    given = scores or [-float(i) for i in range(len(pieces))]
    scores = [0.0] * 258 + list(given) + [-1000.0] * len(user)
    settings = {"bos_token_id": 1, "unknown_token_id": 0, "add_bos_token": False, **values}
    return metadata(model="llama", tokens=tokens, token_type=types, scores=scores, add_space_prefix=prefix, **settings)


def test_pieces_join_by_score():
    tokenizer, _ = build(sentencepiece(["bc", "ab", "a", "b", "c"]))
    assert pieces(tokenizer, "abc") == ["a", "bc"]


def test_spaces_are_visible_and_come_back():
    tokenizer, _ = build(sentencepiece(["\u2581b", "a", "b", "\u2581"]))
    encoding = tokenizer.encode("a b")
    assert encoding.tokens == ["a", "\u2581b"] and tokenizer.decode(encoding.ids) == "a b"


def test_a_space_in_front_where_the_file_says():
    tokenizer, _ = build(sentencepiece(["\u2581a", "a", "\u2581"], prefix=True))
    assert tokenizer.encode("a").tokens == ["\u2581a"] and tokenizer.decode(tokenizer.encode("a").ids) == "a"


def test_unknown_characters_become_bytes():
    tokenizer, _ = build(sentencepiece(["a"]))
    assert pieces(tokenizer, "a\u00e9") == ["a", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("a\u00e9").ids) == "a\u00e9"


@pytest.mark.parametrize("spelled", ["  ", "\u2581\u2581"])
def test_user_defined_pieces_are_found_in_the_raw_text(spelled):
    tokenizer, _ = build(sentencepiece(["a", "b", "\u2581"], user=[spelled, "<tag>"]))
    encoding = tokenizer.encode("a  b<tag>")
    assert encoding.tokens == ["a", "  ", "b", "<tag>"] and encoding.ids[1] == 261
    assert tokenizer.decode(encoding.ids) == "a  b<tag>", "they are no special tokens"


def sentencepiece_by_hand(text, score_of):
    """The algorithm of SentencePiece's BPE: join the neighbours whose whole has the best score, leftmost first."""
    symbols = list(text)
    while True:
        pairs = [
            (score_of[a + b], -i)
            for i, (a, b) in enumerate(zip(symbols, symbols[1:], strict=False))
            if a + b in score_of
        ]
        if not pairs:
            return symbols
        i = -max(pairs)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


WORDS = ["ab", "bc", "ca", "abc", "bca", "cab", "aa", "aab", "abab", "cabc"]


@settings(max_examples=150, deadline=None)
@given(order=st.permutations(WORDS), text=st.text("abc", min_size=1, max_size=12))
def test_merges_from_scores_join_as_sentencepiece_does(order, text):
    vocabulary = [*order, "a", "b", "c"]
    scores = [-float(i) for i in range(len(vocabulary))]
    tokenizer, _ = build(sentencepiece(vocabulary, scores))
    # a whole is only ever reachable through wholes; by hand it is the same joining, one pair at a time
    assert pieces(tokenizer, text) == sentencepiece_by_hand(text, dict(zip(vocabulary, scores, strict=True)))


def test_control_tokens_are_never_made_by_joining():
    tokens, types = ["<", "s", ">", "<s", "<s>"], [NORMAL, NORMAL, NORMAL, NORMAL, CONTROL]
    merges = merges_from_scores(tokens, types, [0.0] * 5, {t: i for i, t in enumerate(tokens)})
    assert merges == [("<", "s")]


# ---- Unigram and WordPiece


def test_unigram():
    pieces_ = ["<unk>", "</s>", "\u2581the", "\u2581", "t", "h", "e", "he"]
    data = metadata(
        model="t5", tokens=pieces_, token_type=[UNKNOWN, CONTROL, *[NORMAL] * 6], unknown_token_id=0, eos_token_id=1,
        scores=[0.0, 0.0, -1.0, -3.0, -4.0, -4.0, -4.0, -3.0],
    )  # fmt: skip
    tokenizer, _ = build(data)
    assert tokenizer.encode("the he").tokens == ["\u2581the", "\u2581", "he", "</s>"]


def test_wordpiece():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581un", "able", "\u2581able"]
    data = metadata(model="bert", tokens=tokens, token_type=[CONTROL] * 4 + [NORMAL] * 3, unknown_token_id=1)
    tokenizer, _ = build(data)
    assert tokenizer.encode("Unable able xyz").tokens == ["[CLS]", "un", "##able", "able", "[UNK]", "[SEP]"]


# ---- templates, and what is wrong


def test_one_template():
    data = {**byte_level(), "tokenizer.chat_template": "{{ messages }}"}
    assert build(data)[1]["chat_template"] == "{{ messages }}"


def test_named_templates():
    data = {
        **byte_level(),
        "tokenizer.chat_template": "d",
        "tokenizer.chat_templates": ["tool_use"],
        "tokenizer.chat_template.tool_use": "t",
    }
    assert build(data)[1]["chat_template"] == {"default": "d", "tool_use": "t"}


@pytest.mark.parametrize(("change", "message"), [
    ({"tokenizer.ggml.tokens": None}, "holds no vocabulary"),
    ({"tokenizer.ggml.model": "rwkv"}, "'rwkv' is not known"),
    ({"tokenizer.ggml.token_type": [1]}, "do not fit"),
    ({"tokenizer.ggml.bos_token_id": 999}, "bos_token_id is 999"),
    ({"tokenizer.ggml.merges": ["ab"]}, "'ab' is no merge"),
    ({"tokenizer.ggml.merges": ["a zz"]}, "needs tokens that are not there"),
    ({"tokenizer.ggml.tokens": ["a"] * 256}, "in the vocabulary twice"),
])  # fmt: skip
def test_damaged_vocabularies_are_refused(change, message):
    data = {k: v for k, v in {**byte_level(), **change}.items() if v is not None}
    with pytest.raises(GGUFError, match=message) as caught:
        build(data)
    assert "model.gguf" in str(caught.value)
