"""What is generated follows the structure: every kind of tokenizer, every strategy, alone and in a batch."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import xf
from xf_plugin_logits_structured.processor import StructuredOutputLogitsProcessor
from xf_testing.logits import LogitsProcessorConformance

torch.set_num_threads(1)
TEXT = ['Hello world, this is {"name": "Ada", "age": 36} and 1234567890 true false null [1, 2, 3]. yes no'] * 5
SPECIAL = ["<pad>", "</s>", "<unk>"]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "flags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "age", "flags"],
    "additionalProperties": False,
}


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    return made


def byte_fallback() -> Tokenizer:
    """As Llama's first tokenizers are: pieces with a mark for spaces, and one token per byte for the rest."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=110, special_tokens=SPECIAL, show_progress=False))
    data = json.loads(trained.to_str())["model"]
    ordered = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    ordered += [piece for piece in sorted(data["vocab"], key=data["vocab"].get) if piece not in SPECIAL]
    vocabulary = {piece: index for index, piece in enumerate(ordered)}
    merges = [tuple(pair) for pair in data["merges"]]
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    made.normalizer = trained.normalizer
    made.add_special_tokens(SPECIAL)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return made


def unigram() -> Tokenizer:
    """As T5's: pieces with a mark for spaces, and nothing for other characters."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(TEXT, trainer)
    return made


def word_piece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    made.train_from_iterator(TEXT, trainers.WordPieceTrainer(special_tokens=SPECIAL, show_progress=False))
    return made


KINDS = {"byte_level": byte_level, "byte_fallback": byte_fallback, "unigram": unigram, "word_piece": word_piece}


@functools.lru_cache
def tokenizer_of(kind: str) -> Any:
    return xf.PreTrainedTokenizerFast(
        tokenizer_object=KINDS[kind](), pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="left"
    )


@functools.lru_cache
def llama(vocab_size: int = 400) -> Any:
    torch.manual_seed(0)
    config = xf.LlamaConfig(
        vocab_size=vocab_size, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    return xf.LlamaForCausalLM(config).eval()


def answers(kind: str = "byte_level", prompts: Any = ("Hello",), **options: Any) -> list[str]:
    """What a random model answers, as text."""
    tokenizer = tokenizer_of(kind)
    inputs = tokenizer(list(prompts), return_tensors="pt", padding=True, return_token_type_ids=False)
    tokens = llama().generate(**inputs, tokenizer=tokenizer, **{"max_new_tokens": 400, **options})
    new = tokens[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)


# ---- schemas --------------------------------------------------------------------------------------------------------


def _objects(values: Any) -> Any:
    names = st.text("abcxyz_", min_size=1, max_size=5)
    return st.dictionaries(names, values, max_size=3).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties) or ["-"])).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required & set(properties)),
                "additionalProperties": False,
            }
        )
    )


LEAVES = st.one_of(
    st.integers(0, 6).map(lambda most: {"type": "string", "maxLength": most}),
    st.tuples(st.integers(-50, 50), st.integers(0, 300)).map(
        lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[0] + pair[1]}
    ),
    st.sampled_from(
        [
            {"type": "boolean"}, {"type": "null"}, {"const": "a b"}, {"const": 1.5}, {"type": ["boolean", "null"]},
            {"type": "string", "pattern": "^[a-f]{2,4}$"}, {"type": "string", "format": "date"},
        ]
    ),
    st.lists(st.one_of(st.integers(-9, 9), st.text(max_size=3), st.booleans()), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        st.tuples(inner, st.integers(0, 3)).map(lambda pair: {"type": "array", "items": pair[0], "maxItems": pair[1]}),
        st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema=SCHEMAS, seed=st.integers(0, 1000), kind=st.sampled_from(["byte_level", "byte_fallback"]))
def test_what_is_drawn_parses_and_is_valid(schema: Mapping[str, Any], seed: int, kind: str) -> None:
    prompts = ("Hello", "this is a much longer prompt")
    for text in answers(kind, prompts, json_schema=schema, do_sample=True, seed=seed, max_new_tokens=1500):
        jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback", "unigram"])
@pytest.mark.parametrize(
    "strategy",
    [
        {},
        {"do_sample": True, "seed": 1, "top_k": 2},
        {"num_beams": 3, "num_return_sequences": 3},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "num_return_sequences": 2},
        {"repetition_penalty": 1.3},
        {"use_cache": False},
    ],
    ids=lambda strategy: "-".join(strategy) or "greedy",
)
def test_every_strategy_keeps_to_the_schema(kind: str, strategy: dict[str, Any]) -> None:
    schema = {**PERSON, "x-guidance": {"whitespace_pattern": " ?"}}  # a random model likes line breaks
    found = answers(kind, ("Hello", "this is a prompt"), json_schema=schema, **strategy)
    assert len(found) == 2 * strategy.get("num_return_sequences", 1)
    for text in found:
        jsonschema.validate(json.loads(text), PERSON)


@pytest.mark.parametrize(
    "expression", ["abc", "[a-c]{2}[0-9]{3}", "(yes|no)( [a-z]+){0,2}", r"\{\d\}", "ä(ö|ü)?", "^x{2,4}$", ""]
)
@pytest.mark.parametrize("beams", [1, 3])
def test_the_whole_answer_matches_the_expression(expression: str, beams: int) -> None:
    for text in answers(regex=expression, num_beams=beams, num_return_sequences=beams, max_new_tokens=60):
        assert re.fullmatch(expression.strip("^$"), text), text
    assert all(
        re.fullmatch(expression.strip("^$"), text)
        for text in answers(regex=re.compile(expression), do_sample=True, seed=2, max_new_tokens=60)
    )


@pytest.mark.parametrize(
    "grammar",
    ['start: "(" (start | /[0-9]/) ")"', 'root ::= "(" (root | [0-9]) ")"'],
    ids=["lark", "gbnf"],
)
def test_grammars_may_nest(grammar: str) -> None:
    for seed in range(8):
        (text,) = answers(grammar=grammar, do_sample=True, seed=seed, max_new_tokens=400)
        depth = text.count("(")
        assert depth and text[:depth] == "(" * depth and text[depth].isdigit() and text[depth + 1 :] == ")" * depth


def test_schemas_in_every_form() -> None:
    model = type("Model", (), {"model_json_schema": staticmethod(lambda: {"const": "from a class"})})
    for schema, expected in ((model, "from a class"), ('{"const": 7}', 7), ({"const": None}, None)):
        assert json.loads(answers(json_schema=schema)[0]) == expected
    for anything in ({}, True):
        json.loads(answers(json_schema=anything, do_sample=True, seed=4, max_new_tokens=1500)[0])


# ---- rows, ends, drafts ---------------------------------------------------------------------------------------------


def test_a_batch_answers_as_each_alone() -> None:
    prompts = ("Hello", "this is a much longer prompt", "[1, 2")
    together = answers(prompts=prompts, json_schema=PERSON)
    assert together == [answers(prompts=(prompt,), json_schema=PERSON)[0] for prompt in prompts]


def test_an_answer_ends_where_it_is_complete() -> None:
    tokenizer = tokenizer_of("byte_level")
    inputs = tokenizer("Hello", return_tensors="pt", return_token_type_ids=False)
    options = {"tokenizer": tokenizer, "regex": "abc", "max_new_tokens": 50}
    tokens = llama().generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :].tolist()
    assert tokens[-1] == 1 and tokenizer.decode(tokens[:-1]) == "abc"
    for ends in ([2, 1], [399, 1]):  # one that only the model knows does no harm
        assert llama().generate(**inputs, **options, eos_token_id=ends)[0].tolist()[-1] in ends
    longer = answers(regex="a+", sequence_bias={(tokenizer.convert_tokens_to_ids("a"),): 50.0}, max_new_tokens=30)
    assert longer[0].startswith("a" * 20)  # where it may go on, the model decides


def test_a_draft_that_is_wrong_is_forgotten() -> None:
    """Strategies that try tokens and take them back ask for scores after texts that do not follow the structure."""
    tokenizer = tokenizer_of("byte_level")
    context = SimpleNamespace(
        extra={"tokenizer": tokenizer}, prompt_length=2,
        generation_config=xf.GenerationConfig(eos_token_id=[1]),
    )  # fmt: skip
    processor = StructuredOutputLogitsProcessor.from_options(
        {"json_schema": None, "regex": "[0-9]{3}x", "grammar": None}, context
    )
    assert processor is not None
    digit, letter, x = (tokenizer.convert_tokens_to_ids(token) for token in "7ax")

    def allowed(*text: int) -> set[int]:
        scores = processor(torch.tensor([[5, 5, *text]]), torch.zeros(1, 400))
        return set(scores[0].isfinite().nonzero().flatten().tolist())

    first = allowed()
    assert digit in first and letter not in first
    assert allowed(digit, letter) == {1} and allowed(digit, letter, digit) == {1}  # nothing can come of it
    assert digit in allowed(digit) and x not in allowed(digit, digit)
    assert allowed(digit, digit, digit, x) == {1} and allowed(digit, digit, digit, x, 1, 0) == {1}
    for _ in range(300):  # more texts than are remembered
        allowed(digit, letter, *torch.randint(3, 300, (4,)).tolist())
    assert allowed(digit, digit, digit) == {x} and allowed() == first


@pytest.mark.parametrize("draft", ["prompt", "model"])
@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "seed": 3}])
def test_drafts_change_nothing(draft: str, sampling: dict[str, Any]) -> None:
    torch.manual_seed(9)
    drafts: dict[str, Any] = {"prompt_lookup_num_tokens": 5}
    if draft == "model":
        drafts = {"assistant_model": xf.LlamaForCausalLM(llama().config).eval()}
    prompt = ('{"name": "Ada", "age": 36, "flags": [true]} and {"name": "Bo',)
    (found,) = answers(prompts=prompt, json_schema=PERSON, max_new_tokens=600, **drafts, **sampling)
    jsonschema.validate(json.loads(found), PERSON)
    if not sampling:
        assert found == answers(prompts=prompt, json_schema=PERSON, max_new_tokens=600)[0]


def test_threads_share_a_tokenizer_and_a_model() -> None:
    jobs = [{"regex": f"{'abcdefgh'[i]}{{{i + 1}}}[0-9]", "seed": i, "do_sample": True} for i in range(8)]
    expected = [answers(**job) for job in jobs]
    found: dict[int, list[str]] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: answers(**jobs[i])})) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(8)] == expected


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"json_schema": {"type": "strin"}}, "json_schema cannot be used: Invalid type: strin"),
        ({"json_schema": {"type": "object", "properties": 5}}, "properties must be an object"),
        ({"json_schema": {"type": "integer", "minimum": 5, "maximum": 3}}, "minimum .5. is greater than maximum .3."),
        ({"json_schema": {"not": {}}}, "Unimplemented keys"),
        ({"json_schema": {"$ref": "http://127.0.0.1:9/schema"}}, "json_schema cannot be used"),
        ({"json_schema": "{nope"}, "json_schema is no JSON"),
        ({"json_schema": [1]}, r"must be a schema .*not \[1\]"),
        ({"json_schema": False}, "allows something, not False"),
        ({"json_schema": {"const": object()}}, "must hold what JSON can"),
        ({"regex": "a(b"}, "unclosed group"),
        ({"regex": "(?=a)b"}, "look-around"),
        ({"regex": 123}, "regex must be text, not 123"),
        ({"regex": re.compile("a", re.IGNORECASE)}, "flags of a compiled pattern are not kept"),
        ({"grammar": "start: missing"}, "unknown name"),
        ({"grammar": "root ::= ("}, "grammar cannot be used"),
        ({"grammar": " "}, "must be the text of a grammar"),
        ({"regex": "a", "json_schema": {}}, "Give one of json_schema, regex"),
        ({"regex": "a", "penalty_alpha": 0.5, "top_k": 4}, "does not go with contrastive_search"),
        ({"regex": "a", "num_beams": 3, "do_sample": True}, "does not go with beam_sample"),
        ({"regex": "a", "num_beams": 3, "force_words_ids": [[9]]}, "does not go with constrained_beam_search"),
        ({"regex": "a", "eos_token_id": None}, "needs an end token"),
        ({"regex": "a", "eos_token_id": 399}, r"\[399\] is outside of the tokenizer's"),
        ({"regex": "a", "bad_words_ids": [[]], "suppress_tokens": None, "tokenizer": None}, "needs the tokenizer"),
        ({"regexp": "a"}, "did you mean 'regex'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_generated(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama()
    monkeypatch.setattr(type(model), "forward", lambda *_, **__: pytest.fail("the model ran"))
    options.pop("bad_words_ids", None)
    with pytest.raises(ValueError, match=message):
        model.generate(torch.tensor([[5, 6]]), **{"tokenizer": tokenizer_of("byte_level"), **options})


def test_tokenizers_that_cannot_be_served_are_refused() -> None:
    with pytest.raises(ValueError, match=r"decoder: WordPiece.* word pieces get their spaces from their neighbours"):
        answers("word_piece", regex="a")
    with pytest.raises(ValueError, match="needs a tokenizer on the `tokenizers` library, not SimpleNamespace"):
        llama().generate(torch.tensor([[5]]), regex="a", tokenizer=SimpleNamespace())
    with pytest.raises(ValueError, match="asks for characters that no token of the tokenizer stands for"):
        answers("unigram", regex="Ж")


def test_a_cut_answer_is_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from xf_plugin_logits_structured import processor

    told: list[str] = []
    monkeypatch.setattr(processor.logger, "warning", told.append)
    assert answers(regex="[a-z]{30,40}", max_new_tokens=4)
    assert len(told) == 1 and "may be cut before regex is fulfilled: raise max_new_tokens" in told[0]
    answers(regex="abc", max_new_tokens=40)
    assert len(told) == 1


# ---- front doors ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("structured")
    llama().save_pretrained(folder)
    tokenizer_of("byte_level").save_pretrained(folder)
    return str(folder)


def test_pipelines_take_the_options(checkpoint: str) -> None:
    pipe = xf.pipeline("text-generation", model=checkpoint)
    options = {"return_full_text": False, "max_new_tokens": 200}
    jsonschema.validate(json.loads(pipe("Hello", json_schema=PERSON, **options)[0]["generated_text"]), PERSON)
    batch = pipe(["Hello", "a longer prompt"], batch_size=2, regex=r"a \. [0-9]", **options)
    assert all(re.fullmatch(r"a \. [0-9]", found[0]["generated_text"]) for found in batch)  # spaces are kept
    always = xf.pipeline("text-generation", model=checkpoint, regex="[0-9]{3}")
    assert re.fullmatch("Hello[0-9]{3}", always("Hello", max_new_tokens=20)[0]["generated_text"])
    with pytest.raises(ValueError, match="unclosed group"):
        pipe("Hello", regex="a(", **options)


def test_the_command_line_takes_the_options(checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    from xf.cli import main

    command = ["run", "text-generation", "Hello", "--model", checkpoint, "--max-new-tokens", "60"]
    command += ["--return-full-text", "false"]
    main([*command, "--json-schema", '{"type": "integer", "minimum": 10, "maximum": 99}'])
    assert re.fullmatch(r"[0-9]{2}", capsys.readouterr().out.strip())
    main([*command, "--regex", "[a-c]{4}"])
    assert re.fullmatch(r"[a-c]{4}", capsys.readouterr().out.strip())


def test_an_encoder_decoder_answers_too() -> None:
    torch.manual_seed(0)
    config = xf.T5Config(
        vocab_size=400, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    model, tokenizer = xf.T5ForConditionalGeneration(config).eval(), tokenizer_of("unigram")
    inputs = tokenizer("Hello world", return_tensors="pt", return_token_type_ids=False)
    schema = {"type": "array", "items": {"enum": ["yes", "no"]}, "minItems": 1, "maxItems": 3}
    for beams in (1, 3):
        tokens = model.generate(**inputs, json_schema=schema, tokenizer=tokenizer, max_new_tokens=90, num_beams=beams)
        jsonschema.validate(json.loads(tokenizer.decode(tokens[0], skip_special_tokens=True)), schema)


class TestStructuredConformance(LogitsProcessorConformance):
    name = "structured"
    settings = {"regex": "[bcd]+"}

    def make_context(self, **changes: Any) -> Any:
        """A tokenizer of 20 tokens: two special ones and a letter each."""
        made = Tokenizer(models.BPE({"<pad>": 0, "<s>": 1, "</s>": 2, **{chr(97 + i): i + 3 for i in range(17)}}, []))
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens(["<pad>", "<s>", "</s>"])
        context = super().make_context(
            extra={"tokenizer": xf.PreTrainedTokenizerFast(tokenizer_object=made)}, **changes
        )
        context.generation_config.get_generation_mode = lambda _: SimpleNamespace(value="greedy_search")
        return context
