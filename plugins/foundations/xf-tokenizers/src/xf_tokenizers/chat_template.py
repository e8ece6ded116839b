"""Chat templates of tokenizers: which one is meant. What its text becomes is a plugin's work.

The contract of group ``xf.v1.chat_template`` (tokenizers ask for the name ``jinja``): an object with

    render(conversations, *, chat_template, tools, documents, add_generation_prompt, continue_final_message,
           return_assistant_tokens_mask, **variables) -> (texts, spans)
    apply(tokenizer, conversation, **arguments_of_apply_chat_template) -> text, ids or BatchEncoding
    encode_message(tokenizer, message, history, **arguments) -> ids

`texts` has a string for each conversation, `spans` for each the (start, end) characters that the assistant wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xf.utils.enums import PaddingStrategy, TensorType


def chat_engine() -> Any:
    """The installed engine; PluginNotInstalledError says what to install."""
    from xf.plugins import registry

    return registry("chat_template").get("jinja")


def choose_chat_template(own: str | Mapping[str, str] | None, asked: str | None, tools: Any, owner: str) -> str:
    """The template that is meant: one given, a named one, the one for tools, or the default; ValueError if none is."""
    if isinstance(own, Mapping):
        if asked is not None:
            return own.get(asked, asked)
        name = "tool_use" if tools is not None and "tool_use" in own else "default"
        if name not in own:
            raise ValueError(
                f"this {owner} has several chat templates, none of them 'default': pass chat_template= one of "
                f"{sorted(own)}, or a template"
            )
        return own[name]
    template = own if asked is None else asked
    if template is None:
        raise ValueError(
            f"Cannot use chat template functions because {owner}.chat_template is not set and no template argument was "
            f"passed: set it, or pass `chat_template=`."
        )
    return template


class ChatTemplateMixin:
    """`apply_chat_template` for tokenizers."""

    chat_template: str | dict[str, str] | None

    def apply_chat_template(  # fmt: skip
        self,
        conversation: Any,
        tools: list[dict[str, Any] | Callable[..., Any]] | None = None,
        documents: list[dict[str, str]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: str | TensorType | None = None,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Turn a conversation (a list of `{"role": ..., "content": ...}`) or several into text, and that into ids.

        Args:
            conversation: the messages, or a list of conversations.
            tools: what the model may call: JSON schemas, or functions whose types and docstrings describe them.
            documents: what the model may use, each with a `title` and a `text`.
            chat_template: the name of one of the tokenizer's templates, or a template.
            add_generation_prompt: end with what starts an answer of the assistant.
            continue_final_message: leave the last message open, so that the model goes on with it.
            tokenize: return ids rather than text.
            padding: as in calling the tokenizer, as are the next three.
            truncation: see there.
            max_length: see there.
            return_tensors: see there.
            return_dict: return a BatchEncoding rather than ids alone.
            return_assistant_tokens_mask: add `assistant_masks`, 1 for the tokens that the assistant wrote; the
                template must mark them with `{% generation %}`.
            tokenizer_kwargs: more arguments for the tokenizer.
            kwargs: more variables for the template.

        Raises:
            ValueError: no template, a template that fails, or arguments that contradict each other.
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "conversation", "kwargs")}
        return chat_engine().apply(self, conversation, **options, **kwargs)

    def encode_message_with_chat_template(
        self, message: dict[str, Any], conversation_history: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[int]:
        """The ids that one more message adds to a conversation."""
        ids: list[int] = chat_engine().encode_message(self, message, conversation_history or [], **kwargs)
        return ids

    def get_chat_template(self, chat_template: str | None = None, tools: list[Any] | None = None) -> str:
        """The template that is meant: a template itself, a named one, the one for tools, or the default.

        Raises:
            ValueError: there is none, or several and none of them is called "default".
        """
        return choose_chat_template(self.chat_template, chat_template, tools, "tokenizer")
