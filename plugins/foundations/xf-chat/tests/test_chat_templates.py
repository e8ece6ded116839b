"""Conversations become what the recorded reference made of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from xf import ChatTemplateError, PreTrainedTokenizerFast, get_json_schema
from xf.utils.chat_template_utils import DocstringParsingException, TypeHintParsingException

sys.path.insert(0, str(Path(__file__).parent))
from chat_cases import CALLS, CHAT, LONG, NAMES, TEMPLATES, backend, outcome, weather
from schema_cases import FUNCTIONS

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "chat.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=backend(), **NAMES)


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_call(tokenizer: Any, number: int) -> None:
    found = outcome(tokenizer, CALLS[number])
    assert json.loads(json.dumps(found)) == GOLDEN["calls"][number], CALLS[number]


def test_most_recorded_calls_succeeded() -> None:
    assert sum(expected != "error" for expected in GOLDEN["calls"]) > 25


@pytest.mark.parametrize("function", [weather, *FUNCTIONS], ids=lambda function: function.__name__)
def test_schema(function: Any) -> None:
    assert json.loads(json.dumps(get_json_schema(function))) == GOLDEN["schemas"][function.__name__]


def test_a_mask_needs_marks(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=r"\{% generation %\}"):
        tokenizer.apply_chat_template(
            CHAT, chat_template=TEMPLATES["chatml"], return_dict=True, return_assistant_tokens_mask=True
        )


def test_the_mask_covers_what_the_assistant_wrote(tokenizer: Any) -> None:
    found = tokenizer.apply_chat_template(
        LONG, chat_template=TEMPLATES["marked"], return_dict=True, return_assistant_tokens_mask=True
    )
    written = [i for i, m in zip(found["input_ids"], found["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(written) == " Hello!  </s>\U0001f642 yes</s>"


def test_templates_by_name(tokenizer: Any) -> None:
    tokenizer.chat_template = {"a": "A", "tool_use": "T"}
    try:
        assert tokenizer.apply_chat_template(CHAT, chat_template="a", tokenize=False) == "A"
        assert tokenizer.apply_chat_template(CHAT, tools=[weather], tokenize=False) == "T"
        assert tokenizer.apply_chat_template(CHAT, chat_template="text", tokenize=False) == "text"
        with pytest.raises(ValueError, match=r"\['a', 'tool_use'\]"):
            tokenizer.apply_chat_template(CHAT, tokenize=False)
    finally:
        tokenizer.chat_template = None
    with pytest.raises(ValueError, match="chat_template is not set"):
        tokenizer.apply_chat_template(CHAT)


def test_one_message_more(tokenizer: Any) -> None:
    whole = tokenizer.apply_chat_template(CHAT[:2], chat_template=TEMPLATES["chatml"])
    first = tokenizer.encode_message_with_chat_template(CHAT[0], chat_template=TEMPLATES["chatml"])
    more = tokenizer.encode_message_with_chat_template(CHAT[1], CHAT[:1], chat_template=TEMPLATES["chatml"])
    assert first + more == whole
    with pytest.raises(ValueError, match="add_generation_prompt"):
        tokenizer.encode_message_with_chat_template(CHAT[1], add_generation_prompt=True)


def test_objects_with_messages_are_conversations(tokenizer: Any) -> None:
    class Conversation:
        messages = CHAT

    found = tokenizer.apply_chat_template(
        [Conversation(), Conversation()], chat_template="{{ messages[0].role }}", tokenize=False
    )
    assert found == ["system", "system"]


def test_errors_say_where(tokenizer: Any) -> None:
    from jinja2.exceptions import TemplateError

    for error in (ChatTemplateError, ValueError, TemplateError):
        with pytest.raises(error, match=r"line 2"):
            tokenizer.apply_chat_template(CHAT, chat_template="a\n{% if %}", tokenize=False)
    with pytest.raises(ChatTemplateError, match="^roles must alternate$"):
        tokenizer.apply_chat_template(CHAT[1:2] * 2, chat_template=TEMPLATES["turns"], tokenize=False)
    with pytest.raises(ValueError, match="text as its content"):
        tokenizer.apply_chat_template([{"role": "user"}], chat_template="x", continue_final_message=True)


def no_doc(x: int) -> None: ...


def untold(x: int, y: int) -> None:
    """Description.

    Args:
        x: x
    """


def unhinted(x) -> None:  # type: ignore[no-untyped-def]
    """Description.

    Args:
        x: x
    """


def of_sets(x: set) -> None:
    """Description.

    Args:
        x: x
    """


def of_one(x: tuple[int]) -> None:
    """Description.

    Args:
        x: x
    """


def bad_choices(x: str) -> None:
    """Description.

    Args:
        x: x (choices: ['a'])
    """


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        (no_doc, DocstringParsingException, "no docstring"),
        (untold, DocstringParsingException, "'y'"),
        (bad_choices, DocstringParsingException, "JSON list"),
        (unhinted, TypeHintParsingException, "missing a type hint"),
        (of_sets, TypeHintParsingException, "no JSON schema"),
        (of_one, TypeHintParsingException, "tuple of one"),
    ],
)
def test_functions_without_a_schema(function: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        get_json_schema(function)


def test_methods_and_kinds_of_the_docstring() -> None:
    class Tool:
        def __call__(self, query: str = "") -> list:
            """Searches.

            Args:
                query (str, optional): What to look for
                    in the index
            """
            return []

    schema = get_json_schema(Tool())["function"]
    assert schema["name"] == "operation" and schema["return"] == {"type": "array"}
    assert schema["parameters"]["properties"]["query"]["description"] == "What to look for in the index"
    assert "required" not in schema["parameters"]
