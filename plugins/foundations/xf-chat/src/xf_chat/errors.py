"""What can go wrong with a chat template or with the description of a tool."""

from __future__ import annotations

from jinja2.exceptions import TemplateError


class ChatTemplateError(TemplateError, ValueError):
    """A template that cannot be read, fails, or asks for more than it may have."""


class TypeHintParsingException(ValueError):
    """A type hint of a tool that has no JSON schema."""


class DocstringParsingException(ValueError):
    """A tool whose docstring does not describe it."""
