"""The task table-question-answering: the recorded answers of the reference, and what only xf promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xf import T5Config, T5ForConditionalGeneration, pipeline
from xf_testing import PipelineConformance

HERE = Path(__file__).parent / "goldens"
CASES = json.loads((HERE / "cases.json").read_text("utf-8"))
ANSWERS = json.loads((HERE / "answers.json").read_text("utf-8"))
TABLE = {"actors": ["brad pitt", "george clooney", "old"], "age": ["56", "45", "59"]}
OTHER = {"name": ["abc", "x"], "year": ["1998", "2000"]}


def make(**parameters: Any) -> Any:
    return pipeline("table-question-answering", model=str(HERE / "tapas"), device="cpu", **parameters)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make()


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_answers_are_those_of_the_reference(pipe: Any, number: int) -> None:
    (args, kwargs), golden = CASES[number], ANSWERS[number]
    if golden == "error":
        with pytest.raises((ValueError, TypeError)) as caught:
            pipe(*args, **kwargs)
        assert len(str(caught.value)) > 10, "an error says what was wrong"
    else:
        assert json.loads(json.dumps(pipe(*args, **kwargs))) == golden


def test_most_recorded_calls_succeeded() -> None:
    assert sum(answer != "error" for answer in ANSWERS) == 13


def test_a_sequence_of_questions_differs_from_questions_of_their_own(pipe: Any) -> None:
    questions = CASES[8][0][1]
    table = CASES[8][0][0]
    alone = [pipe(table, question) for question in questions]
    together = pipe(table, questions, sequential=True)
    assert together[0] == alone[0] and together != alone
    assert pipe(table, questions) == alone


@pytest.mark.parametrize("batch_size", [2, 3])
def test_batches_of_tables_give_the_same(pipe: Any, batch_size: int) -> None:
    inputs = [
        {"table": TABLE, "query": ["total age?", "what?"]},
        {"table": OTHER, "query": "year 1998?"},
        {"table": TABLE, "query": "how many actors?"},
    ]
    assert pipe(inputs, batch_size=batch_size) == [pipe(item) for item in inputs]
    single = inputs[1:]
    assert pipe(single, batch_size=batch_size, sequential=True) == [pipe(item) for item in single]
    with pytest.raises(ValueError, match="one table at a time"):
        pipe(inputs, batch_size=3, sequential=True)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([{"a": "1", "b": "2"}, {"a": "1"}], "ragged: row 1"),
        ({"a": ["1", "2"], "b": ["1"]}, "'a' has 2, 'b' has 1"),
        ({"a": []}, "table is empty"),
    ],
)
def test_a_ragged_or_empty_table_is_an_error(pipe: Any, table: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pipe(table, "what?")
    good, bad = pipe([{"table": TABLE, "query": "age?"}, {"table": table, "query": "what?"}], on_error="return")
    assert "answer" in good and bad.index == 1


def test_a_list_of_one_input_gives_the_result_of_the_input(pipe: Any) -> None:
    inputs = [{"table": TABLE, "query": "age?"}, {"table": OTHER, "query": ["how many?", "1998?"]}]
    assert pipe(inputs) == [pipe(item) for item in inputs]
    assert pipe(inputs[:1]) == pipe(inputs[0])


class Flattened:
    """A tokenizer that writes the table as text behind the question, in the manner of TAPEX."""

    pad_token_id, eos_token_id = 0, 1

    def __call__(self, table: Any, queries: Any, **options: Any) -> Any:
        assert options["truncation"] == "do_not_truncate"
        texts = [" ".join([query, *table.columns, *(c for row in table.values for c in row)]) for query in queries]
        ids = [[ord(c) % 40 + 2 for c in text] for text in texts]
        long = max(map(len, ids))
        padded = torch.tensor([row + [0] * (long - len(row)) for row in ids])
        return {"input_ids": padded, "attention_mask": (padded != 0).long()}

    def batch_decode(self, rows: Any, skip_special_tokens: bool) -> list[str]:
        return [" ".join(str(i) for i in row.tolist() if i > 1) for row in rows]


def test_a_model_that_writes_answers() -> None:
    torch.manual_seed(0)
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=44, decoder_start_token_id=0, **sizes))
    pipe = pipeline("table-question-answering", model=model, tokenizer=Flattened(), max_new_tokens=5)
    one = pipe(TABLE, "age?")
    assert set(one) == {"answer"} and len(one["answer"].split()) <= 5
    assert pipe(TABLE, ["age?", "age?"]) == [one, one]
    longer = pipe(TABLE, "age?", max_new_tokens=9)["answer"]
    assert longer.startswith(one["answer"])


class TestTableQuestionAnsweringConformance(PipelineConformance):
    name = "table-question-answering"
    unwraps_one = True
    inputs = (
        {"table": TABLE, "query": "what is the age?"},
        {"table": OTHER, "query": ["how many?", "1998?"]},
        {"table": OTHER, "query": "x"},
    )
    wrong = (object(), None, 5, {"table": TABLE}, {"query": "what?"})

    def make_pipeline(self, **parameters: Any) -> Any:
        return make(**parameters)
