"""Calls of the pipeline; used by the recording script and by the tests."""

from __future__ import annotations

from typing import Any

CALLS: list[tuple[Any, dict[str, Any]]] = [
    ("hello world", {}),
    (["hello", "the quick brown fox"], {}),
    ("hello", {"return_tensors": True}),
    ("hello world " * 30, {"truncation": True}),
    ("hello world the", {"tokenize_kwargs": {"truncation": True, "max_length": 4}}),
    ("hello", {"tokenize_kwargs": {"padding": "max_length", "max_length": 6}}),
    ("", {}),
]
