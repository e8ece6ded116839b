"""The documented logging module."""

from __future__ import annotations

import logging as std
import os
import subprocess
import sys
import warnings

import pytest

from xf import logging


@pytest.fixture(autouse=True)
def as_before():
    level, propagate, handlers = (
        logging.get_verbosity(),
        logging.get_logger().propagate,
        list(logging.get_logger().handlers),
    )
    yield
    root = logging.get_logger()
    logging.set_verbosity(level)
    root.propagate, root.handlers = propagate, handlers
    logging.reset_format()
    logging.captureWarnings(False)
    std.getLogger("py.warnings").handlers.clear()


@pytest.fixture
def lines():
    found: list[str] = []
    handler = std.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logging.add_handler(handler)
    yield found
    logging.remove_handler(handler)


def run(code: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XF_", "CI"))}
    done = subprocess.run([sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_warnings_are_shown_and_information_is_not(lines):
    logger = logging.get_logger("xf.some.module")
    logger.info("quiet")
    logger.warning("loud")
    assert lines == ["loud"]
    logging.set_verbosity_info()
    logger.info("now %s", "heard")
    assert lines[1:] == ["now heard"]


def test_every_setter_sets_the_level_it_is_named_after():
    for name in ("debug", "info", "warning", "error"):
        getattr(logging, f"set_verbosity_{name}")()
        assert logging.get_verbosity() == getattr(logging, name.upper()) == logging.log_levels[name]
    assert (logging.CRITICAL, logging.FATAL, logging.WARN) == (50, 50, 30)
    assert set(logging.get_log_levels_dict()) == {"detail", "debug", "info", "warning", "error", "critical", "fatal"}


@pytest.mark.parametrize(
    "value, level", [("debug", 10), ("INFO", 20), ("error", 40), ("critical", 50), ("fatal", 50), ("", 30)]
)
def test_the_environment_sets_the_first_level(value, level):
    assert run(f"from xf import logging; assert logging.get_verbosity() == {level}", XF_VERBOSITY=value) == ""


def test_a_level_that_is_none_is_said_and_not_taken():
    said = run("from xf import logging; assert logging.get_verbosity() == 30", XF_VERBOSITY="loud")
    assert "XF_VERBOSITY='loud' is not a level; it must be one of: detail, debug, info" in said


def test_messages_go_to_stderr_as_they_are_or_with_their_place():
    code = "from xf import logging; {}; logging.get_logger('xf.m').warning('hello')"
    assert run(code.format("pass")) == "hello\n"
    assert "[WARNING|<string>:1]" in run(code.format("logging.enable_explicit_format()"))
    assert run(code.format("logging.enable_explicit_format(); logging.reset_format()")) == "hello\n"
    assert run(code.format("logging.disable_default_handler()")) == ""
    assert run(code.format("logging.disable_default_handler(); logging.enable_default_handler()")) == "hello\n"
    assert "[WARNING|" in run(code.format("pass"), XF_VERBOSITY="detail")


def test_advice_can_be_turned_off(lines, monkeypatch):
    logger = logging.get_logger("xf.advice")
    monkeypatch.setenv("XF_NO_ADVISORY_WARNINGS", "0")
    logger.warning_advice("take care")
    monkeypatch.setenv("XF_NO_ADVISORY_WARNINGS", "1")
    logger.warning_advice("take more care")
    assert lines == ["take care"]


def test_once_is_once_for_the_same_text_and_arguments(lines):
    logging.set_verbosity_info()
    logger = logging.get_logger("xf.once")
    for _ in range(3):
        logger.warning_once("one %s", 1)
        logger.warning_once("one %s", 2)
        logger.info_once("also one")
    assert lines == ["one 1", "one 2", "also one"]


def test_a_logger_that_the_standard_library_made_first_can_advise_too(lines):
    class Own(std.Logger):
        pass

    std.setLoggerClass(Own)
    try:
        std.getLogger("xf.made.first")
    finally:
        std.setLoggerClass(std.Logger)
    logger = logging.get_logger("xf.made.first")
    logger.warning_advice("still works")
    assert isinstance(logger, Own) and lines == ["still works"]


def test_handlers_and_propagation():
    handler = std.NullHandler()
    with pytest.raises(ValueError, match="not a handler"):
        logging.remove_handler(handler)
    logging.enable_propagation()
    assert logging.get_logger().propagate
    logging.disable_propagation()
    assert not logging.get_logger().propagate
    assert run("from xf import logging; assert logging.get_logger().propagate", CI="1") == ""


def test_warnings_follow_the_verbosity_when_they_are_captured(lines):
    logging.captureWarnings(True)
    warnings.warn("old way", FutureWarning, stacklevel=1)
    assert any("old way" in line for line in lines)
    logging.set_verbosity_error()
    logging.captureWarnings(True)
    warnings.warn("older way", FutureWarning, stacklevel=1)
    assert not any("older way" in line for line in lines)


def test_progress_bars_can_be_turned_off():
    from huggingface_hub.utils import are_progress_bars_disabled

    try:
        logging.disable_progress_bar()
        assert not logging.is_progress_bar_enabled() and are_progress_bars_disabled()
        with logging.tqdm(range(3)) as bar:
            bar.update(1)
            bar.set_postfix(a=1)
            assert list(bar) == [0, 1, 2]
        assert list(logging.tqdm(total=3)) == []
    finally:
        logging.enable_progress_bar()
    assert logging.is_progress_bar_enabled() and not are_progress_bars_disabled()
    assert list(logging.tqdm(range(3), disable=True)) == [0, 1, 2]


def test_threads_that_start_together_get_one_handler():
    code = (
        "import threading; from xf import logging\n"
        "threads = [threading.Thread(target=logging.get_logger, args=(f'xf.{i}',)) for i in range(20)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(logging.get_logger().handlers) == 1"
    )
    assert run(code) == ""
