"""xf: published checkpoints through a tiny kernel and separately installed plugins.

Every public name, of the kernel and of what is installed beside it, is an attribute of this package; it is imported
when it is asked for, and nothing before that.
"""

from __future__ import annotations

from ._modules import install as _install
from ._names import NAMES
from ._version import VERSION as __version__

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the import, which would double the time of `import xf`
if TYPE_CHECKING:
    from typing import Any

__all__ = ["__version__"]

_install()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'xf' has no attribute {name!r}", name=name)
    import importlib

    module = NAMES.get(name)
    if module is not None:
        value = getattr(importlib.import_module(module), name)
    else:
        from .plugins.registry import load_attribute

        value = load_attribute(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from .plugins.index import index

    return sorted({*globals(), *NAMES, *index().attributes()})
