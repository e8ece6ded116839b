"""Documented module paths: `xf.modeling_outputs`, `xf.image_transforms`, `xf.models.bert.modeling_bert`.

A finder, asked after all others, for names below `xf.` that no file of the kernel has. A path is, in this order,
  1. what a plugin's `module` entry point says, or the kernel's table of aliases: the very module it stands for;
  2. a file of a model's folder (`models.bert.modeling_bert`): the modules that the plugin's entry points name;
  3. a folder of documented names (`xf.integrations`): a package whose attributes are those of `xf` itself.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from ._names import ALIASES, FOLDERS

TYPE_CHECKING = False  # see xf/__init__.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# the first words of a file's name in a model's folder -> the registries whose records name the module
_PARTS = {
    "configuration": "config",
    "modeling": "model.",
    "tokenization": "tokenizer",
    "image_processing": "image_processor",
    "video_processing": "video_processor",
    "feature_extraction": "feature_extractor",
    "processing": "processor",
}


def targets(path: str) -> list[str] | None:
    """The modules that a path below `xf.` stands for; None where it is not a documented path.

    Raises: PluginError where a plugin is known to provide it, but cannot be used.
    """
    import importlib.util

    from .plugins import known
    from .plugins.registry import registry

    modules = registry("module")
    if modules.find(path) is not None or (path not in ALIASES and known.owners("module", path)):
        return [modules.locate(path).module]
    if path in ALIASES:
        return [ALIASES[path]]
    if path in FOLDERS:
        return FOLDERS[path].split()
    parent, _, name = path.rpartition(".")
    for target in getattr(sys.modules.get(f"xf.{parent}"), "_targets", ()):
        if hasattr(importlib.import_module(target), "__path__") and importlib.util.find_spec(f"{target}.{name}"):
            return [f"{target}.{name}"]
    if path.startswith("models."):
        return _model_modules(path.split(".")[1:])
    return [] if _is_folder(path) else None


def _is_folder(path: str) -> bool:
    """Whether there are documented paths below this one."""
    from .plugins.registry import registry

    return path in FOLDERS or any(name.startswith(path + ".") for name in (*ALIASES, *registry("module").names()))


def _model_modules(parts: list[str]) -> list[str] | None:
    from .plugins import known
    from .plugins.index import index
    from .plugins.registry import registry

    found = index()
    groups = found.groups
    names = dict.fromkeys((parts[0], parts[0].replace("_", "-")))
    if not any(name in found.group(group) for name in names for group in groups):
        if any(known.owners("config", name) for name in names):
            registry("config").locate(next(name for name in names if known.owners("config", name)))
        return None
    if len(parts) == 1:
        return []
    for prefix, wanted in _PARTS.items():
        if parts[1].startswith(prefix + "_"):
            matching = [group for group in groups if group == wanted or wanted[-1] == "." and wanted in group]
            records = [registry(group).find(name) for group in matching for name in names]
            return sorted({record.module for record in records if record is not None and record.status == "ok"}) or None
    return None


class _Folder(ModuleType):
    """A package without files: its attributes are those of the modules it stands for, then those of `xf`."""

    _targets: list[str]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)
        for target in self._targets:
            module = importlib.import_module(target)
            if hasattr(module, name):
                return getattr(module, name)
        full = f"{self.__name__}.{name}"
        return importlib.import_module(full) if targets(full[len("xf.") :]) is not None else getattr(_xf(), name)


def _xf() -> ModuleType:
    return sys.modules["xf"]


class Finder:
    """The finder, and the loader of what it finds."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        found = targets(fullname[len("xf.") :]) if fullname.startswith("xf.") else None
        if found is None:
            return None
        return ModuleSpec(fullname, Finder, is_package=True, loader_state=found)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        return _Folder(spec.name, "Documented names of this path.")

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        assert module.__spec__ is not None
        found: list[str] = module.__spec__.loader_state
        module.__dict__["_targets"] = found
        if len(found) == 1 and not _is_folder(module.__name__[len("xf.") :]):
            only = importlib.import_module(found[0])
            if not hasattr(only, "__path__"):  # a package stays a folder: its files must not be imported a second time
                sys.modules[module.__name__] = only  # the import system takes what stands here when this returns


def install() -> None:
    """Ask the finder after all others; once a process."""
    if not any(getattr(finder, "__module__", "") == __name__ for finder in sys.meta_path):
        sys.meta_path.append(Finder)
