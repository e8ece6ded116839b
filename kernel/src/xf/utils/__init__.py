"""Utilities (spec: internal/file_utils.md, internal/import_utils.md), each imported when it is asked for."""

from __future__ import annotations

from typing import Any

_HERE = {
    "ExplicitEnum": "enums",
    "PaddingStrategy": "enums",
    "TensorType": "enums",
    "cached_property": "properties",
    "requires": "import_utils",
    "requires_backends": "import_utils",
}


def __getattr__(name: str) -> Any:
    """A utility, `is_<package>_available`, or any public name of `xf`: `xf.utils.ModelOutput`, `xf.utils.logging`."""
    import importlib
    import importlib.util

    if name in _HERE:
        return getattr(importlib.import_module(f".{_HERE[name]}", __name__), name)
    if name.startswith("is_") and name.endswith("_available"):
        return getattr(importlib.import_module(".import_utils", __name__), name)
    if name.startswith("_") and name != "_LazyModule":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    if importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module("xf"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HERE})
