"""Calls of the pipeline; used by the recording script and by the tests."""

from __future__ import annotations

from typing import Any

CALLS: list[tuple[Any, dict[str, Any]]] = [
    ("hello [MASK] world", {}),
    (["hello [MASK]", "[MASK] a"], {}),
    (["hello [MASK]"], {}),
    ("hello [MASK]", {"top_k": 2}),
    ("hello [MASK]", {"top_k": 0}),
    ("hello [MASK]", {"targets": ["the", "quick"]}),
    ("hello [MASK]", {"targets": "the"}),
    ("hello [MASK]", {"targets": ["the", "a", "b"], "top_k": 2}),
    ("hello [MASK]", {"targets": ["the", "the"]}),
    ("hello [MASK]", {"targets": ["transformerszz", "the"]}),
    ("hello [MASK]", {"targets": ["[UNK]"]}),
    ("[MASK] hello [MASK]", {}),
    ("[MASK] hello [MASK]", {"targets": ["the", "a"]}),
    (["hello [MASK]", "the quick brown [MASK] fox"], {"batch_size": 2}),
    ("hello world the quick [MASK] fox", {"tokenizer_kwargs": {"padding": "max_length", "max_length": 16}}),
    ("hello world the quick [MASK] fox", {"tokenizer_kwargs": {"truncation": True, "max_length": 4}}),
    ("hello", {}),
    (["hello [MASK]", "hello"], {}),
    ("hello [MASK]", {"targets": []}),
    ("hello [MASK]", {"targets": 5}),
    ({"a": 1}, {}),
    ([], {}),
]


def outcome(pipe: Any, call: tuple[Any, dict[str, Any]]) -> Any:
    """What a call returns, or "error"."""
    inputs, parameters = call
    try:
        return pipe(inputs, **parameters)
    except Exception:
        return "error"
