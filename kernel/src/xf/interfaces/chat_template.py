"""Chat templates of tokenizers and processors: which one is meant, and what its text becomes.

Rendering itself is a plugin's work (group ``xf.v1.chat_template``, name ``jinja``): a callable

    render(conversations, *, chat_template, tools, documents, add_generation_prompt, continue_final_message,
           return_assistant_tokens_mask, **variables) -> (texts, spans)

`texts` has a string for each conversation, `spans` for each the (start, end) characters that the assistant wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .batch_encoding import BatchEncoding, PaddingStrategy, TensorType

Conversation = Sequence[dict[str, Any]]


def render_chat(conversations: Sequence[Conversation], **arguments: Any) -> tuple[list[str], list[list[tuple[int, int]]]]:
    """Render conversations with the installed plugin; PluginNotInstalledError says what to install."""
    from xf.plugins import registry

    render: Callable[..., tuple[list[str], list[list[tuple[int, int]]]]] = registry("chat_template").get("jinja")
    return render(conversations, **arguments)


def as_batch(conversation: Any) -> tuple[list[Any], bool]:
    """The conversations as a list, and whether a list was given; objects with `messages` count as conversations."""
    first = conversation[0] if isinstance(conversation, (list, tuple)) and conversation else None
    batched = isinstance(first, (list, tuple)) or hasattr(first, "messages")
    return (list(conversation) if batched else [conversation]), batched


def assistant_mask(encoding: BatchEncoding, row: int, length: int, spans: Sequence[tuple[int, int]]) -> list[int]:
    """1 for the tokens of the characters in `spans`, else 0."""
    mask = [0] * length
    for start, end in spans:
        tokens = [encoding.char_to_token(row, char) for char in (start, max(end - 1, start))]
        if tokens[0] is None:  # the span was truncated away, or starts with white space no token holds
            tokens[0] = next(filter(None, (encoding.char_to_token(row, c) for c in range(start, end))), None)
        if tokens[0] is None:
            continue
        stop = length if tokens[1] is None else tokens[1] + 1
        mask[tokens[0] : stop] = [1] * (stop - tokens[0])
    return mask


class ChatTemplateMixin:
    """`apply_chat_template` for tokenizers."""

    chat_template: str | dict[str, str] | None

    def apply_chat_template(
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
            return_dict: return a BatchEncoding rather than ids alone.
            return_assistant_tokens_mask: add `assistant_masks`, 1 for the tokens that the assistant wrote; the
                template must mark them with `{% generation %}`.
            tokenizer_kwargs: more arguments for the tokenizer.
            kwargs: more variables for the template.

        Raises:
            ValueError: no template, a template that fails, or arguments that contradict each other.
        """
        if return_dict and not tokenize:
            raise ValueError("return_dict=True needs tokenize=True: there is no dictionary of inputs without tokens")
        if return_assistant_tokens_mask and not return_dict:
            raise ValueError("return_assistant_tokens_mask=True needs return_dict=True")
        check_generation_arguments(add_generation_prompt, continue_final_message, return_assistant_tokens_mask)
        conversations, batched = as_batch(conversation)
        texts, spans = render_chat(
            conversations,
            chat_template=self.get_chat_template(chat_template, tools),
            tools=tools,
            documents=documents,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            return_assistant_tokens_mask=return_assistant_tokens_mask,
            **{**self.special_tokens_map, **kwargs},  # type: ignore[attr-defined]
        )
        if not tokenize:
            return texts if batched else texts[0]
        encoded: BatchEncoding = self(  # type: ignore[operator]
            texts if batched else texts[0],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            add_special_tokens=False,
            return_tensors=return_tensors,
            **(tokenizer_kwargs or {}),
        )
        if not return_dict:
            return encoded["input_ids"]
        if return_assistant_tokens_mask:
            if not encoded.is_fast:
                raise ValueError("return_assistant_tokens_mask=True needs a fast tokenizer, which can align characters")
            rows = [assistant_mask(encoded, i, len(encoded.tokens(i)), spans[i]) for i in range(len(texts))]
            flat = not batched and not return_tensors
            encoded["assistant_masks"] = rows[0] if flat else rows
            encoded.convert_to_tensors(return_tensors)
        return encoded

    def encode_message_with_chat_template(
        self, message: dict[str, Any], conversation_history: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[int]:
        """The ids that one more message adds to a conversation."""
        if kwargs.get("add_generation_prompt"):
            raise ValueError("add_generation_prompt does not go with encoding one message; use apply_chat_template")
        history = conversation_history or []
        with_it: list[int] = self.apply_chat_template([*history, message], tokenize=True, **kwargs)
        if not history:
            return with_it
        without: list[int] = self.apply_chat_template(history, tokenize=True, **kwargs)
        same = next((i for i, (a, b) in enumerate(zip(with_it, without)) if a != b), min(len(with_it), len(without)))
        return with_it[same:]

    def get_chat_template(self, chat_template: str | None = None, tools: list[Any] | None = None) -> str:
        """The template that is meant: a template itself, a named one, the one for tools, or the default.

        Raises:
            ValueError: there is none, or several and none of them is called "default".
        """
        own = self.chat_template
        if isinstance(own, dict):
            if chat_template is not None:
                return own.get(chat_template, chat_template)
            name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name not in own:
                raise ValueError(
                    f"{self!r} has several chat templates and none is called 'default': "
                    f"pass chat_template= one of {sorted(own)} or a template"
                )
            return own[name]
        if chat_template is not None:
            return chat_template
        if own is None:
            raise ValueError(
                "Cannot use chat template functions because tokenizer.chat_template is not set and no template argument "
                "was passed. Set `tokenizer.chat_template`, or pass `chat_template=`."
            )
        return own


def check_generation_arguments(prompt: bool, continued: bool, mask: bool) -> None:
    """Raise ValueError for arguments of apply_chat_template that contradict each other."""
    if continued and prompt:
        raise ValueError("continue_final_message and add_generation_prompt are not compatible: choose one")
    if continued and mask:
        raise ValueError("continue_final_message is not compatible with return_assistant_tokens_mask")
