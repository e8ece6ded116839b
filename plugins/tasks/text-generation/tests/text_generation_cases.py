"""Calls of the pipeline; used by the recording script and by the tests."""

from __future__ import annotations

from typing import Any

CHAT = [{"role": "system", "content": "the world"}, {"role": "user", "content": "hello"}]
ANSWERED = [*CHAT, {"role": "assistant", "content": "the quick"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
GREEDY = {"max_new_tokens": 5, "do_sample": False}
TEMPLATE = (
    "{% for m in messages %}{{ m.role }} : {{ m.content if m.content is string else m.content[0].text }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)

CALLS: list[tuple[Any, dict[str, Any]]] = [
    ("hello world", GREEDY),
    (["hello", "the quick brown fox"], GREEDY),
    ("hello world", {**GREEDY, "return_full_text": False}),
    ("hello world", {**GREEDY, "return_full_text": True}),
    ("hello world", {**GREEDY, "return_tensors": True}),
    ("hello world", {**GREEDY, "return_text": True}),
    ("hello", {"num_return_sequences": 2, "num_beams": 2, "max_new_tokens": 4, "do_sample": False}),
    (["hello", "the quick brown fox jumps"], {**GREEDY, "batch_size": 2}),
    (["hello", "the quick brown fox"], {**GREEDY, "num_return_sequences": 2, "num_beams": 2, "batch_size": 2}),
    ("hello", {**GREEDY, "prefix": "the "}),
    ("hello", {"max_new_tokens": 12, "do_sample": False, "stop_sequence": "o"}),
    ("hello", {**GREEDY, "clean_up_tokenization_spaces": True}),
    ("hello", {**GREEDY, "add_special_tokens": False}),
    ("", GREEDY),
    (CHAT, GREEDY),
    ([CHAT, CHAT[1:]], GREEDY),
    ([CHAT, CHAT[1:]], {**GREEDY, "batch_size": 2}),
    (CHAT, {**GREEDY, "return_full_text": False}),
    (CHAT, {**GREEDY, "return_tensors": True}),
    (CHAT, {"num_return_sequences": 2, "num_beams": 2, "max_new_tokens": 3, "do_sample": False}),
    (ANSWERED, GREEDY),
    (ANSWERED, {**GREEDY, "continue_final_message": False}),
    (CHAT, {**GREEDY, "continue_final_message": True}),
    (PARTS, GREEDY),
    ((CHAT, CHAT), GREEDY),
    ("hello", {**GREEDY, "return_full_text": True, "return_text": True}),
    ("hello", {**GREEDY, "return_tensors": True, "return_text": True}),
    ("hello", {**GREEDY, "return_full_text": True, "return_tensors": True}),
    ("hello", {**GREEDY, "handle_long_generation": "hole"}),
    ("hello", {**GREEDY, "handle_long_generation": "other"}),
    ([{"role": "user"}], GREEDY),
    ({"role": "user", "content": "a"}, GREEDY),
    (5, GREEDY),
    ([None], GREEDY),
    ("hello", {**GREEDY, "nonsense": 1}),
]


def outcome(pipe: Any, call: tuple[Any, dict[str, Any]]) -> Any:
    """What a call returns, or "error"."""
    inputs, parameters = call
    try:
        return pipe(inputs, **parameters)
    except Exception:
        return "error"
