"""Plugins: what is installed, which of it may run, and the one object that a name stands for.

>>> from xf.plugins import registry
>>> registry("config").names()          # imports nothing
>>> registry("config").get("bert")      # imports one module
"""

from .errors import (
    PluginConflictError,
    PluginDisabledError,
    PluginError,
    PluginImportError,
    PluginIncompatibleError,
    PluginNotInstalledError,
)
from .index import Record, refresh
from .policy import policy, set_policy
from .registry import Registry, find_attribute, groups, registry

__all__ = [
    "PluginConflictError",
    "PluginDisabledError",
    "PluginError",
    "PluginImportError",
    "PluginIncompatibleError",
    "PluginNotInstalledError",
    "Record",
    "Registry",
    "find_attribute",
    "groups",
    "policy",
    "refresh",
    "registry",
    "set_policy",
]
