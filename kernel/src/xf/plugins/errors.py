"""What can be wrong with a plugin: five errors that never stand for one another."""

from __future__ import annotations


class PluginError(ImportError, ValueError):
    """Base of all plugin errors: an ImportError where a name is imported, a ValueError where it is an argument."""


class PluginNotInstalledError(PluginError):
    """No installed distribution offers the name; the text holds the `pip install` line where one is known."""


class PluginImportError(PluginError):
    """A distribution offers the name, but its code failed to import; the original error is chained."""


class PluginDisabledError(PluginError):
    """A distribution offers the name, but the policy (allow, deny) does not let it run; nothing was imported."""


class PluginIncompatibleError(PluginError):
    """A distribution offers the name for another kernel; nothing was imported."""


class PluginConflictError(PluginError):
    """Two distributions offer the name and no setting says which one is meant."""
