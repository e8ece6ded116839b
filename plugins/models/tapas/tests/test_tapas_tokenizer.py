"""TAPAS's tokenizer encodes tables as the recorded reference did, and says what is wrong with those it cannot."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xf import AutoTokenizer, TapasTokenizer
from xf_plugin_tapas.values import column_values, normalized, parse_text, ranks, relations

sys.path.insert(0, str(Path(__file__).parent))
from record_tapas_tokenizer import calls

HERE = Path(__file__).parent / "goldens"
ANSWERS = json.loads((HERE / "tapas_tokenizer.json").read_text("utf-8"))
CALLS = calls()
TABLE = {"name": ["abc", "defgh", "x"], "age": ["12", "3456789", "1"]}


def make(**settings: Any) -> TapasTokenizer:
    return TapasTokenizer.from_pretrained(HERE / "tokenizer", **settings)


def plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_encodings_are_those_of_the_reference(number: int) -> None:
    call, expected = dict(CALLS[number]), ANSWERS[number]
    tokenizer = make(**call.pop("set"))
    if expected == "error":
        with pytest.raises(ValueError):
            tokenizer(**call)
    else:
        assert {name: plain(value) for name, value in tokenizer(**call).items()} == expected


def test_most_recorded_calls_succeeded() -> None:
    assert sum(answer != "error" for answer in ANSWERS) > 40


class Frame:
    """What of a DataFrame is read."""

    columns = list(TABLE)
    values = [list(row) for row in zip(*TABLE.values(), strict=True)]


def test_a_table_has_several_spellings() -> None:
    tokenizer = make()
    expected = dict(tokenizer(TABLE, "what?"))
    rows = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
    indexed = {name: dict(enumerate(cells)) for name, cells in TABLE.items()}
    numbers = {"name": TABLE["name"], "age": [12, 3456789, 1]}
    for table in (rows, indexed, numbers, Frame()):
        assert dict(tokenizer(table, "what?")) == expected
    assert dict(tokenizer({"a": [None]}, "what?")) == dict(tokenizer({"a": [""]}, "what?"))


@pytest.mark.parametrize(
    ("table", "error", "says"),
    [
        ({"a": ["1", "2"], "b": ["1"]}, ValueError, "'a' has 2, 'b' has 1"),
        ([{"a": "1", "b": "2"}, {"a": "1"}], ValueError, "row 1 has the columns \\['a'\\]"),
        ([{"a": "1"}, ["1"]], TypeError, "Row 1 of the table is a list"),
        ({"a": "12"}, TypeError, "Column 'a' of the table is a str"),
        ({"a": [["1"]]}, TypeError, "row 0, column 'a'"),
        ("text", TypeError, "not str"),
        (None, TypeError, "not NoneType"),
        ({f"c{i}": ["1"] for i in range(96)}, ValueError, "Too many columns: 96"),
        ({"a": ["1"] * 96}, ValueError, "Too many rows: 96"),
    ],
)
def test_a_table_that_is_none_is_an_error(table: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()(table, "what?")


@pytest.mark.parametrize("queries", [5, [None], [["what", "is"]], []])
def test_questions_that_are_none_are_errors(queries: Any) -> None:
    with pytest.raises(ValueError, match="question"):
        make()(TABLE, queries)


def test_answers_are_checked() -> None:
    for answers, says in (
        ({"answer_coordinates": [(5, 0)], "answer_text": ["q"]}, "Couldn't find all answers"),
        ({"answer_coordinates": [(0, 0)]}, "both answer_coordinates and answer_text"),
    ):
        with pytest.raises(ValueError, match=says):
            make()(TABLE, "what?", **answers)
    with pytest.raises(ValueError, match="1 answers for 2 questions"):
        make()(TABLE, ["what?", "is?"], answer_coordinates=[[(0, 0)]], answer_text=[["abc"]])


def test_answers_can_be_found_by_their_text() -> None:
    found = make(update_answer_coordinates=True)(TABLE, "what?", answer_coordinates=[(0, 0)], answer_text=["x"])
    assert found["labels"] == make()(TABLE, "what?", answer_coordinates=[(2, 0)], answer_text=["x"])["labels"]
    with pytest.raises(ValueError, match="no cell has the tokens"):
        make(update_answer_coordinates=True)(TABLE, "what?", answer_coordinates=[(0, 0)], answer_text=["zzz"])


def test_rows_are_dropped_to_fit() -> None:
    with pytest.raises(ValueError, match="truncation=True"):
        make()(TABLE, "what?", max_length=12)
    assert max(types[2] for types in make()(TABLE, "what?", truncation=True, max_length=12)["token_type_ids"]) == 1
    long = {"a": [str(i) for i in range(3000)]}
    assert len(make(max_row_id=4000)(long, "what?", truncation=True)["input_ids"]) <= 96


def test_a_question_of_a_million_characters_is_no_problem_of_time() -> None:
    with pytest.raises(ValueError, match="more than max_length"):
        make()(TABLE, "5 may " * 170_000, truncation=True)


def test_probabilities_become_cells() -> None:
    tokenizer = make()
    inputs = tokenizer(TABLE, ["what?", "is?"], padding=True, return_tensors="pt")
    logits = (inputs["token_type_ids"][:, :, 1] == 2).float() * 2000 - 1000
    logits[1] = -1000
    cells, operators = tokenizer.convert_logits_to_predictions(inputs, logits, logits[:, :4])
    assert cells == [[(0, 1), (1, 1), (2, 1)], []] and operators == [0, 0]
    assert tokenizer.convert_logits_to_predictions(inputs, logits)[0] == cells


def test_it_is_found_and_saved(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(HERE / "tokenizer")
    assert type(tokenizer) is TapasTokenizer
    tokenizer.save_pretrained(tmp_path)
    assert dict(TapasTokenizer.from_pretrained(tmp_path)(TABLE, "what?")) == dict(tokenizer(TABLE, "what?"))
    assert (tmp_path / "vocab.txt").read_bytes() == (HERE / "tokenizer" / "vocab.txt").read_bytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,000.5 and 3rd", [1000.5, 3.0]),
        ("-5 +6", [-5.0, 6.0]),
        ("may 5, 1998 to june 1999", [(1998, 5, 5), (1999, 6, None)]),
        ("1998", [1998.0, (1998, None, None)]),
        ("the 1990s", [(1990, None, None)]),
        ("feb 29, 2000; feb 30", [(2000, 2, 29), 30.0]),
        ("Sunday, May 3", [(None, 5, 3)]),
        ("12.3.1998 1998-3-12 3-12-1998", [(1998, 3, 12)] * 3),
        ("first of twelve", [1.0, 12.0]),
        ("nan inf thirteen", []),
    ],
)
def test_values_of_a_text(text: str, expected: list[Any]) -> None:
    found = [value for _, values in parse_text(normalized(text)) for value in values]
    assert [value for value in found if value in expected] == expected and (expected or not found)


def test_a_column_has_values_of_one_kind() -> None:
    assert column_values(["5", "6", "7", "x"]) == {0: 5.0, 1: 6.0, 2: 7.0}
    assert column_values(["5", "x", "y"]) == {}
    assert column_values(["1998", "2000"]) == {0: (1998, None, None), 1: (2000, None, None)}
    assert ranks({0: 5.0, 1: 2.0, 2: 5.0}) == {0: (2, 1), 1: (1, 2), 2: (2, 1)}
    assert relations("more than 5?", [{0: 5.0, 1: 7.0, 2: 1.0}]) == {(0, 0): 1, (1, 0): 2, (2, 0): 4}


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=40))
def test_any_text_is_parsed(text: str) -> None:
    text = normalized(text)
    spans = [span for span, _ in parse_text(text)]
    assert spans == sorted(spans) and all(0 <= begin < end <= len(text) for begin, end in spans)
