"""Logging (spec: main_classes/logging.md): one root logger, "xf", whose level and handlers are set here."""

from __future__ import annotations

import logging as _logging
import os
import threading
from collections.abc import Iterable, Iterator
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING
from typing import Any

__all__ = [
    "CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "WARN", "WARNING", "add_handler", "captureWarnings",
    "disable_default_handler", "disable_progress_bar", "disable_propagation", "enable_default_handler",
    "enable_explicit_format", "enable_progress_bar", "enable_propagation", "get_log_levels_dict", "get_logger",
    "get_verbosity", "is_progress_bar_enabled", "log_levels", "remove_handler", "reset_format", "set_verbosity",
    "set_verbosity_debug", "set_verbosity_error", "set_verbosity_info", "set_verbosity_warning", "tqdm",
]  # fmt: skip

ROOT = "xf"
EXPLICIT_FORMAT = "[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"
log_levels = {
    "detail": DEBUG,  # debug, with the full path of the file
    "debug": DEBUG,
    "info": INFO,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
    "fatal": FATAL,
}

_lock = threading.RLock()
_handler: _logging.Handler | None = None
_progress_bar = True
_said: set[tuple[str, str, str]] = set()


class _Advice:
    """What our loggers do beyond the standard library's."""

    def warning_advice(self: Any, message: object, *args: Any, **kwargs: Any) -> None:
        """A warning that XF_NO_ADVISORY_WARNINGS turns off."""
        if not _is_true("XF_NO_ADVISORY_WARNINGS"):
            self.warning(message, *args, **{"stacklevel": 2, **kwargs})

    def warning_once(self: Any, message: object, *args: Any, **kwargs: Any) -> None:
        """A warning that is given once a process for the same text and arguments."""
        if _first_time(self.name, message, args):
            self.warning(message, *args, **{"stacklevel": 2, **kwargs})

    def info_once(self: Any, message: object, *args: Any, **kwargs: Any) -> None:
        """The same at the level INFO."""
        if _first_time(self.name, message, args):
            self.info(message, *args, **{"stacklevel": 2, **kwargs})


class Logger(_Advice, _logging.Logger):
    """A logger that can also advise, and say a thing once."""


def _first_time(name: str, message: object, args: tuple[Any, ...]) -> bool:
    what = (name, str(message), repr(args))
    with _lock:
        first = what not in _said
        _said.add(what)
    return first


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def _root() -> _logging.Logger:
    """The library's root logger, set up on the first call."""
    global _handler
    with _lock:
        root = _logging.getLogger(ROOT)
        if _handler is None:
            _handler = _logging.StreamHandler()  # to sys.stderr as it is at this moment
            root.addHandler(_handler)
            root.propagate = _is_true("CI")  # test runners capture what reaches Python's root logger
            wanted = os.environ.get("XF_VERBOSITY", "").strip().lower()
            root.setLevel(log_levels.get(wanted, WARNING))
            if wanted == "detail":
                _handler.setFormatter(_logging.Formatter(EXPLICIT_FORMAT.replace("filename", "pathname")))
            elif wanted and wanted not in log_levels:
                root.warning(f"XF_VERBOSITY={wanted!r} is not a level; it must be one of: {', '.join(log_levels)}")
        return root


def get_logger(name: str | None = None) -> Logger:
    """The logger `name`; the library's root logger, "xf", where no name is given."""
    _root()
    logger: Any = _logging.getLogger(name or ROOT)
    if not isinstance(logger, _Advice):
        plain = type(logger) is _logging.Logger
        logger.__class__ = Logger if plain else type("Logger", (_Advice, type(logger)), {})
    found: Logger = logger
    return found


def get_log_levels_dict() -> dict[str, int]:
    """The names that XF_VERBOSITY understands."""
    return log_levels


def get_verbosity() -> int:
    """The level of the library's root logger: 50 critical, 40 error, 30 warning, 20 info, 10 debug."""
    return _root().getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Set the level of the library's root logger, e.g. `logging.INFO`."""
    _root().setLevel(verbosity)


def set_verbosity_info() -> None:
    """Set the level to INFO."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Set the level to WARNING, the default."""
    set_verbosity(WARNING)


def set_verbosity_debug() -> None:
    """Set the level to DEBUG."""
    set_verbosity(DEBUG)


def set_verbosity_error() -> None:
    """Set the level to ERROR."""
    set_verbosity(ERROR)


def _default_handler() -> _logging.Handler:
    _root()
    assert _handler is not None
    return _handler


def enable_default_handler() -> None:
    """Write to stderr again."""
    _root().addHandler(_default_handler())


def disable_default_handler() -> None:
    """Do not write to stderr."""
    root = _root()
    root.removeHandler(_default_handler())
    if not root.handlers:
        root.addHandler(_logging.NullHandler())  # or Python's handler of last resort writes there


def add_handler(handler: _logging.Handler) -> None:
    """Add a handler to the library's root logger."""
    _root().addHandler(handler)


def remove_handler(handler: _logging.Handler) -> None:
    """Remove a handler of the library's root logger. Raises ValueError where it has none such."""
    if handler not in _root().handlers:
        raise ValueError(f"{handler!r} is not a handler of the logger {ROOT!r}.")
    _root().removeHandler(handler)


def enable_propagation() -> None:
    """Hand records on to Python's root logger. Disable the default handler too, or they appear twice."""
    _root().propagate = True


def disable_propagation() -> None:
    """Do not hand records on to Python's root logger, the default."""
    _root().propagate = False


def enable_explicit_format() -> None:
    """Write level, file, line and time before each message."""
    for handler in _root().handlers:
        handler.setFormatter(_logging.Formatter(EXPLICIT_FORMAT))


def reset_format() -> None:
    """Write messages as they are."""
    for handler in _root().handlers:
        handler.setFormatter(None)


def captureWarnings(capture: bool) -> None:
    """Let the `warnings` module write through our handlers, at our level; False ends it."""
    logger = get_logger("py.warnings")
    for handler in _root().handlers if not logger.handlers else ():
        logger.addHandler(handler)
    logger.setLevel(_root().level)
    _logging.captureWarnings(capture)


class EmptyTqdm:
    """A progress bar that shows nothing."""

    def __init__(self, iterable: Iterable[Any] | None = None, *args: Any, **kwargs: Any) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable or ())

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None

    def __enter__(self) -> EmptyTqdm:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def tqdm(*args: Any, **kwargs: Any) -> Any:
    """A progress bar, or one that shows nothing after `disable_progress_bar`."""
    if not _progress_bar:
        return EmptyTqdm(*args, **kwargs)
    from huggingface_hub.utils.tqdm import tqdm as bar

    return bar(*args, **kwargs)  # type: ignore[no-untyped-call]


def is_progress_bar_enabled() -> bool:
    """Whether progress bars are shown."""
    return _progress_bar


def enable_progress_bar() -> None:
    """Show progress bars, of downloads too."""
    _set_progress_bar(True)


def disable_progress_bar() -> None:
    """Show no progress bars, of downloads neither."""
    _set_progress_bar(False)


def _set_progress_bar(enabled: bool) -> None:
    global _progress_bar
    _progress_bar = enabled
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    (enable_progress_bars if enabled else disable_progress_bars)()
