"""A module whose names are imported when they are asked for (spec: internal/file_utils.md, _LazyModule)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from xf.utils.import_utils import is_backend_available, make_dummy


class _LazyModule(ModuleType):
    """A package over `import_structure`, from `define_import_structure` or a plain {module: names}.

    A name whose backends are missing is a class that says so when it is used.
    """

    def __init__(
        self,
        name: str,
        module_file: str,
        import_structure: Mapping[Any, Any],
        module_spec: ModuleSpec | None = None,
        extra_objects: Mapping[str, Any] | None = None,
        explicit_import_shortcut: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        super().__init__(name)
        plain = not any(isinstance(key, frozenset) for key in import_structure)
        structure: Mapping[frozenset[str], Any] = {frozenset(): import_structure} if plain else import_structure
        self._modules: set[str] = set()
        self._owner: dict[str, str] = {}  # public name -> module
        self._missing: dict[str, list[str]] = {}  # public name -> backends that are not there
        for backends, modules in structure.items():
            missing = sorted(backend for backend in backends if not is_backend_available(backend))
            for module, names in modules.items():
                self._modules |= {module} if not missing else set()
                self._owner |= dict.fromkeys(names, module)
                self._missing |= dict.fromkeys(names, missing) if missing else {}
        for module, names in (explicit_import_shortcut or {}).items():
            self._owner |= dict.fromkeys(names, module)
        self._objects = dict(extra_objects or {})
        self.__all__ = sorted(self._modules | set(self._owner))
        self.__file__, self.__spec__ = module_file, module_spec
        self.__path__ = [os.path.dirname(module_file)]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)
        if name in self._objects:
            return self._objects[name]
        if name in self._missing:
            value: Any = make_dummy(name, self.__name__, self._missing[name])
        elif name in self._owner:
            value = getattr(importlib.import_module(f".{self._owner[name]}", self.__name__), name)
        elif name in self._modules:
            value = importlib.import_module(f".{name}", self.__name__)
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)
        setattr(self, name, value)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.__name__,)
