"""Conversations, templates and calls; used by the recording script and by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHAT = [
    {"role": "system", "content": 'Be <b>nice</b> & "good" \u00e9'},
    {"role": "user", "content": "Hi there"},
    {"role": "assistant", "content": " Hello!  "},
]
LONG = [*CHAT, {"role": "user", "content": "More\n\nplease"}, {"role": "assistant", "content": "\U0001f642 yes"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "abc "}, {"type": "image"}]}]
CALLED = [
    *CHAT[:2],
    {
        "role": "assistant",
        "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {"x": [1, "\u00e9"]}}}],
    },
    {"role": "tool", "name": "look", "content": "42"},
]  # fmt: skip

TEMPLATES = {
    path.stem.replace("-", " "): path.read_text("utf-8")
    for path in sorted((Path(__file__).parent / "templates").glob("*.jinja"))
}


def weather(place: str, unit: str = "c") -> float:
    """Tell the weather.

    Args:
        place: Where, for example "Paris, France"
        unit: The unit of temperature (choices: ["c", "f"])

    Returns:
        The temperature
    """
    raise NotImplementedError


CALLS: list[tuple[str, Any, dict[str, Any]]] = [
    ("chatml", CHAT, {"tokenize": False}),
    ("chatml", CHAT[:2], {"tokenize": False, "add_generation_prompt": True}),
    ("chatml", CHAT, {}),
    ("chatml", [CHAT, LONG], {"padding": True, "return_dict": True}),
    ("chatml", [CHAT, LONG], {"tokenize": False}),
    ("chatml", LONG, {"truncation": True, "max_length": 20}),
    ("chatml", [CHAT, LONG], {"padding": "max_length", "max_length": 400, "return_dict": True, "return_tensors": "np"}),
    ("chatml", CHAT, {"return_dict": True, "tokenizer_kwargs": {"return_offsets_mapping": True}}),
    ("chatml", CHAT, {"tokenize": False, "continue_final_message": True}),
    (
        "chatml",
        [*CHAT[:2], {"role": "assistant", "content": "Hello\n"}],
        {"tokenize": False, "continue_final_message": True},
    ),
    (
        "chatml",
        [*CHAT[:2], {"role": "assistant", "content": "Hi there"}],
        {"tokenize": False, "continue_final_message": True},
    ),
    ("chatml", CHAT, {"continue_final_message": True, "add_generation_prompt": True}),
    ("marked", CHAT, {"tokenize": False}),
    ("marked", CHAT, {"return_dict": True, "return_assistant_tokens_mask": True}),
    ("marked", LONG, {"return_dict": True, "return_assistant_tokens_mask": True, "truncation": True, "max_length": 70}),
    ("marked", [CHAT, LONG], {"return_dict": True, "return_assistant_tokens_mask": True, "padding": True}),
    ("marked", LONG, {"return_dict": True, "return_assistant_tokens_mask": True, "return_tensors": "np"}),
    ("marked", CHAT, {"return_assistant_tokens_mask": True}),
    ("marked", CHAT, {"return_dict": True, "tokenize": False}),
    ("marked", CHAT, {"continue_final_message": True, "return_dict": True, "return_assistant_tokens_mask": True}),
    ("marked in a loop", LONG, {"return_dict": True, "return_assistant_tokens_mask": True}),
    ("turns", CHAT, {"tokenize": False}),
    ("turns", LONG, {"tokenize": False}),
    ("turns", [CHAT[1], CHAT[1]], {"tokenize": False}),
    ("tools", CALLED, {"tokenize": False, "tools": [weather, {"type": "function", "function": {"name": "look"}}]}),
    ("tools", CHAT, {"tokenize": False, "documents": [{"title": "T", "text": "D"}]}),
    ("tools", CHAT, {"tokenize": False, "tools": [3]}),
    ("tools", CHAT, {"tokenize": False, "documents": [3]}),
    ("json", CHAT, {"tokenize": False}),
    ("loops", LONG, {"tokenize": False}),
    ("macros", CHAT, {"tokenize": False}),
    ("white", CHAT, {"tokenize": False}),
    ("names", CHAT, {"tokenize": False, "foo": "FOO", "eos_token": "E!"}),
    ("part", PARTS, {"tokenize": False, "continue_final_message": True}),
    ("last", [{"role": "user", "content": "A  "}], {"tokenize": False, "continue_final_message": True}),
    ("changed", CHAT, {"tokenize": False, "continue_final_message": True}),
    ("undefined", CHAT, {"tokenize": False}),
    ("syntax", CHAT, {"tokenize": False}),
    ("private", CHAT, {"tokenize": False}),
    ("changes", CHAT, {"tokenize": False}),
    ("strings", CHAT, {"tokenize": False}),
]


def backend() -> Any:
    """Bytes, and nothing merged."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocab = {token: i for i, token in enumerate(["<s>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return tokenizer


NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>", "padding_side": "left"}


def outcome(tokenizer: Any, call: tuple[str, Any, dict[str, Any]]) -> Any:
    """What a call returns as JSON could hold it, or "error"."""
    template, conversation, keywords = call
    try:
        found = tokenizer.apply_chat_template(conversation, chat_template=TEMPLATES[template], **keywords)
    except Exception:
        return "error"

    def plain(value: Any) -> Any:
        if hasattr(value, "items"):
            return {key: plain(inner) for key, inner in value.items()}
        if hasattr(value, "tolist"):
            return value.tolist()
        return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    return plain(found)
