"""Where checkpoints come from: folders, the hub (a local server here), installed packages, plugins; and offline."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from xf.checkpoint import Checkpoint, CheckpointError, resolve
from xf.hub import is_offline
from xf.plugins import registry
from xf_testing.network import no_network

_spec = importlib.util.spec_from_file_location("checkpoint_toy", Path(__file__).with_name("checkpoint_toy.py"))
toy = sys.modules.setdefault("checkpoint_toy", importlib.util.module_from_spec(_spec))
if not hasattr(toy, "ToyConfig"):
    _spec.loader.exec_module(toy)

TOY = Path(__file__).parent / "goldens" / "checkpoint_toy" / "single"
COMMIT = "c0ffee" + "0" * 34
OTHER = "decade" + "0" * 34


def test_a_folder_is_listed_and_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_text('{"x": 1}')
    (tmp_path / "sub" / "b.txt").write_text("b")
    (tmp_path / ".git").mkdir()
    found = resolve(tmp_path)
    assert (found.origin, found.revision, found.list()) == ("folder", None, ["a.json", "sub/b.txt"])
    assert found.read_json("a.json") == {"x": 1} and found.read_json("none.json") is None
    assert found.path("sub/b.txt") == tmp_path / "sub" / "b.txt"
    assert resolve(tmp_path, subfolder="sub").read_text("b.txt") == "b"
    assert resolve(found) is found
    single = resolve(tmp_path / "a.json")
    assert single.file == "a.json" and single.read_json("a.json") == {"x": 1}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\..\\x", "", "a\0b", "C:/x", ".."])
def test_no_name_leads_out_of_a_checkpoint(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a file name inside|points outside"):
        resolve(tmp_path).path(name)
    if name:
        with pytest.raises(CheckpointError):
            resolve(tmp_path, subfolder=name)


def test_mistakes_are_answered_with_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XF_OFFLINE", "1")
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "weights.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"no folder .*my-modle.*did you mean my-model\?"):
        resolve(tmp_path / "my-modle")
    with pytest.raises(CheckpointError, match=r"has no 'sub'; it holds \['weights.txt'\]"):
        resolve(str(tmp_path / "my-model" / "sub" / "deeper"))
    with pytest.raises(CheckpointError, match=r"has no folder 'sub'. It holds: weights.txt"):
        resolve(tmp_path / "my-model", subfolder="sub")
    with pytest.raises(CheckpointError, match=r"has no file 'x'. It holds: weights.txt"):
        resolve(tmp_path / "my-model").require("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"did you mean my-model\?.*offline.*unset XF_OFFLINE"):
        resolve("mymodel")
    for empty in ("", "a\0b"):
        with pytest.raises(CheckpointError, match="names no checkpoint"):
            resolve(empty)
    with pytest.raises(CheckpointError, match="no installed plugin serves s3://"):
        resolve("s3://bucket/key")


def test_errors_are_both_documented_kinds(tmp_path: Path) -> None:
    for kind in (OSError, ValueError):
        with pytest.raises(kind):
            resolve(tmp_path / "nothing")


# ---- installed packages ---------------------------------------------------------------------------------------------


def install(site: Path, distribution: str, files: dict[str, str]) -> None:
    """A distribution as pip would leave it."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))


def test_a_package_provides_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "toy-weights", {"toy_weights/model/config.json": "{}", "toy_weights/__init__.py": ""})
    shutil.copy(TOY / "config.json", tmp_path / "toy_weights" / "model")
    shutil.copy(TOY / "model.safetensors", tmp_path / "toy_weights" / "model")
    record = next(tmp_path.glob("*.dist-info")) / "RECORD"
    record.write_text(record.read_text() + "toy_weights/model/model.safetensors,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with no_network():
        for name in ("package://toy-weights", "package://toy-weights/toy_weights/model"):
            found = resolve(name)
            assert (found.origin, found.name) == ("package", name)
            assert toy.ToyForCausalLM.from_pretrained(name).load_report.ok
        for bad, message in (
            ("package://no-such-weights", "no distribution 'no-such-weights' is installed"),
            ("package://toy-weights/../..", "points outside"),
            ("package://toy-weights/other", "no folder 'other'"),
            ("package://xf-kernel", "holds no checkpoints"),
            ("package://", "no distribution"),
        ):
            with pytest.raises(CheckpointError, match=message):
                resolve(bad)
    assert "toy_weights" not in sys.modules, "weights are found without importing anything"


def test_a_plugin_serves_a_name_or_a_scheme(tmp_path: Path) -> None:
    calls = []

    def serve(name: str, *, revision: str | None) -> Any:
        calls.append((name, revision))
        return TOY if "toy" in name else Checkpoint(name, tmp_path, origin="special", revision="7")

    sources = registry("checkpoint_source")
    for key in ("toy-model", "special"):
        sources.register(key, serve)
    try:
        assert resolve("toy-model", revision="v2").origin == "toy-model"
        assert toy.ToyForCausalLM.from_pretrained("toy-model").load_report.ok
        assert resolve("special://any/thing").revision == "7"
        assert calls[0] == ("toy-model", "v2") and calls[-1][0] == "special://any/thing"
    finally:
        for key in ("toy-model", "special"):
            sources.unregister(key)


def test_a_hook_may_answer_for_a_name(no_plugins: None, tmp_plugin: Any) -> None:
    code = f"""
from xf.plugins.hooks import hookimpl

@hookimpl
def xf_resolve_checkpoint(name, revision):
    return {str(TOY)!r} if name == "mirrored/toy" and revision == "v1" else None
"""
    tmp_plugin("mirror", {"xf.v1.hooks": {"mirror": "mirror_hooks"}}, {"mirror_hooks.py": code})
    from xf.plugins.hooks import unregister

    try:
        with no_network():
            assert resolve("mirrored/toy", revision="v1").origin == "hook"
            with pytest.raises(CheckpointError):
                resolve("mirrored/toy", revision="v2", local_files_only=True)
    finally:
        unregister("mirror")


# ---- the hub --------------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as downloads need, with the repository someone/toy."""

    requests: list[str]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        self.requests.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        status, content, headers = 404, b"{}", {"X-Error-Code": "RepoNotFound"}
        if parts[:4] == ["api", "models", "someone", "toy"]:
            files = [{"rfilename": name} for name in ("config.json", "model.safetensors", "sub/config.json")]
            known = parts[-1] in ("main", COMMIT)
            status, headers = (200, {}) if known else (404, {"X-Error-Code": "RevisionNotFound"})
            content = json.dumps({"id": "someone/toy", "sha": COMMIT, "siblings": files}).encode()
        elif parts[:3] == ["someone", "toy", "resolve"]:
            path = TOY / parts[-1]
            if path.is_file():
                status, content = 200, path.read_bytes()
                headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            else:
                headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content)), "Content-Type": "application/json"}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A local hub, an empty cache; yields the requests that were made."""
    from huggingface_hub import constants, hf_api

    Hub.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    for name in ("XF_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield Hub.requests
    server.shutdown()
    server.server_close()


def test_a_repository_is_pinned_downloaded_and_then_silent(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = resolve("someone/toy")
    assert (found.origin, found.revision) == ("hub", COMMIT)
    assert found.list() == ["config.json", "model.safetensors", "sub/config.json"]
    asked = len(hub)
    assert found.path("no_such.json") is None and len(hub) == asked, "the list of files answers"
    model = toy.ToyForCausalLM.from_pretrained("someone/toy")
    assert model.load_report.ok and model.config._commit_hash == COMMIT and model.name_or_path == "someone/toy"
    with no_network():
        assert found.read_json("config.json") and found.path("model.safetensors"), "what is resolved needs no network"
        for arguments in ({"local_files_only": True}, {"revision": COMMIT, "local_files_only": True}):
            assert toy.ToyForCausalLM.from_pretrained("someone/toy", **arguments).load_report.ok
        for switch in ("XF_OFFLINE", "HF_HUB_OFFLINE"):
            monkeypatch.setenv(switch, "1")
            assert is_offline() and toy.ToyForCausalLM.from_pretrained("someone/toy").load_report.ok
            with pytest.raises(CheckpointError, match="hub was not asked"):
                resolve("someone/other")
            with pytest.raises(CheckpointError, match="revision 'v9' is not in the cache"):
                resolve("someone/toy", revision="v9")
            monkeypatch.delenv(switch)


def test_an_unreachable_hub_leaves_the_cache(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    toy.ToyForCausalLM.from_pretrained("someone/toy")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", "http://127.0.0.1:9")
    assert toy.ToyForCausalLM.from_pretrained("someone/toy").load_report.ok
    with pytest.raises(CheckpointError, match="unreachable"):
        resolve("someone/other")


def test_unknown_names_and_revisions_are_said(hub: list[str]) -> None:
    with pytest.raises(CheckpointError, match="neither a folder here.* nor a model on the hub"):
        resolve("someone/unknown")
    with pytest.raises(CheckpointError, match="no revision 'v9'"):
        resolve("someone/toy", revision="v9")
    for revision in ("../../x", "/etc"):
        with pytest.raises(CheckpointError):
            resolve("someone/toy", revision=revision, local_files_only=True)


def test_a_subfolder_of_a_repository(hub: list[str], tmp_path: Path) -> None:
    found = resolve("someone/toy", subfolder="sub", cache_dir=tmp_path / "other")
    assert found.list() == ["config.json"] and found.read_json("config.json")
    assert str(found.path("config.json")).startswith(str(tmp_path / "other"))


def test_local_checkpoints_need_no_network_and_no_hub_library() -> None:
    code = (
        "import sys, socket\n"
        "def no(*a, **k): raise AssertionError('socket')\n"
        "socket.socket.connect = no\n"
        "from xf.checkpoint import resolve\n"
        f"assert resolve({str(TOY)!r}).read_json('config.json')\n"
        "assert not {'torch', 'huggingface_hub', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
