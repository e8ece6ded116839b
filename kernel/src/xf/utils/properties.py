"""`cached_property`: computed once per object, and read-only afterwards."""

from __future__ import annotations

from typing import Any


class cached_property(property):
    """A property that remembers its value in the object, under `__cached_<name>`."""

    def __get__(self, obj: Any, objtype: type | None = None) -> Any:
        if obj is None:
            return self
        if self.fget is None:
            raise AttributeError("unreadable attribute")
        name = f"__cached_{self.fget.__name__}"
        if name not in obj.__dict__:
            obj.__dict__[name] = self.fget(obj)
        return obj.__dict__[name]
