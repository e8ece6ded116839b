"""push_to_hub: what is saved is uploaded, and nothing else; never offline."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xf.interfaces.config import PretrainedConfig


class FakeApi:
    """The calls of huggingface_hub.HfApi that an upload needs, written down."""

    made: list[Any]

    def __init__(self, token: Any = None) -> None:
        self.made.append(("token", token))

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        self.made.append(("create", repo_id, options))
        return SimpleNamespace(repo_id=f"me/{repo_id}")

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], **options: Any) -> str:
        files = {name: (folder_path / name).read_text() for name in allow_patterns}
        self.made.append(("upload", repo_id, files, options))
        return "https://hub/commit/1"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    FakeApi.made = []
    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    for name in ("XF_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return FakeApi.made


def test_an_object_is_saved_and_uploaded(api: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = PretrainedConfig(a=1)
    assert config.push_to_hub("small", token="t", private=True, tags=["x"], revision="dev") == "https://hub/commit/1"
    assert api[0] == ("token", "t") and api[1] == ("create", "small", {"private": True, "exist_ok": True})
    _, repo, files, options = api[2]
    assert repo == "me/small" and files["config.json"] == config.to_json_string() and "- x" in files["README.md"]
    assert options["revision"] == "dev" and options["commit_message"] == "Upload PretrainedConfig"
    assert list(tmp_path.iterdir()) == [], "the folder was a temporary one"
    with pytest.raises(ValueError, match="nonsense"):
        config.push_to_hub("small", nonsense=1)


def test_save_pretrained_uploads_what_it_wrote(api: list[Any], tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("mine")
    PretrainedConfig(a=1).save_pretrained(tmp_path, push_to_hub=True, commit_message="first")
    assert api[-1][1] == f"me/{tmp_path.name}" and list(api[-1][2]) == ["config.json"]
    assert api[-1][3]["commit_message"] == "first"


def test_offline_nothing_is_pushed(api: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XF_OFFLINE", "1")
    with pytest.raises(ValueError, match="offline|XF_OFFLINE"):
        PretrainedConfig().push_to_hub("small")
    with pytest.raises(ValueError, match="XF_OFFLINE"):
        PretrainedConfig().save_pretrained(tmp_path, push_to_hub=True)
    assert api == []
