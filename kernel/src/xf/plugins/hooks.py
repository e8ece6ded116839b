"""Life-cycle hooks, few and typed; never anything per token or per layer.

A distribution offers them in the group `xf.v1.hooks`; the target is a module or an object whose functions carry
`@hookimpl`:

    [project.entry-points."xf.v1.hooks"]
    audit = "my_package.audit"

    from xf.plugins.hooks import hookimpl

    @hookimpl
    def xf_after_load(model, report): ...

Nothing is imported, pluggy neither, until a hook is called and some distribution offers one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import PluginError, PluginImportError
from .registry import registry, tolerate

if TYPE_CHECKING:
    import pluggy


class HookSpecs:
    """The hooks, their arguments and what becomes of their results."""

    def xf_resolve_checkpoint(self, name: str, revision: str | None) -> str | None:
        """The folder that holds the checkpoint `name`, or None to let others answer. The first answer is taken."""

    def xf_before_load(self, model: Any, checkpoint: Any) -> None:
        """The model is built (on the meta device) and its checkpoint found; no tensor has been read."""

    def xf_after_load(self, model: Any, report: Any) -> None:
        """The weights are in place; `report` accounts for every tensor."""

    def xf_train_event(self, event: str, args: Any, state: Any, control: Any) -> None:
        """An event of the training loop ("on_step_end"), after the callbacks have seen it."""

    def xf_dispatch_chosen(self, model: Any, what: str, name: str) -> None:
        """A model got the implementation `name` for `what`: "attention", "quantizer" or a generation's "cache"."""


FIRST_RESULT = ("xf_resolve_checkpoint",)


def hookimpl(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as the implementation of the hook of its name; options as of pluggy (tryfirst, trylast)."""
    import pluggy

    marker = pluggy.HookimplMarker("xf")
    return marker(**options) if function is None else marker(function, **options)


class _NoHooks:
    """What `hooks()` is while nobody offers any: every call returns what no implementation returns."""

    def __getattr__(self, name: str) -> Any:
        if not hasattr(HookSpecs, name):
            raise AttributeError(f"there is no hook {name!r}", name=name)
        return lambda **arguments: None if name in FIRST_RESULT else []


_NONE = _NoHooks()
_manager: pluggy.PluginManager | None = None
_loaded: dict[str, str] = {}  # name -> target, or the error that it was skipped for


def hooks() -> Any:
    """The hooks to call, by name and with keywords: `hooks().xf_after_load(model=model, report=report)`."""
    offered = registry("hooks").names()
    if not offered and _manager is None:
        return _NONE
    for name in offered:
        if name not in _loaded:
            _loaded[name] = "loading"  # a hook that is called while it loads does not load itself again
            try:
                register(registry("hooks").get(name), name)
                _loaded[name] = "ok"
            except PluginError as error:
                _loaded[name] = str(error)
                tolerate(error)
    return _NONE if _manager is None else _manager.hook


def register(plugin: Any, name: str) -> None:
    """Register the hooks of one object, all or none.

    Raises: PluginImportError where one of them is no hook of xf or has other arguments; nothing stays registered then.
    """
    manager = _get_manager()
    target = plugin() if isinstance(plugin, type) else plugin
    try:
        manager.register(target, name)
        unknown = [
            attribute
            for attribute in dir(target)
            if attribute.startswith("xf_")
            and not hasattr(HookSpecs, attribute)
            and manager.parse_hookimpl_opts(target, attribute) is not None
        ]
        if unknown:
            raise ValueError(f"there is no hook {', '.join(unknown)}")
    except Exception as error:
        if manager.get_plugin(name) is target:
            manager.unregister(target, name)
        raise PluginImportError(f"The hooks {name!r} ({target!r}) cannot be registered: {error}") from error


def unregister(name: str) -> None:
    """Take the hooks called `name` back."""
    _get_manager().unregister(name=name)
    _loaded.pop(name, None)


def _get_manager() -> pluggy.PluginManager:
    global _manager
    if _manager is None:
        import pluggy

        manager = pluggy.PluginManager("xf")
        specification = pluggy.HookspecMarker("xf")
        for name in vars(HookSpecs):
            if name.startswith("xf_"):
                specification(getattr(HookSpecs, name), firstresult=name in FIRST_RESULT)
        manager.add_hookspecs(HookSpecs)
        _manager = manager
    return _manager
