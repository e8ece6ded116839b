"""From the options json_schema, regex and grammar to a compiled grammar of llguidance."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import llguidance

# Between the parts of JSON: nothing, a space, or a line break and its indentation. Without a bound a model that is not
# sure of itself writes spaces until its tokens are used up. A schema changes it: {"x-guidance": {...}}.
WHITESPACE = r"( |\n[ \t]{0,40})?"
_SILENT = 0


def grammar_of(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """(option name, grammar) of the option that is set; None if none is.

    Raises: ValueError for several options at once, and for values that are no schema, expression or grammar.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return None
    if len(given) > 1:
        raise ValueError(f"Give one of {', '.join(sorted(given))}: an answer follows one structure.")
    name, value = next(iter(given.items()))
    return name, _READERS[name](value)


def compiled(name: str, grammar: str, tokenizer: llguidance.LLTokenizer) -> llguidance.LLMatcher:
    """The matcher before the first token of an answer.

    Raises: ValueError that says what is wrong with the grammar, or that it is too large.
    """
    wrong, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar, tokenizer)
    if wrong:
        raise ValueError(f"{name} cannot be used: {messages[0].strip()}")
    matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=_SILENT)
    if matcher.is_error():
        raise ValueError(f"{name} cannot be used: {first_line(matcher.get_error())}")
    return matcher


def first_line(text: str) -> str:
    """What llguidance says is wrong, without its state."""
    return text.split("\n", 1)[0].strip()


def _schema(value: Any) -> str:
    """A JSON schema: a dict, True, a JSON text, or a class that has one (pydantic's model_json_schema)."""
    if hasattr(value, "model_json_schema"):
        value = value.model_json_schema()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"json_schema is no JSON: {error}. It begins with {value[:60]!r}.") from error
    if value is True:  # JSON Schema's short form of {}, which allows everything
        value = {}
    if not isinstance(value, Mapping):
        raise ValueError(
            f"json_schema must be a schema (a dict, or its JSON text) that allows something, not {value!r}."
        )
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"json_schema must hold what JSON can: {error}.") from error
    return llguidance.LLMatcher.grammar_from_json_schema(text, defaults={"whitespace_pattern": WHITESPACE})


def _regex(value: Any) -> str:
    """A regular expression that the whole answer matches; syntax of the Rust regex crate."""
    if isinstance(value, re.Pattern):
        if value.flags & ~re.UNICODE:
            raise ValueError("regex: flags of a compiled pattern are not kept; write them inside, as in '(?i)yes|no'.")
        value = value.pattern
    if not isinstance(value, str):
        raise ValueError(f"regex must be text, not {value!r} (on a command line: --regex '\"123\"').")
    return llguidance.LLMatcher.grammar_from_regex(value)


def _grammar(value: Any) -> str:
    """A context-free grammar: Lark's syntax with the rule `start`, or GBNF (rules with ::=, the rule `root`)."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"grammar must be the text of a grammar, not {value!r}.")
    try:
        return llguidance.grammar_from("grammar", value)
    except ValueError as error:
        raise ValueError(f"grammar cannot be used: {error}") from error


_READERS = {"json_schema": _schema, "regex": _regex, "grammar": _grammar}
