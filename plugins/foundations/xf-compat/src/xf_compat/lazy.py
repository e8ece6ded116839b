"""Packages whose names are imported when asked for (spec: internal/file_utils.md, internal/import_utils.md)."""

from __future__ import annotations

import ast
import importlib
import os
import re
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from xf.utils.import_utils import is_backend_available, make_dummy

ImportStructure = dict[frozenset[str], dict[str, set[str]]]


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


# What every object of a file needs, by the file's name; the first line that fits.
_BY_FILENAME = [
    (r"modeling_tf_.*", ("tf",)),
    (r"modeling_flax_.*", ("flax",)),
    (r"modeling_.*", ("torch",)),
    (r"tokenization_.*_fast", ("tokenizers",)),
    (r"image_processing_.*_fast", ("vision", "torch", "torchvision")),
    (r"image_processing_.*", ("vision",)),
]


def define_import_structure(module_path: str, prefix: str | None = None) -> ImportStructure:
    """What the modules of a folder export, by what it needs: {backends: {module: names}}.

    Read from the source without running it: the names in `__all__`, and the objects that `requires` decorates.
    `prefix` is put before the module names.
    """
    folder = Path(module_path) if os.path.isdir(module_path) else Path(module_path).parent
    structure: ImportStructure = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] == "__init__":
            continue
        needed = next((needs for pattern, needs in _BY_FILENAME if re.fullmatch(pattern, parts[-1])), ())
        module = ".".join([prefix, *parts] if prefix else parts)
        for name, backends in _exports(ast.parse(path.read_text(encoding="utf-8"))).items():
            structure.setdefault(frozenset((*needed, *backends)), {}).setdefault(module, set()).add(name)
    return structure


def _exports(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Exported names with what their decorators require."""
    found: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            found.update({name: () for name in ast.literal_eval(node.value) if name not in found})
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "requires":
                    backends = [ast.literal_eval(k.value) for k in decorator.keywords if k.arg == "backends"]
                    found[node.name] = tuple(backends[0]) if backends else ()
    return found
