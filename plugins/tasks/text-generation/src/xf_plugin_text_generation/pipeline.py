"""The task text-generation: a causal language model goes on with texts or conversations.

Source: spec main_classes/pipelines.md and tasks/language_modeling.md. Shapes: B batch, R sequences for each input,
T tokens.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from types import GeneratorType
from typing import Any, ClassVar

from xf_pipelines.generation import EXACT_TEXT, generation_arguments, stop_token
from xf_pipelines.pipeline import Pipeline


class ReturnType(enum.Enum):
    """What a result holds: ids, the new text, or the input with the new text."""

    TENSORS = 0
    NEW_TEXT = 1
    FULL_TEXT = 2


class Chat:
    """A conversation: messages with a role and a content. ValueError for anything else."""

    def __init__(self, messages: Any) -> None:
        for message in messages:
            if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
                raise ValueError("When passing chat dicts as input, each dict must have a 'role' and 'content' key.")
        self.messages = list(messages)


class TextGenerationPipeline(Pipeline):
    """Continue texts or conversations with a causal language model.

    An input is a text, or a conversation: a list of {"role": ..., "content": ...}. A result is a list with a dictionary
    for each sequence: {"generated_text": str}, for conversations the messages with the answer; or, with
    `return_tensors=True`, {"generated_token_ids": list[int]}.
    """

    task = "text-generation"
    auto_model_heads = ("causal_lm",)
    loads = ("tokenizer",)
    default_model: ClassVar[str] = "openai-community/gpt2@607a30d"
    default_family = "gpt2"
    calls_generate = True
    padding_side = "left"  # a model goes on after the last position, which must not be padding
    generation_defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}

    def _sanitize_parameters(
        self,
        return_full_text: bool | None = None,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: ReturnType | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        prefix: str | None = None,
        handle_long_generation: str | None = None,
        stop_sequence: str | None = None,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        continue_final_message: bool | None = None,
        tokenizer_encode_kwargs: dict[str, Any] | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the parameters of a call.

        Args:
            return_full_text: begin the result with the input (the default).
            return_tensors: give ids rather than text.
            return_text: say so that text is wanted, which is the default.
            return_type: the three above as one value.
            clean_up_tokenization_spaces: remove spaces before punctuation; by default not from structured output.
            prefix: put before each text, and left out of the result.
            handle_long_generation: "hole" drops the beginning of an input that leaves too little room.
            stop_sequence: stop after its first token (`stop_strings` stops after any string).
            truncation: cut inputs that are longer than `max_length`, or than the model takes.
            max_length: of input and answer together, in tokens.
            continue_final_message: go on with the last message; by default if it is the assistant's.
            tokenizer_encode_kwargs: arguments of the tokenizer, or of `apply_chat_template` (`tools`, ...).
            generate_kwargs: arguments of `generate`.
        """
        before = _given(
            truncation=truncation, max_length=max_length, prefix=prefix, continue_final_message=continue_final_message,
            tokenizer_encode_kwargs=tokenizer_encode_kwargs,
            add_special_tokens=generate_kwargs.pop("add_special_tokens", None),
            padding=generate_kwargs.pop("padding", None),
        )  # fmt: skip
        if handle_long_generation is not None:
            if handle_long_generation != "hole":
                raise ValueError(f"handle_long_generation must be None or 'hole', not {handle_long_generation!r}")
            before |= {"handle_long_generation": "hole", "room": generate_kwargs.get("max_new_tokens")}
        if max_length is not None:
            generate_kwargs["max_length"] = max_length
        if prefix:
            before["prefix"] = prefix
        if stop_sequence is not None:
            generate_kwargs["eos_token_id"] = stop_token(self.tokenizer, stop_sequence)
        kind = _return_type(return_full_text, return_tensors, return_text, return_type)
        if clean_up_tokenization_spaces is None and not EXACT_TEXT.isdisjoint(generate_kwargs):
            clean_up_tokenization_spaces = False
        after = _given(
            return_type=kind,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            continue_final_message=continue_final_message,
        )
        return before, generate_kwargs, after

    def __call__(self, text_inputs: Any, **kwargs: Any) -> Any:
        """Continue a text, a conversation, or several of either; see the class for inputs and results.

        Raises: ValueError for inputs that are neither, or for parameters that contradict each other.
        """
        if isinstance(text_inputs, tuple):
            text_inputs = list(text_inputs)
        if _is_messages(text_inputs):
            text_inputs = Chat(text_inputs)
        elif isinstance(text_inputs, GeneratorType):
            text_inputs = _one_by_one(text_inputs)
        return super().__call__(text_inputs, **kwargs)

    def preprocess(
        self,
        input_: Any,
        prefix: str | None = None,
        handle_long_generation: str | None = None,
        room: int | None = None,
        continue_final_message: bool | None = None,
        tokenizer_encode_kwargs: dict[str, Any] | None = None,
        **tokenizer_kwargs: Any,
    ) -> Any:
        tokenizer_kwargs |= tokenizer_encode_kwargs or {}
        if isinstance(input_, (list, tuple)):
            input_ = Chat(input_)
        if isinstance(input_, Chat):
            tokenizer_kwargs.pop("add_special_tokens", None)  # the template writes them
            goes_on = _goes_on(input_, continue_final_message)
            inputs = self.tokenizer.apply_chat_template(
                input_.messages,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
                return_dict=True,
                return_tensors="pt",
                **tokenizer_kwargs,
            )
        elif isinstance(input_, str):
            prefix = self.prefix or "" if prefix is None else prefix
            inputs = self.tokenizer(prefix + input_, return_tensors="pt", **tokenizer_kwargs)
        else:
            raise ValueError(f"text-generation takes texts or conversations, not {type(input_).__name__}: {input_!r}")
        inputs = dict(inputs)
        if handle_long_generation == "hole":
            self._make_room(inputs, room)
        return {**inputs, "prompt_text": input_}

    def _make_room(self, inputs: dict[str, Any], room: int | None) -> None:
        """Drop tokens from the beginning, so that the input and the answer fit the model."""
        limit, length = self.tokenizer.model_max_length, inputs["input_ids"].shape[-1]
        if room is None:
            room = self.generation_config.max_new_tokens
        if room is None:
            room = self.generation_config.max_length - length
        if room < 0:
            raise ValueError("the input alone is longer than max_length: there is no room for an answer")
        if length + room > limit:
            if limit <= room:
                raise ValueError(f"an answer of {room} tokens leaves no room for an input: the model takes {limit}")
            for name, value in inputs.items():
                inputs[name] = value[:, -(limit - room) :]

    def _forward(self, input_tensors: Any, **generate_kwargs: Any) -> Any:
        inputs = dict(input_tensors)
        prompts = inputs.pop("prompt_text")
        input_ids_BT = inputs["input_ids"]
        count = input_ids_BT.shape[0]
        if input_ids_BT.shape[1] == 0:  # nothing to go on with: the model begins by itself
            inputs = {}
        outputs = self.model.generate(**inputs, **generation_arguments(self, generate_kwargs))
        sequences = getattr(outputs, "sequences", outputs)
        sequences_BRT = sequences.reshape(count, -1, sequences.shape[-1])
        return {
            "generated_sequence": sequences_BRT,
            "input_ids": input_ids_BT,
            "attention_mask": inputs.get("attention_mask"),
            "prompt_text": prompts,
        }

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.FULL_TEXT,
        clean_up_tokenization_spaces: bool = True,
        continue_final_message: bool | None = None,
    ) -> list[dict[str, Any]]:
        prompt, prompt_ids_T, mask_T = model_outputs["prompt_text"], model_outputs["input_ids"][0], None
        if model_outputs.get("attention_mask") is not None:
            mask_T = model_outputs["attention_mask"][0].bool()
        prompt = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
        records = []
        for sequence_T in model_outputs["generated_sequence"][0]:
            length = prompt_ids_T.shape[0]
            head_T = prompt_ids_T if mask_T is None else prompt_ids_T[mask_T]  # without what a batch padded
            ids = head_T.tolist() + sequence_T[length:].tolist() if length else sequence_T.tolist()
            if return_type is ReturnType.TENSORS:
                records.append({"generated_token_ids": ids})
                continue
            options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": clean_up_tokenization_spaces}
            known = len(self.tokenizer.decode(head_T, **options)) if length else 0
            text: Any = self.tokenizer.decode(ids, **options)[known:]
            if return_type is ReturnType.FULL_TEXT:
                text = _joined(prompt, text, continue_final_message)
            records.append({"generated_text": text})
        return records


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _return_type(
    full_text: bool | None, tensors: bool | None, text: bool | None, kind: ReturnType | None
) -> ReturnType | None:
    """The three flags as one value; ValueError where they contradict each other."""
    if kind is not None and not isinstance(kind, ReturnType):
        raise ValueError(
            f"return_type must be a ReturnType, not {kind!r}; return_full_text and return_tensors say the same"
        )
    for name, value, other in (("return_text", text, full_text), ("return_tensors", tensors, full_text)):
        if value is not None and other is not None and kind is None:
            raise ValueError(f"`{name}` is mutually exclusive with `return_full_text`")
    if tensors is not None and text is not None and kind is None:
        raise ValueError("`return_text` is mutually exclusive with `return_tensors`")
    if kind is None and full_text is not None:
        kind = ReturnType.FULL_TEXT if full_text else ReturnType.NEW_TEXT
    if kind is None and tensors is not None:
        kind = ReturnType.TENSORS
    return kind


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _one_by_one(inputs: Iterator[Any]) -> Iterator[Any]:
    for item in inputs:
        yield Chat(item) if isinstance(item, (list, tuple)) else item


def _goes_on(chat: Chat, asked: bool | None) -> bool:
    """Whether the last message is to be continued."""
    return chat.messages[-1]["role"] == "assistant" if asked is None else asked


def _joined(prompt: Any, text: str, continue_final_message: bool | None) -> Any:
    """The input with the answer."""
    if isinstance(prompt, str):
        return prompt + text
    *before, last = prompt.messages
    if _goes_on(prompt, continue_final_message):
        return [*before, {"role": last["role"], "content": last["content"] + text}]
    return [*before, last, {"role": "assistant", "content": text}]
