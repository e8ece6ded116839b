"""The engine that the kernel asks for: renders conversations and turns the text into tokens.

Templates are Jinja, as published checkpoints have them: blocks trimmed, `break` and `continue`, `tojson` without
escapes of HTML, `raise_exception(message)`, `strftime_now(format)`, and `{% generation %}` around what the assistant
writes.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from xf_tokenizers.batch_encoding import BatchEncoding

from .errors import ChatTemplateError
from .limits import LimitedEnvironment, budget, limited
from .schema import get_json_schema

Span = tuple[int, int]
_MAX_INDENT = 64
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")

#: What is put around the assistant's text while a rendering is asked where it is.
_marks: ContextVar[tuple[str, str] | None] = ContextVar("marks", default=None)


class GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}`: text that the assistant wrote."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body, lineno=line)

    def _marked(self, caller: Callable[[], str]) -> str:
        text, marks = caller(), _marks.get()
        return text if marks is None else f"{marks[0]}{text}{marks[1]}"


def _raise_exception(message: str) -> None:
    raise ChatTemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if isinstance(indent, int) and indent > _MAX_INDENT or isinstance(indent, str) and len(indent) > _MAX_INDENT:
        raise SecurityError(f"tojson with an indent of more than {_MAX_INDENT}")
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return limited(text)  # type: ignore[no-any-return]


def _environment() -> LimitedEnvironment:
    environment = LimitedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


_ENVIRONMENT = _environment()


@lru_cache(maxsize=256)
def compiled(chat_template: str) -> Template:
    """A template ready to render."""
    return _ENVIRONMENT.from_string(chat_template)


class JinjaEngine:
    """Chat templates in Jinja."""

    @staticmethod
    def as_batch(conversation: Any) -> tuple[list[Any], bool]:
        """The conversations as a list, and whether a list was given; an object with `messages` is a conversation."""
        first = conversation[0] if isinstance(conversation, (list, tuple)) and conversation else None
        batched = isinstance(first, (list, tuple)) or hasattr(first, "messages")
        return (list(conversation) if batched else [conversation]), batched

    @staticmethod
    def render(
        conversations: Sequence[Any],
        *,
        chat_template: str,
        tools: list[Any] | None = None,
        documents: list[dict[str, str]] | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        return_assistant_tokens_mask: bool = False,
        **variables: Any,
    ) -> tuple[list[str], list[list[Span]]]:
        """The text of each conversation, and where in it the assistant wrote.

        Raises:
            ValueError: a template that fails or takes too long (ChatTemplateError); tools or documents that are none;
                a mask from a template without `{% generation %}`; a last message that the template dropped.
        """
        if continue_final_message and add_generation_prompt:
            raise ValueError("continue_final_message and add_generation_prompt are not compatible: choose one")
        if continue_final_message and return_assistant_tokens_mask:
            raise ValueError("continue_final_message is not compatible with return_assistant_tokens_mask")
        if return_assistant_tokens_mask and not _GENERATION.search(chat_template):
            raise ValueError(
                "return_assistant_tokens_mask=True needs a chat template that marks what the assistant writes with "
                "{% generation %}...{% endgeneration %}; this one does not, and a mask of zeros would train on nothing"
            )
        schemas = _tool_schemas(tools)
        if documents is not None and not all(isinstance(document, dict) for document in documents):
            raise TypeError("Documents should be a list of dicts with 'title' and 'text' keys!")
        texts, spans = [], []
        for conversation in conversations:
            messages = getattr(conversation, "messages", conversation)
            given = {**variables, "messages": messages, "tools": schemas, "documents": documents,
                     "add_generation_prompt": add_generation_prompt}  # fmt: skip
            text, written = _rendered(chat_template, given, return_assistant_tokens_mask)
            texts.append(_open_end(text, messages) if continue_final_message else text)
            spans.append(written)
        return texts, spans

    def apply(  # fmt: skip
        self,
        tokenizer: Any,
        conversation: Any,
        *,
        tools: Any,
        documents: Any,
        chat_template: str | None,
        add_generation_prompt: bool,
        continue_final_message: bool,
        tokenize: bool,
        padding: Any,
        truncation: Any,
        max_length: int | None,
        return_tensors: Any,
        return_dict: bool,
        return_assistant_tokens_mask: bool,
        tokenizer_kwargs: dict[str, Any] | None,
        **variables: Any,
    ) -> Any:
        """`tokenizer.apply_chat_template`."""
        if return_dict and not tokenize:
            raise ValueError("return_dict=True needs tokenize=True: there is no dictionary of inputs without tokens")
        if return_assistant_tokens_mask and not return_dict:
            raise ValueError("return_assistant_tokens_mask=True needs return_dict=True")
        conversations, batched = self.as_batch(conversation)
        texts, spans = self.render(
            conversations,
            chat_template=tokenizer.get_chat_template(chat_template, tools),
            tools=tools,
            documents=documents,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            return_assistant_tokens_mask=return_assistant_tokens_mask,
            **{**tokenizer.special_tokens_map, **variables},
        )
        if not tokenize:
            return texts if batched else texts[0]
        options = {"padding": padding, "truncation": truncation, "max_length": max_length,
                   "return_tensors": return_tensors, "add_special_tokens": False}  # fmt: skip
        encoded: BatchEncoding = tokenizer(texts if batched else texts[0], **options, **(tokenizer_kwargs or {}))
        if not return_dict:
            return encoded["input_ids"]
        if return_assistant_tokens_mask:
            if not encoded.is_fast:
                raise ValueError("return_assistant_tokens_mask=True needs a fast tokenizer, which can align characters")
            masks = [self.assistant_mask(encoded, i, len(encoded.tokens(i)), spans[i]) for i in range(len(texts))]
            encoded["assistant_masks"] = masks if batched or return_tensors else masks[0]
            encoded.convert_to_tensors(return_tensors)
        return encoded

    def encode_message(self, tokenizer: Any, message: Any, history: list[Any], **arguments: Any) -> list[int]:
        """`tokenizer.encode_message_with_chat_template`."""
        if arguments.get("add_generation_prompt"):
            raise ValueError("add_generation_prompt does not go with encoding one message; use apply_chat_template")
        with_it: list[int] = tokenizer.apply_chat_template([*history, message], tokenize=True, **arguments)
        if not history:
            return with_it
        without: list[int] = tokenizer.apply_chat_template(history, tokenize=True, **arguments)
        shared = min(len(with_it), len(without))
        return with_it[next((i for i in range(shared) if with_it[i] != without[i]), shared) :]

    @staticmethod
    def assistant_mask(encoding: BatchEncoding, row: int, length: int, spans: Sequence[Span]) -> list[int]:
        """1 for the tokens of the characters in `spans`, else 0; what was truncated away is left out."""
        mask = [0] * length
        for start, end in spans:
            found = [token for char in range(start, end) if (token := encoding.char_to_token(row, char)) is not None]
            if found:
                first, last = min(found), max(found)
                mask[first : last + 1] = [1] * (last + 1 - first)
        return mask


def _tool_schemas(tools: list[Any] | None) -> list[dict[str, Any]] | None:
    if tools is None:
        return None
    schemas = []
    for tool in tools:
        if not isinstance(tool, dict) and not callable(tool):
            raise ValueError(
                f"a tool is a JSON schema (a dictionary), or a function with type hints and a docstring, not {tool!r}"
            )
        schemas.append(tool if isinstance(tool, dict) else get_json_schema(tool))
    return schemas


def _rendered(chat_template: str, variables: dict[str, Any], with_spans: bool) -> tuple[str, list[Span]]:
    nonce = secrets.token_hex(8)
    marks = (f"\ue000{nonce}<", f"\ue000{nonce}>") if with_spans else None
    token = _marks.set(marks)
    try:
        with budget():
            text = compiled(chat_template).render(**variables)
    except SecurityError as error:
        raise ChatTemplateError(f"the chat template was stopped: {error}") from error
    except (RecursionError, MemoryError, OverflowError) as error:
        raise ChatTemplateError(f"the chat template asks for too much: {type(error).__name__}") from error
    except TemplateError as error:
        if isinstance(error, ValueError):
            raise
        number = getattr(error, "lineno", None)
        line = f" (line {number})" if number else ""
        raise ChatTemplateError(f"the chat template failed{line}: {error}") from error
    finally:
        _marks.reset(token)
    return (text, []) if marks is None else _spans(text, *marks)


def _spans(marked: str, opening: str, closing: str) -> tuple[str, list[Span]]:
    """The text without marks, and where they were."""
    text, spans, starts = "", [], []
    for piece in re.split(f"({re.escape(opening)}|{re.escape(closing)})", marked):
        if piece == opening:
            starts.append(len(text))
        elif piece == closing:
            start = starts.pop()
            if not starts:  # of nested marks the outer ones count
                spans.append((start, len(text)))
        else:
            text += piece
    return text, spans


def _open_end(text: str, messages: Sequence[Any]) -> str:
    """`text` up to the end of the last message."""
    content = messages[-1].get("content")
    if isinstance(content, (list, tuple)):
        content = next((part["text"] for part in reversed(content) if part.get("type") == "text"), None)
    if not isinstance(content, str):
        raise ValueError("continue_final_message=True needs a last message with text as its content")
    stripped = content.strip()
    if stripped not in text:
        raise ValueError(
            "continue_final_message is set but the final message does not appear in the chat after applying the chat "
            "template: the template drops or changes it. Check the template, or leave out continue_final_message."
        )
    start = text.rindex(stripped)
    # White space at the end is kept where the template kept it; not after a message that also starts with some.
    return text[: start + len(content if text.startswith(content, start) else stripped)]


JINJA = JinjaEngine()
