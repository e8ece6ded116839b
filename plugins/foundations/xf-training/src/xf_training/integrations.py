"""The callbacks of installed plugins that report to a tracker of experiments: what `report_to` names."""

from __future__ import annotations

from collections.abc import Sequence

from .callback import TrainerCallback

DISTRIBUTION = "xf-training"


def integrations() -> list[str]:
    """Names of the reporting callbacks that are installed and may run; those of this package are none of them."""
    from xf.plugins import registry

    records = registry("callback").records()
    return [record.name for record in records if record.status == "ok" and record.distribution != DISTRIBUTION]


def find_callbacks(names: Sequence[str] | None = None) -> list[type[TrainerCallback]]:
    """The classes that installed plugins register under `names`; of all reporting integrations where it is None.

    Raises: the plugin errors for a name that cannot be used; an integration nobody asked for is skipped with a warning.
    """
    from xf.plugins import PluginError, registry
    from xf.plugins.registry import tolerate

    callbacks = registry("callback")
    if names is not None:
        return [callbacks.get(name) for name in names]
    found = []
    for name in integrations():
        try:
            found.append(callbacks.get(name))
        except PluginError as error:
            tolerate(error)
    return found
