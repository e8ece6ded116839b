"""The hub: the offline switch, the refusal of remote code, and `push_to_hub` (spec: main_classes/model.md)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TRUE = frozenset({"1", "true", "yes", "on"})
_UPLOAD_OPTIONS = ("commit_message", "commit_description", "private", "token", "create_pr", "revision", "tags")


def is_offline() -> bool:
    """Whether XF_OFFLINE or HF_HUB_OFFLINE is set (1, true, yes, on): then nothing here opens a connection."""
    return any(os.environ.get(name, "").strip().lower() in _TRUE for name in ("XF_OFFLINE", "HF_HUB_OFFLINE"))


def refuse_remote_code(kwargs: dict[str, Any]) -> None:
    """Take trust_remote_code (and code_revision) out of `kwargs`.

    Raises: ValueError if it is true: xf never runs code that comes with a checkpoint, so the wish cannot be met.
    """
    kwargs.pop("code_revision", None)
    if kwargs.pop("trust_remote_code", None):
        raise ValueError(
            "trust_remote_code=True was asked for, but xf never runs code from a checkpoint. Install the architecture "
            "as a plugin (`xf plugins` lists what is here), or leave the argument out if no code is needed."
        )


class PushToHubMixin:
    """Adds `push_to_hub` to what has `save_pretrained`: configs, models, tokenizers, processors."""

    def push_to_hub(
        self,
        repo_id: str,
        use_temp_dir: bool | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        max_shard_size: int | str | None = "5GB",
        create_pr: bool = False,
        safe_serialization: bool = True,
        revision: str | None = None,
        commit_description: str | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> str:
        """Save into a folder and upload it to the repository `repo_id`, created if it is missing.

        use_temp_dir=False saves into the folder `./<name of the repository>` and keeps it; the default is a temporary
        folder, unless that folder exists. Returns the address of the commit (of the pull request with create_pr).

        Raises: ValueError when offline or for unknown arguments; what huggingface_hub raises when the upload fails.
        """
        if kwargs:
            raise ValueError(f"push_to_hub does not know the arguments {sorted(kwargs)}.")
        _refuse_offline(repo_id)
        local = Path(repo_id.rpartition("/")[2])
        temporary = use_temp_dir if use_temp_dir is not None else not local.is_dir()
        with tempfile.TemporaryDirectory() if temporary else _kept(local) as folder:
            before = _stamps(folder)
            save: Any = self.save_pretrained  # type: ignore[attr-defined]
            save(folder, max_shard_size=max_shard_size, safe_serialization=safe_serialization)
            return _upload(
                folder,
                repo_id,
                before,
                commit_message=commit_message or f"Upload {type(self).__name__}",
                commit_description=commit_description,
                private=private,
                token=token,
                create_pr=create_pr,
                revision=revision,
                tags=tags or getattr(self, "model_tags", None),
            )


@contextmanager
def pushing(directory: str | os.PathLike[str], push_to_hub: bool, kwargs: dict[str, Any]) -> Iterator[None]:
    """For save_pretrained(directory, push_to_hub=...): after the body, upload the files that it wrote.

    Takes repo_id (default: the name of the folder) and the upload options out of `kwargs`.
    """
    repo_id = kwargs.pop("repo_id", None) or Path(directory).resolve().name
    options = {name: kwargs.pop(name) for name in _UPLOAD_OPTIONS if name in kwargs}
    if push_to_hub:
        _refuse_offline(repo_id)
    before = _stamps(directory) if push_to_hub else {}
    yield
    if push_to_hub:
        _upload(directory, repo_id, before, **{"commit_message": "Upload", **options})


@contextmanager
def _kept(folder: Path) -> Iterator[str]:
    folder.mkdir(exist_ok=True)
    yield str(folder)


def _refuse_offline(repo_id: str) -> None:
    if is_offline():
        raise ValueError(f"cannot push to {repo_id}: XF_OFFLINE or HF_HUB_OFFLINE is set.")


def _stamps(folder: str | os.PathLike[str]) -> dict[str, tuple[int, int]]:
    """(inode, modification time) of every visible file: a replaced file has another inode."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    stamps = {path.relative_to(folder).as_posix(): path.stat() for path in files}
    return {name: (s.st_ino, s.st_mtime_ns) for name, s in stamps.items() if not name.startswith(".")}


def _upload(folder: str | os.PathLike[str], repo_id: str, before: dict[str, tuple[int, int]], **options: Any) -> str:
    """Upload the files of `folder` that are new or changed since `before`."""
    from huggingface_hub import HfApi

    api = HfApi(token=options.pop("token", None))
    repo_id = api.create_repo(repo_id, private=options.pop("private", None), exist_ok=True).repo_id
    tags = options.pop("tags", None)
    if tags:
        _tag_card(Path(folder) / "README.md", [tags] if isinstance(tags, str) else list(tags))
    changed = [name for name, stamp in _stamps(folder).items() if before.get(name) != stamp]
    return str(api.upload_folder(repo_id=repo_id, folder_path=Path(folder), allow_patterns=changed, **options))


def _tag_card(card: Path, tags: list[str]) -> None:
    """Add `tags` to the metadata of the model card, which is made if it is missing."""
    from huggingface_hub import metadata_load, metadata_save

    data = (metadata_load(card) if card.exists() else None) or {"library_name": "xf"}
    known = list(data.get("tags") or [])
    metadata_save(card, {**data, "tags": known + [tag for tag in tags if tag not in known]})
