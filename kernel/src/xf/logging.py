"""Logging (spec: main_classes/logging.md): one root logger, "xf", whose level and handlers are set here."""

from __future__ import annotations

import functools
import logging as _logging
import os
import sys
import threading
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
DEFAULT = WARNING
EXPLICIT_FORMAT = "[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"
log_levels = {
    "detail": DEBUG, "debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL,
    "fatal": FATAL,
}  # fmt: skip

_lock = threading.Lock()
_handler: _logging.Handler | None = None
_progress_bar = True


class Logger(_logging.Logger):
    """A logger that can also advise, and say a thing once."""

    def warning_advice(self, message: str, *args: Any, **kwargs: Any) -> None:
        """A warning that XF_NO_ADVISORY_WARNINGS turns off."""
        if not _is_true(os.environ.get("XF_NO_ADVISORY_WARNINGS", "")):
            self.warning(message, *args, **{"stacklevel": 2, **kwargs})

    def warning_once(self, message: str, *args: Any, **kwargs: Any) -> None:
        """A warning that is given once a process for the same text and arguments."""
        if _first_time(self.name, message, args):
            self.warning(message, *args, **{"stacklevel": 2, **kwargs})

    def info_once(self, message: str, *args: Any, **kwargs: Any) -> None:
        """The same at the level INFO."""
        if _first_time(self.name, message, args):
            self.info(message, *args, **{"stacklevel": 2, **kwargs})


@functools.lru_cache(maxsize=None)
def _remember(*what: Any) -> list[bool]:
    return [True]


def _first_time(name: str, message: str, args: tuple[Any, ...]) -> bool:
    flag = _remember(name, str(message), repr(args))
    first, flag[0] = flag[0], False
    return first


def _is_true(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def _initial_level() -> int:
    wanted = os.environ.get("XF_VERBOSITY")
    if wanted and wanted.lower() not in log_levels:
        _logging.getLogger().warning(
            f"Unknown option XF_VERBOSITY={wanted}, it must be one of: {', '.join(log_levels)}"
        )
    return log_levels.get((wanted or "").lower(), DEFAULT)


def _root() -> _logging.Logger:
    """The library's root logger, set up on the first call."""
    global _handler
    with _lock:
        root = _logging.getLogger(ROOT)
        if _handler is None:
            _handler = _logging.StreamHandler()  # to sys.stderr as it is at this moment
            root.addHandler(_handler)
            root.setLevel(_initial_level())
            if os.environ.get("XF_VERBOSITY") == "detail":
                _handler.setFormatter(_logging.Formatter("[%(levelname)s|%(pathname)s:%(lineno)s] %(asctime)s >> %(message)s"))
            root.propagate = _is_true(os.environ.get("CI", ""))
        return root


def get_logger(name: str | None = None) -> Logger:
    """The logger `name`, the library's root logger where no name is given."""
    _root()
    with _lock:
        previous = _logging.getLoggerClass()
        _logging.setLoggerClass(Logger)
        try:
            logger = _logging.getLogger(name or ROOT)
        finally:
            _logging.setLoggerClass(previous)
    if not isinstance(logger, Logger):  # somebody asked the standard library for it first
        logger.__class__ = Logger
    return logger  # type: ignore[return-value]
