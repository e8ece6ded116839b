"""The pytest plugin: throw-away distributions, hidden plugins, blocked sockets, --xf-conformance and its report."""

import json
import socket
import subprocess
import sys

import pytest

from xf.plugins import PluginNotInstalledError, registry
from xf_testing import NetworkUseError, no_network, write_distribution

SOURCE = "from xf.interfaces.attention import *\nBACKEND = AttentionBackend('thrown_away', eager_attention)\n"


def test_a_throw_away_distribution_is_discovered(tmp_plugin):
    tmp_plugin("throw-away", {"xf.v1.attention": {"thrown_away": "throw_away:BACKEND"}}, {"throw_away.py": SOURCE})
    assert registry("attention").find("thrown_away").distribution == "throw-away"
    assert registry("attention").get("thrown_away").name == "thrown_away"


def test_and_is_gone_afterwards():
    assert registry("attention").find("thrown_away") is None
    assert "throw_away" not in sys.modules


def test_hidden_plugins_are_not_found(no_plugins):
    assert registry("config").names() == []
    with pytest.raises(PluginNotInstalledError):
        registry("config").get("bert")


def test_hidden_plugins_leave_throw_away_ones(no_plugins, tmp_plugin):
    tmp_plugin("throw-away", {"xf.v1.attention": {"thrown_away": "throw_away:BACKEND"}}, {"throw_away.py": SOURCE})
    assert "thrown_away" in registry("attention").names()


def test_a_socket_raises():
    with pytest.raises(NetworkUseError, match="example.invalid"), no_network():
        socket.create_connection(("example.invalid", 80))


def test_a_swallowed_attempt_is_still_seen():
    def swallow():
        try:
            socket.socket().connect(("127.0.0.1", 9))
        except AssertionError:
            pass

    with pytest.raises(NetworkUseError, match="127.0.0.1"), no_network():
        swallow()
    assert socket.socket.connect is not swallow


def run_conformance(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(folder))


def environment(folder):
    import os

    return {**os.environ, "PYTHONPATH": str(folder / "site"), "OMP_NUM_THREADS": "1"}


def lay_out(folder, source):
    points = {"xf.v1.attention": {"strangers": "strangers_attention:BACKEND"}}
    write_distribution(folder / "site", "strangers", entry_points=points, modules={"strangers_attention.py": source})
    (folder / "pyproject.toml").write_text('[project]\nname = "strangers"\nversion = "1.0"\n')


GOOD = "from xf.interfaces.attention import *\nBACKEND = AttentionBackend('strangers', eager_attention)\n"
BAD = """
from xf.interfaces.attention import *
def kernel(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    return eager_attention(module, query, key, value, None, scaling, dropout)
BACKEND = AttentionBackend('strangers', kernel)
"""


def test_conformance_runs_without_a_test_file(tmp_path):
    lay_out(tmp_path, GOOD)
    done = run_conformance(tmp_path, "--xf-conformance", "--xf-report=out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out.json").read_text())["results"]["attention/strangers"]
    assert result["conforms"] is True and result["passed"] > 20


def test_conformance_finds_what_is_wrong(tmp_path):
    lay_out(tmp_path, BAD)
    done = run_conformance(tmp_path, "--xf-conformance", "--xf-report=out.json")
    assert done.returncode == 1
    result = json.loads((tmp_path / "out.json").read_text())["results"]["attention/strangers"]
    assert result["conforms"] is False
    assert any("test_padding_is_invisible" in gap for gap in result["gaps"])


def test_a_distribution_that_is_not_there_is_an_error(tmp_path):
    done = run_conformance(tmp_path, "--xf-conformance=no-such-thing")
    assert done.returncode != 0 and "no-such-thing is not installed" in done.stdout + done.stderr
